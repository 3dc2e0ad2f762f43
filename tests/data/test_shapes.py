"""The generated scenes: what is drawn is what the factors say."""

import colorsys
import math

import pytest
import torch
from torch import Tensor

from gan_cli.data.shapes import (
    KINDS,
    SECOND_DOMAIN,
    Factors,
    Shapes,
    ShapesEdges,
    ShapesStripes,
    color,
    factors,
    render,
)

SIDE = 64
INDEX = torch.arange(600)
AREA = {  # of a shape of radius 1
    "circle": math.pi * 0.9**2,
    "square": 1.5**2,
    "triangle": 3 * math.sqrt(3) / 4,
    "star": 5 * 0.45 * math.sin(math.pi / 5),
    "cross": 2 * 1.8 * 0.6 - 0.6**2,
    "ring": math.pi * (0.9**2 - 0.4**2),
}
POINT = {"square": (4, math.pi / 4), "triangle": (3, -math.pi / 2), "star": (5, -math.pi / 2), "cross": (4, 0.0)}


def inside(scene: Factors, image: Tensor) -> Tensor:
    """How much of each pixel the shape covers, from the image alone and its two colors, (N, H, W)."""
    ground = scene.ground[:, None, None, None]
    direction = color(scene.hue)[:, :, None, None] - ground
    return ((image - ground) * direction).sum(1) / (direction**2).sum(1)


def moments(cover: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Area in [-1, 1] x [-1, 1], and the center's x and y, (N,)."""
    line = (torch.arange(SIDE) + 0.5) * 2 / SIDE - 1
    mass = cover.sum((1, 2))
    x, y = (cover * line).sum((1, 2)) / mass, (cover * line[:, None]).sum((1, 2)) / mass
    return mass * (2 / SIDE) ** 2, x, y


@pytest.fixture(scope="module")
def scene() -> Factors:
    return factors(INDEX)


@pytest.fixture(scope="module")
def cover(scene: Factors) -> Tensor:
    return inside(scene, render(scene, SIDE))


def test_factors_are_uniform_and_independent():
    many = factors(torch.arange(50_000))
    assert (torch.bincount(many.kind, minlength=6) - 50_000 / 6).abs().max() < 450
    assert many.kind.dtype == torch.int64 and many.kind.max() == len(KINDS) - 1
    assert many.hue.min() >= 0 and many.hue.max() < 1 and abs(many.hue.mean() - 0.5) < 0.01
    table = torch.corrcoef(torch.stack([factor.float() for factor in many]))
    assert (table - torch.eye(len(many))).abs().max() < 0.02
    assert (torch.maximum(many.x.abs(), many.y.abs()) + many.size).max() < 1  # nothing is cut off


def test_the_image_is_ground_color_and_a_smooth_edge(scene, cover):
    assert cover.min() > -1e-4 and cover.max() < 1 + 1e-4
    ground, fill, share = scene.ground[:, None, None, None], color(scene.hue)[:, :, None, None], cover[:, None]
    rebuilt = ground + (fill - ground) * share
    assert torch.allclose(rebuilt, render(scene, SIDE), atol=1e-4)
    assert (cover.flatten(1).max(1).values > 0.99).all()
    between = ((cover > 0.02) & (cover < 0.98)).float().mean((1, 2))
    assert (between > 0.005).all() and (between < 0.2).all()


def test_hue_is_the_factor(scene, cover):
    image = render(scene, SIDE)
    for n in range(100):
        row, column = divmod(int(cover[n].argmax()), SIDE)
        hue, saturation, value = colorsys.rgb_to_hsv(*image[n, :, row, column].tolist())
        assert abs((hue - scene.hue[n] + 0.5) % 1 - 0.5) < 0.01
        assert saturation == pytest.approx(0.85, abs=0.01) and value == pytest.approx(0.95, abs=0.01)


def test_place_and_size_are_the_factors(scene, cover):
    area, x, y = moments(cover)
    assert (x - scene.x).abs().max() < 0.015 and (y - scene.y).abs().max() < 0.015
    expected = torch.tensor([AREA[kind] for kind in KINDS])[scene.kind] * scene.size**2
    error = (area / expected - 1).abs()
    assert error.max() < 0.12  # inner corners are rounded by up to a pixel
    assert all(error[scene.kind == kind].mean() < 0.04 for kind in range(len(KINDS)))


@pytest.mark.parametrize("kind", POINT)
def test_rotation_is_the_factor(kind, scene, cover):
    """The moment of order k of a shape with k points turns k times as fast as the shape."""
    order, point = POINT[kind]
    line = (torch.arange(SIDE) + 0.5) * 2 / SIDE - 1
    rows = (scene.kind == KINDS.index(kind)).nonzero()[:, 0]
    dx, dy = line[None, None, :] - scene.x[rows, None, None], line[None, :, None] - scene.y[rows, None, None]
    moment = (cover[rows] * torch.complex(*torch.broadcast_tensors(dx, dy)) ** order).sum((1, 2))
    expected = order * (point + scene.rotation[rows])
    off = (moment * torch.exp(-1j * expected)).angle()
    assert len(rows) > 50 and off.abs().max() < 0.2


def test_larger_images_show_the_same_scene(scene):
    small, big = render(scene, 16), render(scene, 64)
    shrunk = torch.nn.functional.avg_pool2d(big, 4)
    assert (small - shrunk).abs().mean() < 0.01


# the sets


def test_training_and_held_out_scenes_are_apart():
    data = Shapes(size=40)
    assert sorted(data.train_index(0, 0, 40).tolist()) == list(range(40))
    assert data.test_index(0, 3).tolist() == [40, 41, 42]
    assert data.test_index(data.test_size - 1, 2).tolist() == [40 + data.test_size - 1, 40]
    index = data.train_index(0, 7, 5)
    assert torch.equal(data.train_batch(0, 7, 5).label, factors(index).kind)
    assert torch.allclose(data.train_batch(0, 7, 5).image, 2 * render(factors(index), 32) - 1, atol=1e-6)


def test_ranges_gray_and_labels():
    colors = Shapes(value_range=[0, 1]).test_batch(0, 20)
    assert torch.allclose(Shapes().test_batch(0, 20).image, 2 * colors.image - 1, atol=1e-6)
    gray = Shapes(channels=1, value_range=[0, 1]).test_batch(0, 20)
    red, green, blue = colors.image.unbind(1)
    assert torch.allclose(gray.image[:, 0], 0.299 * red + 0.587 * green + 0.114 * blue, atol=1e-5)
    assert torch.equal(gray.label, colors.label)
    assert Shapes(num_classes=None).test_batch(0, 2).label is None


def test_stripes_are_on_the_shape_and_keep_its_color():
    data = ShapesStripes(image_size=SIDE, value_range=[0, 1])
    index = data.test_index(0, 200)
    scene, (x, y) = factors(index), data.test_pairs(0, 200)
    cover = inside(scene, x)
    outside = (cover < 1e-3)[:, None].expand_as(x)
    assert torch.allclose(x[outside], y[outside], atol=2e-3)  # the ground is the same
    full = cover > 0.999
    for n in range(200):
        plain, striped = x[n][:, full[n]], y[n][:, full[n]]
        share = (striped - 0.05).sum(0) / (plain - 0.05).sum(0)  # 1 in the shape's color, 0 in ink
        assert torch.allclose(striped, 0.05 + (plain - 0.05) * share, atol=1e-3)
        assert (share > 0.99).float().mean() > 0.2 and (share < 0.01).float().mean() > 0.2
        rows = y[n].mean(0)
        assert all(rows[r][full[n][r]].std(unbiased=False) < 2e-3 for r in range(SIDE) if full[n][r].any())


def test_stripes_start_at_the_center_with_the_shapes_color():
    data = ShapesStripes(image_size=SIDE, value_range=[0, 1])
    scene, (x, y) = factors(data.test_index(0, 200)), data.test_pairs(0, 200)
    for n in (scene.kind == KINDS.index("square")).nonzero()[:, 0].tolist():
        column, row, ink = (int((value + 1) / 2 * SIDE) for value in
                            (scene.x[n], scene.y[n], scene.y[n] + 0.4 * scene.size[n]))
        assert torch.allclose(y[n, :, row, column], x[n, :, row, column], atol=0.01)
        assert torch.allclose(y[n, :, ink, column], torch.tensor(0.05), atol=0.01)


def test_stripes_are_a_bijection_that_can_be_undone_from_the_image():
    """Color and ground are read off y, and drawn back over y's stripes; and x gives y by way of its center."""
    data = ShapesStripes(image_size=SIDE, value_range=[0, 1])
    x, y = data.test_batch(0, 100)
    scene = factors(data.test_index(0, 100))
    for n in range(100):
        ground = y[n, :, 0, 0]
        pixels = y[n].flatten(1)
        saturation = pixels.max(0).values - pixels.min(0).values
        fill = pixels[:, saturation.argmax()]
        assert torch.allclose(fill, color(scene.hue[n : n + 1])[0], atol=0.01)
        ink = (y[n] - ground[:, None, None]).abs().sum(0) > 0.5  # shape, in whatever color
        restored = torch.where(ink, fill[:, None, None], ground[:, None, None])
        assert (restored - x[n]).abs().mean() < 0.03
    assert (y - x).abs().mean() > 0.03  # and the task is not trivial
    _, cx, cy = moments(inside(scene, x))
    assert (render(scene._replace(x=cx, y=cy), SIDE, striped=True) - y).abs().mean() < 0.006


def test_domains_are_unpaired_and_disjoint_in_training(monkeypatch):
    drawn: list[Tensor] = []
    monkeypatch.setattr("gan_cli.data.shapes.factors", lambda index: drawn.append(index) or factors(index))
    ShapesStripes(image_size=8, size=40).train_batch(0, 0, 20)
    x, y = (set(index.tolist()) for index in drawn)
    assert len(x) == len(y) == 20 and not x & y and x < set(range(40))
    assert [a % SECOND_DOMAIN for a in drawn[0].tolist()] != [b % SECOND_DOMAIN for b in drawn[1].tolist()]
    batch, pairs = ShapesStripes().test_batch(3, 4), ShapesStripes().test_pairs(3, 4)
    assert torch.equal(batch.x, pairs.source) and torch.equal(batch.y, pairs.target)


def test_outlines_surround_the_target_and_determine_its_color():
    data = ShapesEdges(image_size=SIDE, value_range=[0, 1])
    index = data.test_index(0, 200)
    scene, (source, target) = factors(index), data.test_batch(0, 200)
    hue = (scene.kind / len(KINDS) + 0.08 * (scene.hue - 0.5)) % 1
    scene = scene._replace(hue=hue, ground=torch.full((200,), 0.9))
    cover = inside(scene, target)
    assert torch.equal(source[:, 0], source[:, 1]) and torch.equal(source[:, 0], source[:, 2])
    edge = (cover - 0.5).abs() < 0.3
    assert (source[:, 0][edge] < 0.1).all()  # dark where the fill begins
    assert (source[:, :, 0, 0] == 1).all() and 0.02 < (source < 0.5).float().mean() < 0.25
    assert (torch.histc(scene.hue, 30, 0, 1) > 0).sum() < 25  # hues come in groups, one a kind


@pytest.mark.parametrize("wrong", [{"image_size": 0}, {"image_size": 7}, {"channels": 5}, {"num_classes": 5},
                                   {"size": 0}, {"value_range": [1, 1]}])
def test_invalid_values_give_a_one_line_error(wrong):
    with pytest.raises(ValueError) as error:
        Shapes(**wrong)
    assert next(iter(wrong)) in str(error.value) and "\n" not in str(error.value)


def test_scenes_without_labels_claim_none() -> None:
    for scenes in (ShapesStripes, ShapesEdges):
        with pytest.raises(ValueError, match="num_classes=6: there are no labels"):
            scenes(num_classes=6)
        assert scenes(num_classes=None).num_classes is None


def test_shapes_without_pose_are_upright_and_centered() -> None:
    moved, still = (Shapes(image_size=32, pose=pose).train_batch(0, 0, 200) for pose in (True, False))
    assert torch.equal(moved.label, still.label) and not torch.equal(moved.image, still.image)
    mirrored = still.image.flip(3)  # every kind is symmetric about the vertical through its center
    assert (still.image - mirrored).abs().max() < 1e-3 < (moved.image - moved.image.flip(3)).abs().mean()
    assert Shapes(pose=False).fingerprint() != Shapes().fingerprint()
