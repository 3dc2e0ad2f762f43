"""The files of `gan export`: ONNX, torch.export programs, safetensors; each read back and compared."""

from __future__ import annotations

import contextlib
import copy
import importlib
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from gan_cli.inference.tiling import STEPS
from gan_cli.inference.trace import Plain, Use
from gan_cli.utils.errors import GanError, one_line

SUFFIXES = {"onnx": "onnx", "torch": "pt2", "safetensors": "safetensors"}
TOOLS = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "torch": (), "safetensors": ("safetensors.torch",)}
BOUNDS = {"onnx": 1e-4, "torch": 0.0, "safetensors": 0.0}
"""The largest difference from the run that is allowed: another program computes in another order."""

Player = Callable[..., Tensor]


@dataclass(frozen=True)
class Free:
    """Sizes that a file leaves open: that of the batch, and those of pictures (multiples of `step`, two or more)."""

    batch: bool
    step: int | None


def tools(kind: str) -> tuple[ModuleType, ...]:
    """The libraries that `kind` needs. GanError where one is missing."""
    try:
        return tuple(importlib.import_module(name) for name in TOOLS[kind])
    except ImportError as error:
        raise GanError(f"format={kind} needs {error.name}: pip install 'gan-cli[export]'") from None


def write(kind: str, plain: Plain, use: Use, own: int, path: Path) -> tuple[Player, Free]:
    """Write the network to `path`; what the file gives when it is read back, and the sizes that it leaves open.

    own: pixels of a side of the run's pictures.
    """
    step = step_of(plain, use, own)
    libraries = tools(kind)
    if kind == "safetensors":
        return _weights(plain, use, path, libraries[0]), Free(True, step)
    return _program(plain, use, own, step, path, libraries[-1] if libraries else None)


@torch.no_grad()
def difference(plain: Plain, player: Player, use: Use, reference: Tensor, own: int, free: Free) -> float:
    """The largest absolute difference from the network, over the inputs of `use` (`reference` is the run's output), and
    if they are open over batches of one and three, and larger pictures.
    """
    cases = [(use.tensors, reference)]
    others = []
    if free.batch:
        others += [{k: v[:1] for k, v in use.tensors.items()}, {k: v[[0, 1, 0]] for k, v in use.tensors.items()}]
    if free.step:
        others.append(enlarged(use.tensors, own, own + free.step))
    cases += [(other, plain(*other.values())) for other in others]
    return max(float((player(*given.values()) - expected).abs().max()) for given, expected in cases)


@torch.no_grad()
def step_of(plain: Plain, use: Use, own: int) -> int | None:
    """The network takes pictures of all multiples of it, two or more; None: of the run's own size alone."""
    if not any(is_picture(value, own) for value in use.tensors.values()):
        return None
    for step in STEPS:
        if own < 2 * step or own % step:
            continue
        try:
            found = plain(*enlarged(use.tensors, own, own + step).values()).shape[2:]
        except (ValueError, RuntimeError):
            continue
        if found == (own + step, own + step):
            return step
    return None


def is_picture(value: Tensor, own: int) -> bool:
    return value.shape[2:] == (own, own)


def enlarged(tensors: dict[str, Tensor], own: int, size: int) -> dict[str, Tensor]:
    """The same with pictures of another size, the old ones repeated to fill them."""
    times = math.ceil(size / own)
    return {
        key: value.repeat(1, 1, times, times)[..., :size, :size] if is_picture(value, own) else value
        for key, value in tensors.items()
    }


def _weights(plain: Plain, use: Use, path: Path, library: ModuleType) -> Player:
    """Parameters and buffers; read back into a network whose own are 0."""
    library.save_file({key: value.contiguous().clone() for key, value in plain.network.state_dict().items()}, path)
    other: nn.Module = copy.deepcopy(plain.network)
    with torch.no_grad():
        for value in other.state_dict().values():
            value.zero_()
    other.load_state_dict(library.load_file(path))
    return Plain(other, use).eval()


def _program(
    plain: Plain, use: Use, own: int, step: int | None, path: Path, runtime: ModuleType | None
) -> tuple[Player, Free]:
    """A torch.export program (TorchScript is deprecated), as ONNX if there is a `runtime` to read it back; as open in
    its sizes as can be.
    """
    problem: Exception | None = None
    for free in dict.fromkeys((Free(True, step), Free(True, None), Free(False, None))):
        tensors = enlarged(use.tensors, own, own + free.step) if free.step else use.tensors
        try:
            with torch.no_grad(), _quiet():
                shapes = tuple(_open(value, own, free) for value in use.tensors.values())
                program = torch.export.export(plain, tuple(tensors.values()), dynamic_shapes=(shapes,))
                return _written(program, plain, path, runtime), free
        except Exception as error:  # torch.export has many kinds, one for each thing that it cannot do
            problem = error
    assert problem
    raise GanError(f"torch cannot export this network: {one_line(problem)[:200]}; format=safetensors can") from problem


def _open(value: Tensor, own: int, free: Free) -> dict[int, Any]:
    """The open dimensions of a tensor, as torch.export takes them."""
    dim = torch.export.Dim
    sides = {}
    if free.step and is_picture(value, own):
        sides = {2: free.step * dim("height", min=2), 3: free.step * dim("width", min=2)}
    return ({0: dim("batch", min=1)} if free.batch else {}) | sides


def _written(program: Any, plain: Plain, path: Path, runtime: ModuleType | None) -> Player:
    if runtime is None:
        torch.export.save(program, path)
        loaded: Player = torch.export.load(path).module()
        return loaded
    written = torch.onnx.export(program, input_names=list(plain.names), output_names=["output"], verbose=False)
    assert written is not None
    written.save(path)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def play(*tensors: Tensor) -> Tensor:
        feed = dict(zip(plain.names, (tensor.numpy() for tensor in tensors)))
        return torch.from_numpy(session.run(None, feed)[0])

    return play


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No warnings and nothing logged below an error: torch's exporters talk of their own future."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
