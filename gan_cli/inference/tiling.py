"""Images of any size through a network that accepts only some sizes: padded, resized, or in tiles."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from gan_cli.utils.errors import GanError, out_of_memory
from gan_cli.utils.image_size import ImageSize, sides
from gan_cli.utils.images import STRIP

MULTIPLES = (1, 2, 4, 8, 16, 32)
"""An image is padded to the first of these multiples whose output has the input's size."""
PADDED, RESIZED = "padded by reflection and cropped back", "resized to {0}x{1} and back"

Network = Callable[[Tensor], Tensor]


def _same(image: Tensor) -> Tensor:
    return image


@dataclass(frozen=True)
class SizeAdapter:
    """How an image of any size goes through a network.

    native_size: size of the images that the network was trained on. resize: the shorter side is resized to
    that many pixels first, and the result is resized back, both by `resize_image`. tile: larger images go through the
    network in squares of that many pixels, which overlap by `overlap` (a quarter of the tile if omitted) and are
    blended by a linear ramp. A network with instance normalization sees other statistics in a tile than in the whole
    image, so tiles change its result. labels: the input holds class numbers, which are resized to the nearest pixel.
    GanError for impossible sizes.
    """

    native_size: ImageSize
    resize: int | None = None
    tile: int | None = None
    overlap: int | None = None
    labels: bool = False

    def __post_init__(self) -> None:
        for name in ("resize", "tile"):
            value = getattr(self, name)
            if value is not None and value < 8:
                raise GanError(f"{name}={value}: pixels per side, 8 or more")
        if self.overlap is not None and self.tile is None:
            raise GanError(f"overlap={self.overlap} has an effect only with tile=SIZE")
        if self.tile is not None and not 0 <= self.overlap_or_default <= self.tile // 2:
            raise GanError(f"overlap={self.overlap}: tiles of {self.tile} pixels overlap by 0 to {self.tile // 2}")

    @property
    def overlap_or_default(self) -> int:
        """Pixels by which neighboring tiles overlap."""
        return (self.tile or 0) // 4 if self.overlap is None else self.overlap

    def __call__(
        self, network: Network, image: Tensor, encode: Network = _same, decode: Network = _same
    ) -> tuple[Tensor, str | None]:
        """decode(network(encode(image))) for image (1, C, H, W), again H x W, and how the image was adapted (None: not
        at all).

        encode, decode: from the stored to the network's values and back, pixel by pixel. Of an image that is resized or
        cut into tiles, only the stored values are ever in memory as a whole. ValueError or RuntimeError of the network
        if it accepts the image in no way; GanError that recommends tiles if the memory is too small.
        """
        shape = image.shape[-2:]
        if self.resize is not None:
            scale = self.resize / min(shape)
            resized = resize_image(image, (round(shape[0] * scale), round(shape[1] * scale)), self.labels, encode)
            result, adaptation = replace(self, resize=None)(network, resized)
            return resize_image(result, shape, decode=decode), adaptation
        if self.tile and max(shape) > self.tile:
            return self._tiled(network, image, self.tile, encode, decode)
        result, adaptation = pad_or_resize(network, encode(image), self.native_size, self.labels)
        return decode(result), adaptation

    def _tiled(
        self, network: Network, image: Tensor, tile: int, encode: Network, decode: Network
    ) -> tuple[Tensor, str | None]:
        """The weighted mean of the tiles' results, computed in strips as high as a tile."""
        overlap = self.overlap_or_default
        height, width = image.shape[-2:]
        tops = tile_starts(height, tile, overlap)
        total, output = torch.zeros(()), torch.zeros(())
        weights = torch.zeros(1, 1, min(tile, height), width)
        for top, following in zip(tops, [*tops[1:], height]):
            for left in tile_starts(width, tile, overlap):
                part = encode(image[..., top : top + tile, left : left + tile])
                result = pad_or_resize(network, part, self.native_size, self.labels)[0].cpu()
                if not total.ndim:  # the number of output channels is known only now
                    total = torch.zeros(1, result.shape[1], *weights.shape[2:], dtype=result.dtype)
                # Weights that rise from a tile's border hide the seams: near its border a tile sees little context.
                vertical, horizontal = (ramp(length, overlap) for length in result.shape[-2:])
                weight = vertical[:, None] * horizontal
                window = (..., slice(left, left + tile))
                total[window] += weight * result
                weights[window] += weight
            done = following - top  # no later tile reaches these rows
            strip = decode(total[..., :done, :] / weights[..., :done, :])
            if not output.ndim:
                output = torch.empty(*strip.shape[:2], height, width, dtype=strip.dtype)
            output[..., top:following, :] = strip
            for rows in (total, weights):
                rows[..., :-done, :] = rows[..., done:, :].clone()
                rows[..., -done:, :] = 0
        return output, f"cut into tiles of {tile}x{tile} that overlap by {overlap}"


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """The first pixel of each tile along a side of `length` pixels; the last tile ends with the side."""
    return [*range(0, length - tile, tile - overlap), length - tile] if length > tile else [0]


def ramp(length: int, overlap: int) -> Tensor:
    """(length,): 1/(overlap + 1), 2/(overlap + 1), ... up to 1, and down again at the other end."""
    position = torch.arange(1, length + 1)
    return torch.minimum(position, length + 1 - position).clamp(max=overlap + 1) / (overlap + 1)


def pad_or_resize(
    network: Network, image: Tensor, native_size: ImageSize, labels: bool = False
) -> tuple[Tensor, str | None]:
    """network(image), if needed padded to the next multiple of 2, 4, ... that it accepts, or else resized.

    Returns the result in the size of the image, and how the image was adapted. Networks do not say which sizes they
    accept, so that they are asked: they raise an error, or return another size.
    """
    height, width = image.shape[-2:]
    tried = set()
    for multiple in MULTIPLES:
        padded = (-(-height // multiple) * multiple, -(-width // multiple) * multiple)
        # Reflection cannot pad by as much as the image has pixels.
        if padded in tried or padded[0] - height >= height or padded[1] - width >= width:
            continue
        tried.add(padded)
        top, left = (padded[0] - height) // 2, (padded[1] - width) // 2
        edges = (left, padded[1] - width - left, top, padded[0] - height - top)
        result = _attempt(network, pad(image, edges, mode="reflect") if any(edges) else image)
        if result is not None and result.shape[-2:] == padded:
            return result[..., top : top + height, left : left + width], PADDED if any(edges) else None
    native = sides(native_size)
    if (height, width) == native:
        return _run(network, image), None
    result = _run(network, resize_image(image, native, labels))
    return resize_image(result, (height, width)), RESIZED.format(*native[::-1])


def resize_image(
    image: Tensor,
    shape: tuple[int, int] | torch.Size,
    labels: bool = False,
    encode: Network = _same,
    decode: Network = _same,
) -> Tensor:
    """decode of encode(image), (N, C, H, W), in another (H, W): bicubic with antialiasing, within the image's own range
    of values.

    labels: nearest pixels instead, so that no new values appear. First the width and then the height is resized, in
    strips: only what `decode` returns is in memory in the larger of the two sizes.
    """

    def resized(part: Tensor, height: int, width: int) -> Tensor:
        if labels:
            return interpolate(part, (height, width), mode="nearest-exact")
        return interpolate(part, (height, width), mode="bicubic", antialias=True, align_corners=False)

    strips, low, high = [], math.inf, -math.inf
    for rows in map(encode, image.split(STRIP, 2)):
        low, high = min(low, float(rows.amin())), max(high, float(rows.amax()))
        strips.append(resized(rows, rows.shape[2], shape[1]))
    columns = torch.cat(strips, 2).split(STRIP, 3)
    # Bicubic interpolation overshoots at edges.
    return torch.cat([decode(resized(part, shape[0], part.shape[3]).clamp(low, high)) for part in columns], 3)


def _attempt(network: Network, image: Tensor) -> Tensor | None:
    """network(image), or None if it does not accept the image."""
    try:
        return _run(network, image)
    except (ValueError, RuntimeError):
        return None


def _run(network: Network, image: Tensor) -> Tensor:
    """network(image); GanError if there is too little memory."""
    try:
        return network(image)
    except RuntimeError as error:
        if out_of_memory(error):
            height, width = image.shape[-2:]
            raise GanError(f"no memory for an image of {width}x{height}: tile=512 translates it in pieces") from error
        raise
