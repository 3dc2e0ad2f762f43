"""Optimizers that do not import torch's compiler, which takes over a second of every start."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from torch.optim import Optimizer

NAME = "torch._dynamo"
METHODS = ("step", "zero_grad", "state_dict", "load_state_dict")  # those that import the compiler


class _Absent(ModuleType):
    """Stand-in for torch._dynamo with the two functions that an optimizer calls when nothing is compiled."""

    @staticmethod
    def graph_break() -> None:
        """Do nothing: there is no graph."""

    @staticmethod
    def disable(fn: Callable[..., Any], recursive: bool = True, **_: Any) -> Callable[..., Any]:
        return fn


@contextmanager
def without_dynamo() -> Iterator[None]:
    """Inside the block, `import torch._dynamo` gives the stand-in; for torch's optimizers only.

    Does nothing if the compiler has been imported already. After the block it can be imported as usual.
    """
    if NAME in sys.modules:
        yield
        return
    import torch

    absent = _Absent(NAME)
    sys.modules[NAME], torch._dynamo = absent, absent
    try:
        yield
    finally:
        if sys.modules.get(NAME) is absent:
            del sys.modules[NAME]
        if vars(torch).get("_dynamo") is absent:
            del torch._dynamo


def without_compiler(build: Callable[[], Optimizer]) -> Optimizer:
    """The optimizer that `build` returns, made and used without importing torch._dynamo."""
    with without_dynamo():
        optimizer = build()
    # Wrapped once per optimizer, so that the training step need not know about imports.
    for name in METHODS:
        setattr(optimizer, name, without_dynamo()(getattr(optimizer, name)))
    return optimizer
