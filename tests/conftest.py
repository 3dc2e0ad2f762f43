"""What every test starts from."""

import os
import sys
from collections.abc import Iterator

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported; small networks gain nothing from more

@pytest.fixture(autouse=True)
def own_modules() -> Iterator[None]:
    """Modules that a test writes and imports are forgotten after it, and so are the folders they were found in."""
    path, modules = list(sys.path), {"mylosses", "bigan"}
    for name in modules:
        sys.modules.pop(name, None)
    yield
    sys.path[:] = path
    for name in modules:
        sys.modules.pop(name, None)
