"""A quick start: torch's optimisers without the compiler, which they import (2 seconds) to be left alone by it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

NAME = "torch._dynamo"


class _Absent(ModuleType):
    """What an optimiser asks of torch._dynamo when nothing is compiled: nothing."""

    @staticmethod
    def graph_break() -> None:
        """There is no graph."""

    @staticmethod
    def disable(fn: Callable[..., Any], recursive: bool = True, **_: Any) -> Callable[..., Any]:
        return fn


@contextmanager
def without_dynamo() -> Iterator[None]:
    """Inside, an optimiser that is made, steps, or saves does not import torch._dynamo. For that alone.

    Nothing happens where the compiler is there already, and afterwards it can be imported as ever.
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
