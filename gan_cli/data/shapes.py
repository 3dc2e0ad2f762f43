"""Rendered images of one colored shape on a uniform ground, which need no download and whose factors are known.

A scene is a function of its number. Shapes are rendered from signed distances, so that an edge is smooth over one pixel
at any size. Coordinates: the image, or of one that is not square the central square, is [-1, 1] x [-1, 1], x to the
right, y down.
"""

import math
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from gan_cli.data.base import Dataset, Domains, Images, Pairs, as_range, order, positions, uniform
from gan_cli.utils.image_size import ImageSize, sides, simplified

KINDS = ("circle", "square", "triangle", "star", "cross", "ring")
SECOND_DOMAIN = 1 << 40  # number of the first scene of the second domain
INK = 0.05  # brightness of stripes and outlines, in [0, 1]
LUMA = torch.tensor([0.299, 0.587, 0.114])  # ITU-R BT.601: weights of red, green and blue in a gray image


class Factors(NamedTuple):
    """The factors of N scenes, (N,) each: kind 0 .. 5; hue in [0, 1); size, the shape's radius; x, y, its center;
    rotation in radians; ground, the brightness behind the shape in [0, 1].
    """

    kind: Tensor
    hue: Tensor
    size: Tensor
    x: Tensor
    y: Tensor
    rotation: Tensor
    ground: Tensor


def factors(index: Tensor) -> Factors:
    """Return the factors of the scenes with these numbers, int64 (N,)."""
    u = [uniform(0, index, stream) for stream in range(7)]
    size = 0.48 + 0.3 * u[2]
    room = 0.97 - size  # how far the center may lie from the middle, so that the shape is not cut off
    return Factors(
        kind=(u[0] * len(KINDS)).long(), hue=u[1], size=size, x=(2 * u[3] - 1) * room, y=(2 * u[4] - 1) * room,
        rotation=2 * math.pi * u[5], ground=0.75 + 0.25 * u[6],
    )


def color(hue: Tensor) -> Tensor:
    """Convert hues (N,) to RGB (N, 3) in [0, 1], with saturation .85 and value .95 in HSV."""
    value, saturation = 0.95, 0.85
    k = (torch.tensor([5.0, 3.0, 1.0], device=hue.device) + 6 * hue[:, None]) % 6
    return value * (1 - saturation * torch.minimum(k, 4 - k).clamp(0, 1))


def _triangle(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(y, (math.sqrt(3) * x.abs() - y) / 2) - 0.5


def _star(x: Tensor, y: Tensor, inner: float = 0.45) -> Tensor:
    """A star with tips at radius 1 and corners between them at radius `inner`; the plane is folded onto half a tip."""
    half = math.pi / 5
    angle = (((torch.atan2(x, -y) + half) % (2 * half)) - half).abs()
    radius = torch.hypot(x, y)
    ex, ey = inner * math.cos(half) - 1, inner * math.sin(half)
    return (ey * (radius * angle.cos() - 1) - ex * radius * angle.sin()) / math.hypot(ex, ey)


def _cross(x: Tensor, y: Tensor) -> Tensor:
    x, y = x.abs(), y.abs()
    return torch.minimum(torch.maximum(x - 0.9, y - 0.3), torch.maximum(x - 0.3, y - 0.9))


DISTANCE: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (  # to the edge of each kind at size 1; negative inside
    lambda x, y: torch.hypot(x, y) - 0.9,
    lambda x, y: torch.maximum(x.abs(), y.abs()) - 0.75,
    _triangle,
    _star,
    _cross,
    lambda x, y: (torch.hypot(x, y) - 0.65).abs() - 0.25,
)


def coordinates(pixels: ImageSize, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return y (H,) and x (W,) of the pixels' centers."""
    height, width = sides(pixels)
    least = min(height, width)
    y, x = ((torch.arange(n, device=device) + 0.5) * 2 / least - n / least for n in (height, width))
    return y, x


def distance(scene: Factors, pixels: ImageSize) -> Tensor:
    """Return the signed distance of each pixel's center to the shape's edge, in pixels, (N, H, W)."""
    down, right = coordinates(pixels, scene.x.device)
    dx = (right[None, None, :] - scene.x[:, None, None]) / scene.size[:, None, None]
    dy = (down[None, :, None] - scene.y[:, None, None]) / scene.size[:, None, None]
    cos, sin = scene.rotation.cos()[:, None, None], scene.rotation.sin()[:, None, None]
    x, y = cos * dx + sin * dy, cos * dy - sin * dx
    # Each formula is evaluated only for the scenes of its kind.
    result = torch.empty_like(x)
    for kind, formula in enumerate(DISTANCE):
        rows = (scene.kind == kind).nonzero()[:, 0]
        result[rows] = formula(x[rows], y[rows])
    return result * scene.size[:, None, None] * (min(sides(pixels)) / 2)


def render(scene: Factors, pixels: ImageSize, striped: bool = False) -> Tensor:
    """Render scenes as RGB in [0, 1], (N, 3, H, W).

    striped: with dark horizontal stripes across the shape. Their period is .8 of the shape's radius and their phase
    depends on its center, so that the plain and the striped image determine each other.
    """
    inside = (0.5 - distance(scene, pixels)).clamp(0, 1)[:, None]
    fill = color(scene.hue)[:, :, None, None].expand(-1, -1, *sides(pixels))
    if striped:
        down, _ = coordinates(pixels, scene.y.device)
        phase = (down[None, :] - scene.y[:, None]) / (0.8 * scene.size[:, None])
        period = 0.8 * scene.size[:, None] * min(sides(pixels)) / 2  # in pixels
        band = (0.5 + ((phase % 1 - 0.5).abs() - 0.25) * period).clamp(0, 1)  # 1: the shape's color, 0: ink
        fill = INK + (fill - INK) * band[:, None, :, None]
    ground = scene.ground[:, None, None, None]
    return ground + (fill - ground) * inside


def render_outline(scene: Factors, pixels: ImageSize) -> Tensor:
    """Render the edges of shapes as dark lines two pixels wide on white, in [0, 1], (N, 3, H, W)."""
    line = (1.5 - distance(scene, pixels).abs()).clamp(0, 1)[:, None]
    return (1 - (1 - INK) * line).expand(-1, 3, -1, -1)


class SceneDataset(Dataset):
    """Base of data sets of rendered scenes: `size` training scenes, and 10,000 held-out scenes with the next numbers.

    channels: 3, or 1 for gray. name: part of the fingerprint, which must not change when a class is renamed.
    """

    name: ClassVar[str]
    kinds: ClassVar[int | None] = None  # of labels, if the scenes have any

    def __init__(
        self, image_size: ImageSize = 32, channels: int = 3, num_classes: int | None = None,
        value_range: Sequence[float] = (-1.0, 1.0), size: int = 50_000,
    ) -> None:
        if min(sides(image_size)) < 8:
            raise ValueError(f"image_size={image_size}: shapes need at least 8 pixels to be recognizable")
        if channels not in (1, 3):
            raise ValueError(f"channels={channels}: shapes have 3 channels (color) or 1 (gray)")
        if num_classes not in (None, self.kinds):
            kinds = f"there are {self.kinds} kinds of shapes; null hides them" if self.kinds else "there are no labels"
            raise ValueError(f"num_classes={num_classes}: {kinds}")
        if size < 1:
            raise ValueError(f"size={size}: at least one training scene is needed")
        self.image_size, self.channels, self.num_classes = simplified(image_size), channels, num_classes
        self.value_range = as_range(value_range)
        self.size, self.test_size = size, 10_000
        self.device = torch.device("cpu")

    def to_output(self, image: Tensor) -> Tensor:
        """Convert RGB in [0, 1] to the channels and the value range of the data set."""
        if self.channels == 1:
            image = (image * LUMA.to(image.device)[:, None, None]).sum(1, keepdim=True)
        assert self.value_range is not None
        low, high = self.value_range
        return low + (high - low) * image

    def train_index(self, seed: int, start: int, count: int) -> Tensor:
        """Return the numbers of the training scenes at these positions of the stream."""
        return order(seed, start, count, self.size).to(self.device)

    def test_index(self, start: int, count: int) -> Tensor:
        """Return the numbers of the held-out scenes start .. start + count - 1."""
        return self.size + positions(start, count, self.device) % self.test_size

    def fingerprint(self) -> str:
        return f"{self.name}-1-{self.size}-{self.image_size}-{self.channels}-{self.value_range}"

    def to(self, device: torch.device) -> "SceneDataset":
        self.device = device
        return self


class Shapes(SceneDataset):
    """Images of one shape each, with its kind (see KINDS) as the label.

    pose: each shape is rotated and placed at random; if false, all shapes are upright and in the center, which a model
    learns sooner.
    """

    name = "shapes"
    kinds = len(KINDS)
    class_names = KINDS

    def __init__(
        self, image_size: ImageSize = 32, channels: int = 3, num_classes: int | None = len(KINDS),
        value_range: Sequence[float] = (-1.0, 1.0), size: int = 50_000, pose: bool = True,
    ) -> None:
        super().__init__(image_size, channels, num_classes, value_range, size)
        self.pose = pose

    def train_batch(self, seed: int, start: int, count: int) -> Images:
        return self._images(self.train_index(seed, start, count))

    def test_batch(self, start: int, count: int) -> Images:
        return self._images(self.test_index(start, count))

    def _images(self, index: Tensor) -> Images:
        scene = factors(index)
        if not self.pose:
            zero = torch.zeros_like(scene.rotation)
            scene = scene._replace(rotation=zero, x=zero, y=zero)
        label = scene.kind if self.num_classes else None
        return Images(self.to_output(render(scene, self.image_size)), label)

    def fingerprint(self) -> str:
        return super().fingerprint() + ("" if self.pose else "-still")


class ShapesStripes(SceneDataset):
    """Two unpaired domains of `size` different scenes each: plain shapes (x) and striped shapes (y).

    The true translation is known: `test_batch` and `test_pairs` return the same held-out scenes plain and striped.
    """

    name = "shapesstripes"

    batch_type = Domains

    def train_batch(self, seed: int, start: int, count: int) -> Domains:
        x = self.train_index(seed, start, count)
        # Other scenes in another order: a model must not find partners in a batch of training images.
        y = SECOND_DOMAIN + order(seed ^ 0x5712, start, count, self.size).to(self.device)
        return Domains(self._plain(x), self._striped(y))

    def test_batch(self, start: int, count: int) -> Domains:
        return Domains(*self.test_pairs(start, count))

    def test_pairs(self, start: int, count: int) -> Pairs:
        """Return held-out scenes, plain as the source and striped as the target."""
        index = self.test_index(start, count)
        return Pairs(self._plain(index), self._striped(index))

    def _plain(self, index: Tensor) -> Tensor:
        return self.to_output(render(factors(index), self.image_size))

    def _striped(self, index: Tensor) -> Tensor:
        return self.to_output(render(factors(index), self.image_size, striped=True))


class ShapesEdges(SceneDataset):
    """Pairs of an outline and the colored shape.

    The kind of the shape determines the hue up to a part of the color wheel that is random: `freedom`, from 0 (one
    image per outline) to 1 (any hue).
    """

    name = "shapesedges"

    batch_type = Pairs

    def __init__(
        self, image_size: ImageSize = 32, channels: int = 3, num_classes: int | None = None,
        value_range: Sequence[float] = (-1.0, 1.0), size: int = 50_000, freedom: float = 0.08,
    ) -> None:
        if not 0 <= freedom <= 1:
            raise ValueError(f"freedom={freedom}: the random part of the color wheel lies in [0, 1]")
        super().__init__(image_size, channels, num_classes, value_range, size)
        self.freedom = freedom

    def train_batch(self, seed: int, start: int, count: int) -> Pairs:
        return self.pairs(self.train_index(seed, start, count))

    def test_batch(self, start: int, count: int) -> Pairs:
        return self.pairs(self.test_index(start, count))

    def pairs(self, index: Tensor) -> Pairs:
        """Return outline and image of the scenes with these numbers."""
        scene = factors(index)
        hue = (scene.kind / len(KINDS) + self.freedom * (scene.hue - 0.5)) % 1
        scene = scene._replace(hue=hue, ground=torch.full_like(scene.ground, 0.9))
        outline, image = render_outline(scene, self.image_size), render(scene, self.image_size)
        return Pairs(self.to_output(outline), self.to_output(image))

    def fingerprint(self) -> str:
        return super().fingerprint() + ("" if self.freedom == 0.08 else f"-{self.freedom}")
