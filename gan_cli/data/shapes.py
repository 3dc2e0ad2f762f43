"""Pictures that need no download: one coloured shape on a plain ground, every factor of it known.

A scene is a pure function of its number. Shapes are drawn from signed distances, so an edge is smooth over one pixel
at any size. Coordinates: the picture is [-1, 1] x [-1, 1], x to the right, y down.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gan_cli.data.base import Dataset, Domains, Images, Pairs, as_range, order, positions, uniform

KINDS = ("circle", "square", "triangle", "star", "cross", "ring")
OTHER = 1 << 40  # the scenes of the second domain are numbered from here
INK = 0.05  # of stripes and outlines, in [0, 1]
LIGHT = torch.tensor([0.299, 0.587, 0.114])  # ITU-R BT.601: what a grey picture keeps of red, green and blue


class Factors(NamedTuple):
    """Of N scenes, each (N,): kind 0..5; hue [0, 1); size, the shape's radius; x, y, its centre; rotation in radians;
    ground, the brightness behind it in [0, 1]."""

    kind: Tensor
    hue: Tensor
    size: Tensor
    x: Tensor
    y: Tensor
    rotation: Tensor
    ground: Tensor


def factors(index: Tensor) -> Factors:
    """The scenes with these numbers, (N,) int64."""
    u = [uniform(0, index, stream) for stream in range(7)]
    size = 0.48 + 0.3 * u[2]
    room = 0.97 - size
    return Factors(
        kind=(u[0] * len(KINDS)).long(), hue=u[1], size=size, x=(2 * u[3] - 1) * room, y=(2 * u[4] - 1) * room,
        rotation=2 * math.pi * u[5], ground=0.75 + 0.25 * u[6],
    )


def colour(hue: Tensor) -> Tensor:
    """(N,) -> RGB (N, 3) in [0, 1]: saturation .85, value .95."""
    value, saturation = 0.95, 0.85
    k = (torch.tensor([5.0, 3.0, 1.0], device=hue.device) + 6 * hue[:, None]) % 6
    return value * (1 - saturation * torch.minimum(k, 4 - k).clamp(0, 1))


def _triangle(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(y, (math.sqrt(3) * x.abs() - y) / 2) - 0.5


def _star(x: Tensor, y: Tensor, inner: float = 0.45) -> Tensor:
    """Five points of radius 1, the corners between them at `inner`: folded onto half a point."""
    half = math.pi / 5
    angle = (((torch.atan2(x, -y) + half) % (2 * half)) - half).abs()
    radius = torch.hypot(x, y)
    ex, ey = inner * math.cos(half) - 1, inner * math.sin(half)
    return (ey * (radius * angle.cos() - 1) - ex * radius * angle.sin()) / math.hypot(ex, ey)


def _cross(x: Tensor, y: Tensor) -> Tensor:
    x, y = x.abs(), y.abs()
    return torch.minimum(torch.maximum(x - 0.9, y - 0.3), torch.maximum(x - 0.3, y - 0.9))


DISTANCE: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (  # to the edge of a shape of radius 1; negative inside
    lambda x, y: torch.hypot(x, y) - 0.9,
    lambda x, y: torch.maximum(x.abs(), y.abs()) - 0.75,
    _triangle,
    _star,
    _cross,
    lambda x, y: (torch.hypot(x, y) - 0.65).abs() - 0.25,
)


def distance(scene: Factors, pixels: int) -> Tensor:
    """Signed distance of each pixel's centre to the shape's edge, in pixels, (N, H, W)."""
    line = (torch.arange(pixels, device=scene.x.device) + 0.5) * 2 / pixels - 1
    dx = (line[None, None, :] - scene.x[:, None, None]) / scene.size[:, None, None]
    dy = (line[None, :, None] - scene.y[:, None, None]) / scene.size[:, None, None]
    cos, sin = scene.rotation.cos()[:, None, None], scene.rotation.sin()[:, None, None]
    x, y = cos * dx + sin * dy, cos * dy - sin * dx
    result = torch.empty_like(x)
    for kind, formula in enumerate(DISTANCE):
        rows = (scene.kind == kind).nonzero()[:, 0]
        result[rows] = formula(x[rows], y[rows])
    return result * scene.size[:, None, None] * (pixels / 2)


def paint(scene: Factors, pixels: int, striped: bool = False) -> Tensor:
    """RGB in [0, 1], (N, 3, H, W). striped: dark bands across the shape, level in the picture, their period .8 of the
    shape's radius and their phase tied to its centre, so that either picture determines the other."""
    inside = (0.5 - distance(scene, pixels)).clamp(0, 1)[:, None]
    fill = colour(scene.hue)[:, :, None, None].expand(-1, -1, pixels, pixels)
    if striped:
        line = (torch.arange(pixels, device=scene.y.device) + 0.5) * 2 / pixels - 1
        phase = (line[None, :] - scene.y[:, None]) / (0.8 * scene.size[:, None])
        period = 0.8 * scene.size[:, None] * pixels / 2  # in pixels
        band = (0.5 + ((phase % 1 - 0.5).abs() - 0.25) * period).clamp(0, 1)  # 1: the shape's colour
        fill = INK + (fill - INK) * band[:, None, :, None]
    ground = scene.ground[:, None, None, None]
    return ground + (fill - ground) * inside


def outline(scene: Factors, pixels: int) -> Tensor:
    """A dark line of two pixels on white, in [0, 1], (N, 3, H, W)."""
    line = (1.5 - distance(scene, pixels).abs()).clamp(0, 1)[:, None]
    return (1 - (1 - INK) * line).expand(-1, 3, -1, -1)


class Scenes(Dataset):
    """What the three sets share: `size` training scenes, 10,000 held-out ones after them, and how they are shown."""

    def __init__(
        self, image_size: int = 32, channels: int = 3, num_classes: int | None = None,
        value_range: Sequence[float] = (-1.0, 1.0), size: int = 50_000,
    ) -> None:
        if image_size < 8:
            raise ValueError(f"image_size={image_size}: shapes need at least 8 pixels to be told apart")
        if channels not in (1, 3):
            raise ValueError(f"channels={channels}: shapes come in 3 channels (colour) or 1 (grey)")
        if size < 1:
            raise ValueError(f"size={size}: at least one training scene is needed")
        self.image_size, self.channels, self.num_classes = image_size, channels, num_classes
        self.value_range = as_range(value_range)
        self.size, self.test_size = size, 10_000
        self.device = torch.device("cpu")

    def show(self, picture: Tensor) -> Tensor:
        """RGB in [0, 1] -> the set's channels and range."""
        if self.channels == 1:
            picture = (picture * LIGHT.to(picture.device)[:, None, None]).sum(1, keepdim=True)
        assert self.value_range is not None
        low, high = self.value_range
        return low + (high - low) * picture

    def train_index(self, seed: int, start: int, count: int) -> Tensor:
        return order(seed, start, count, self.size).to(self.device)

    def test_index(self, start: int, count: int) -> Tensor:
        return self.size + positions(start, count, self.device) % self.test_size

    def fingerprint(self) -> str:
        return f"{type(self).__name__.lower()}-1-{self.size}-{self.image_size}-{self.channels}-{self.value_range}"

    def to(self, device: torch.device) -> "Scenes":
        self.device = device
        return self


class Shapes(Scenes):
    """Images of one shape each; the label is its kind (KINDS). pose: each shape turned by an angle of its own and moved
    off the centre; without, all are upright and in the centre, which is learned sooner."""

    def __init__(
        self, image_size: int = 32, channels: int = 3, num_classes: int | None = len(KINDS),
        value_range: Sequence[float] = (-1.0, 1.0), size: int = 50_000, pose: bool = True,
    ) -> None:
        if num_classes not in (None, len(KINDS)):
            raise ValueError(f"num_classes={num_classes}: there are {len(KINDS)} kinds of shapes; null hides them")
        super().__init__(image_size, channels, num_classes, value_range, size)
        self.pose = pose

    def train_batch(self, seed: int, start: int, count: int) -> Images:
        return self._images(self.train_index(seed, start, count))

    def test_batch(self, start: int, count: int) -> Images:
        return self._images(self.test_index(start, count))

    def _images(self, index: Tensor) -> Images:
        scene = factors(index)
        if not self.pose:
            still = torch.zeros_like(scene.rotation)
            scene = scene._replace(rotation=still, x=still, y=still)
        label = scene.kind if self.num_classes else None
        return Images(self.show(paint(scene, self.image_size)), label)

    def fingerprint(self) -> str:
        return super().fingerprint() + ("" if self.pose else "-still")


class ShapesStripes(Scenes):
    """Two unpaired domains of `size` scenes each, none in both: plain ones (x) and striped ones (y).

    The truth is known: `test_batch` and `test_pairs` show the same held-out scenes plain and striped.
    """

    batch_type = Domains

    def train_batch(self, seed: int, start: int, count: int) -> Domains:
        x = self.train_index(seed, start, count)
        y = OTHER + order(seed ^ 0x5712, start, count, self.size).to(self.device)
        return Domains(self._plain(x), self._striped(y))

    def test_batch(self, start: int, count: int) -> Domains:
        return Domains(*self.test_pairs(start, count))

    def test_pairs(self, start: int, count: int) -> Pairs:
        """source: plain; target: the same scenes striped."""
        index = self.test_index(start, count)
        return Pairs(self._plain(index), self._striped(index))

    def _plain(self, index: Tensor) -> Tensor:
        return self.show(paint(factors(index), self.image_size))

    def _striped(self, index: Tensor) -> Tensor:
        return self.show(paint(factors(index), self.image_size, striped=True))


class ShapesEdges(Scenes):
    """Pairs: an outline and its picture. The kind tells the hue but for a part of the colour wheel that nothing tells:
    `freedom`, from 0 (one picture to an outline) to 1 (any hue).
    """

    batch_type = Pairs

    def __init__(
        self, image_size: int = 32, channels: int = 3, num_classes: int | None = None,
        value_range: Sequence[float] = (-1.0, 1.0), size: int = 50_000, freedom: float = 0.08,
    ) -> None:
        if not 0 <= freedom <= 1:
            raise ValueError(f"freedom={freedom}: the part of the colour wheel that is free lies in [0, 1]")
        super().__init__(image_size, channels, num_classes, value_range, size)
        self.freedom = freedom

    def train_batch(self, seed: int, start: int, count: int) -> Pairs:
        return self.pairs(self.train_index(seed, start, count))

    def test_batch(self, start: int, count: int) -> Pairs:
        return self.pairs(self.test_index(start, count))

    def pairs(self, index: Tensor) -> Pairs:
        scene = factors(index)
        hue = (scene.kind / len(KINDS) + self.freedom * (scene.hue - 0.5)) % 1
        scene = scene._replace(hue=hue, ground=torch.full_like(scene.ground, 0.9))
        return Pairs(self.show(outline(scene, self.image_size)), self.show(paint(scene, self.image_size)))

    def fingerprint(self) -> str:
        return super().fingerprint() + ("" if self.freedom == 0.08 else f"-{self.freedom}")
