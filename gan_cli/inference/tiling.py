"""Pictures of any size through a network that takes only some sizes: padded, resized, or in tiles."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from gan_cli.utils.errors import GanError, out_of_memory

STEPS = (1, 2, 4, 8, 16, 32)  # to multiples of these a picture is padded
PADDED, RESIZED = "padded by reflection and cropped back", "resized to {0}x{0} and back"

Call = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Fit:
    """How a picture of any size gets through a network.

    own: pixels of a side of the pictures that the network was trained on. size: the shorter side is resized to it
    first, and the result back. tile: pictures larger than this square go through it in tiles that overlap by `overlap`
    pixels, blended by a linear ramp. A network that normalises over the pixels (instance normalisation) sees other
    statistics in a tile than in the whole picture, so there tiles change the result. labels: what goes in holds whole
    numbers, which are resized by nearest pixels.
    """

    own: int
    size: int | None = None
    tile: int | None = None
    overlap: int | None = None
    labels: bool = False

    def __post_init__(self) -> None:
        for name in ("size", "tile"):
            value = getattr(self, name)
            if value is not None and value < 8:
                raise GanError(f"{name}={value}: pixels of a side, 8 or more")
        if self.overlap is not None and self.tile is None:
            raise GanError(f"overlap={self.overlap}: of use only with tile=SIZE")
        if self.tile is not None and not 0 <= self.lap <= self.tile // 2:
            raise GanError(f"overlap={self.overlap}: tiles of {self.tile} pixels overlap by 0 to {self.tile // 2}")

    @property
    def lap(self) -> int:
        """Pixels by which tiles overlap: a quarter of the tile if nothing is said."""
        return (self.tile or 0) // 4 if self.overlap is None else self.overlap

    def __call__(self, call: Call, image: Tensor) -> tuple[Tensor, str | None]:
        """`call` of image (1,C,H,W), again H x W, and what was done to the picture for it; None: nothing.

        ValueError or RuntimeError of `call` if it takes the picture in no way; GanError naming `tile` if the memory
        is too small.
        """
        shape = image.shape[-2:]
        if self.size is not None:
            scale = self.size / min(shape)
            image = resize(image, (round(shape[0] * scale), round(shape[1] * scale)), self.labels)
        result, how = self.tiled(call, image) if self.tile and max(image.shape[-2:]) > self.tile else whole(
            call, image, self.own, self.labels
        )  # fmt: skip
        return (result, how) if result.shape[-2:] == shape else (resize(result, shape), how)

    def tiled(self, call: Call, image: Tensor) -> tuple[Tensor, str]:
        """The mean of the tiles, each weighted by a ramp that rises from its border to `overlap` pixels inside it."""
        assert self.tile
        height, width = image.shape[-2:]
        total, weights = torch.zeros(()), torch.zeros(1, 1, height, width)
        for top in starts(height, self.tile, self.lap):
            for left in starts(width, self.tile, self.lap):
                at = (..., slice(top, top + self.tile), slice(left, left + self.tile))
                result = whole(call, image[at], self.own, self.labels)[0].cpu()
                if not total.ndim:
                    total = torch.zeros(1, result.shape[1], height, width, dtype=result.dtype)
                ramps = [ramp(length, self.lap) for length in result.shape[-2:]]
                weight = ramps[0][:, None] * ramps[1]
                total[at] += weight * result
                weights[at] += weight
        return total / weights, f"cut into tiles of {self.tile}x{self.tile} that overlap by {self.lap}"


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where the tiles of a side begin; the last one ends with the side."""
    return [*range(0, length - tile, tile - overlap), length - tile] if length > tile else [0]


def ramp(length: int, overlap: int) -> Tensor:
    """(length,): 1/(overlap + 1), 2/(overlap + 1), ... up to 1, and down again at the other end."""
    at = torch.arange(1, length + 1)
    return torch.minimum(at, length + 1 - at).clamp(max=overlap + 1) / (overlap + 1)


def whole(call: Call, image: Tensor, own: int, labels: bool = False) -> tuple[Tensor, str | None]:
    """As it is; or padded to the next multiple of 2, 4, ... that `call` takes; or resized to the square `own`."""
    height, width = image.shape[-2:]
    tried = set()
    for step in STEPS:
        high, wide = -(-height // step) * step, -(-width // step) * step
        if (high, wide) in tried or high - height >= height or wide - width >= width:
            continue
        tried.add((high, wide))
        top, left = (high - height) // 2, (wide - width) // 2
        edges = (left, wide - width - left, top, high - height - top)
        result = _attempt(call, pad(image, edges, mode="reflect") if any(edges) else image)
        if result is not None and result.shape[-2:] == (high, wide):
            return result[..., top : top + height, left : left + width], PADDED if any(edges) else None
    if (height, width) == (own, own):
        return _guarded(call, image), None
    return resize(_guarded(call, resize(image, (own, own), labels)), (height, width)), RESIZED.format(own)


def resize(image: Tensor, shape: tuple[int, int] | torch.Size, labels: bool = False) -> Tensor:
    """Antialiased bicubic, within the values that the picture has; labels by nearest pixels."""
    if labels:
        return interpolate(image, tuple(shape), mode="nearest-exact")
    low, high = image.amin(), image.amax()
    resized = interpolate(image, tuple(shape), mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp(low, high)


def _attempt(call: Call, image: Tensor) -> Tensor | None:
    """`call(image)`, or None if it does not take the picture."""
    try:
        return _guarded(call, image)
    except (ValueError, RuntimeError):
        return None


def _guarded(call: Call, image: Tensor) -> Tensor:
    """`call(image)`; a lack of memory is a GanError."""
    try:
        return call(image)
    except RuntimeError as error:
        if out_of_memory(error):
            height, width = image.shape[-2:]
            raise GanError(f"no memory for a picture of {width}x{height}: tile=512 translates it in pieces") from error
        raise
