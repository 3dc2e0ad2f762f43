"""The file formats of `gan export`: ONNX, torch.export programs and safetensors, each read back and compared."""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from gan_cli.inference.tiling import MULTIPLES
from gan_cli.inference.trace import RecordedCall, TensorsOnly
from gan_cli.utils.errors import GanError, one_line
from gan_cli.utils.image_size import ImageSize, sides

SUFFIXES = {"onnx": "onnx", "torch": "pt2", "safetensors": "safetensors"}
LIBRARIES = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "torch": (), "safetensors": ("safetensors.torch",)}
BOUNDS = {"onnx": 1e-4, "torch": 0.0, "safetensors": 0.0}
"""The largest allowed difference from the run: another runtime adds in another order."""

Exported = Callable[..., Tensor]
"""The network of a file that was read back: tensors by position -> output."""


@dataclass(frozen=True)
class DynamicSizes:
    """The sizes that a file leaves open: of the batch, and of images (multiples of `multiple`, two or more)."""

    batch: bool
    multiple: int | None


def import_libraries(kind: str) -> tuple[ModuleType, ...]:
    """Import the libraries that `kind` needs. GanError if one is missing."""
    try:
        return tuple(importlib.import_module(name) for name in LIBRARIES[kind])
    except ImportError as error:
        raise GanError(f"format={kind} needs {error.name}: pip install 'gan-cli[export]'") from None


def content(
    kind: str, module: TensorsOnly, call: RecordedCall, native_size: ImageSize
) -> tuple[bytes, Exported, DynamicSizes]:
    """The content of the file, its network as read back, and the sizes that it leaves open.

    It is in memory, because torch ends the process when its own writers meet a full disk. native_size: size of
    the run's images.
    """
    multiple = image_multiple(module, call, native_size)
    libraries = import_libraries(kind)
    if kind == "safetensors":
        return *_weights(module, call, libraries[0]), DynamicSizes(True, multiple)
    return _program(module, call, native_size, multiple, libraries[-1] if libraries else None)


@torch.no_grad()
def largest_difference(
    module: TensorsOnly,
    exported: Exported,
    call: RecordedCall,
    reference: Tensor,
    native_size: ImageSize,
    sizes: DynamicSizes,
) -> float:
    """The largest absolute difference from the network over the recorded inputs (`reference` is the run's output) and,
    where those sizes are open, over batches of one and three and images of other sizes.
    """
    cases = [(call.tensors, reference)]
    others = []
    if sizes.batch:
        others += [{k: v[:1] for k, v in call.tensors.items()}, {k: v[[0, 1, 0]] for k, v in call.tensors.items()}]
    if sizes.multiple:
        others += [resized(call.tensors, native_size, *shape) for shape in _other_sizes(native_size, sizes.multiple)]
    cases += [(other, module(*other.values())) for other in others]
    differences = [(exported(*given.values()) - expected).abs().max() for given, expected in cases]
    return float(torch.stack(differences).max())  # NaN if one is; Python's max would lose it


@torch.no_grad()
def image_multiple(module: TensorsOnly, call: RecordedCall, native_size: ImageSize) -> int | None:
    """The number of whose multiples (two or more) the network accepts images; None: the native size only."""
    if not any(is_image(value, native_size) for value in call.tensors.values()):
        return None
    for multiple in MULTIPLES:
        if any(length < 2 * multiple or length % multiple for length in sides(native_size)):
            continue
        if all(_keeps_size(module, call.tensors, native_size, shape) for shape in _other_sizes(native_size, multiple)):
            return multiple
    return None


def _other_sizes(native_size: ImageSize, multiple: int) -> tuple[tuple[int, int], ...]:
    """One (height, width) of each kind that a file with this `multiple` accepts: least, larger, and oblong."""
    height, width = sides(native_size)
    least, high, wide = 2 * multiple, height + multiple, width + multiple
    return (least, least), (high, wide), (least, wide), (high, least)


def _keeps_size(module: Exported, tensors: dict[str, Tensor], native_size: ImageSize, shape: tuple[int, int]) -> bool:
    """Whether a network accepts images of `shape`, and returns images of that shape."""
    try:
        return module(*resized(tensors, native_size, *shape).values()).shape[2:] == shape
    except (AssertionError, ValueError, RuntimeError):  # a program's own checks raise AssertionError
        return False


def is_image(value: Tensor, native_size: ImageSize) -> bool:
    return value.shape[2:] == sides(native_size)


def resized(tensors: dict[str, Tensor], native_size: ImageSize, height: int, width: int) -> dict[str, Tensor]:
    """The same tensors with images of another size, filled by repeating the old ones."""
    times = [math.ceil(length / native) for length, native in zip((height, width), sides(native_size))]
    # A view would keep the strides of the repeated image, and torch.export would refuse images of their size.
    return {
        key: value.repeat(1, 1, *times)[..., :height, :width].clone() if is_image(value, native_size) else value
        for key, value in tensors.items()
    }


def _weights(module: TensorsOnly, call: RecordedCall, library: ModuleType) -> tuple[bytes, Exported]:
    """Parameters and buffers, and the network of zeros into which they are read back."""
    data: bytes = library.save({k: v.contiguous().clone() for k, v in module.network.state_dict().items()})
    other: nn.Module = copy.deepcopy(module.network)
    with torch.no_grad():
        for value in other.state_dict().values():
            value.zero_()
    other.load_state_dict(library.load(data))
    return data, TensorsOnly(other, call).eval()


def _program(
    module: TensorsOnly,
    call: RecordedCall,
    native_size: ImageSize,
    multiple: int | None,
    runtime: ModuleType | None,
) -> tuple[bytes, Exported, DynamicSizes]:
    """A torch.export program, as ONNX if there is a `runtime` to read it back, with as many open sizes as torch
    can trace.
    """
    problem: Exception | None = None
    for sizes in dict.fromkeys((DynamicSizes(True, multiple), DynamicSizes(True, None), DynamicSizes(False, None))):
        tensors = resized(call.tensors, native_size, *(side + (sizes.multiple or 0) for side in sides(native_size)))
        try:
            with torch.no_grad(), _quiet():
                shapes = tuple(_open(value, native_size, sizes) for value in call.tensors.values())
                program = torch.export.export(module, tuple(tensors.values()), dynamic_shapes=(shapes,))
                data, exported = _written(program, module, runtime)
            if not isinstance(exported, nn.Module) or accepts_all(exported, call.tensors, native_size, sizes.multiple):
                return data, exported, sizes
        except Exception as error:  # torch.export raises a different kind for everything that it cannot trace
            problem = error
    assert problem
    raise GanError(f"torch cannot export this network: {one_line(problem)[:200]}; format=safetensors can") from problem


def _open(value: Tensor, native_size: ImageSize, sizes: DynamicSizes) -> dict[int, Any]:
    """The open dimensions of a tensor, in torch.export's form."""
    dim = torch.export.Dim
    lengths = {}
    if sizes.multiple and is_image(value, native_size):
        lengths = {2: sizes.multiple * dim("height", min=2), 3: sizes.multiple * dim("width", min=2)}
    return ({0: dim("batch", min=1)} if sizes.batch else {}) | lengths


def _written(program: Any, module: TensorsOnly, runtime: ModuleType | None) -> tuple[bytes, Exported]:
    """The content of a program's file, and the program as read back."""
    if runtime is None:
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
        buffer.seek(0)
        return buffer.getvalue(), torch.export.load(buffer).module()
    written = torch.onnx.export(program, input_names=list(module.names), output_names=["output"], verbose=False)
    assert written is not None
    data: bytes = written.model_proto.SerializeToString()
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])

    def run(*tensors: Tensor) -> Tensor:
        feed = dict(zip(module.names, (tensor.numpy() for tensor in tensors)))
        return torch.from_numpy(session.run(None, feed)[0])

    return data, run


def accepts_all(exported: nn.Module, tensors: dict[str, Tensor], native_size: ImageSize, multiple: int | None) -> bool:
    """Whether a program accepts every multiple up to twice the native size, and powers of two beyond it, as height and
    as width: torch.export may exclude single sizes. Only shapes are computed. True if no `multiple` is claimed.
    """
    if multiple is None:
        return True
    program, blank = copy.deepcopy(exported).to("meta"), {key: value.to("meta") for key, value in tensors.items()}
    height, width = sides(native_size)
    lengths = {*range(2 * multiple, 2 * max(height, width) + 1, multiple), *(multiple * 2**k for k in range(1, 11))}
    shapes = [shape for n in sorted(lengths) for shape in ((n, width), (height, n))]
    return all(_keeps_size(program, blank, native_size, shape) for shape in shapes)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress warnings and log lines below an error: torch's exporters announce their own deprecations."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
