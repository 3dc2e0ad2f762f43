"""Files of tensors that may come from an untrusted source."""

import warnings
from pathlib import Path
from typing import Any

import torch

from gan_cli.utils.errors import one_line


def read_weights(path: Path) -> Any:
    """What torch.save wrote, with tensors on the CPU; no code in the file is run.

    OSError if it cannot be read; ValueError for a file of another kind, about which torch would also print a warning.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch.load raises many types of errors
        raise ValueError(one_line(error)) from error
