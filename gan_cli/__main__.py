"""`python -m gan_cli`, which is what torchrun starts."""

import sys

from gan_cli.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
