"""The stream of a data set: numbers without state, epochs that are permutations, points, and the configs."""

import importlib
import inspect
import math
from itertools import pairwise

import pytest
import torch
from omegaconf import OmegaConf

from gan_cli.config.paths import conf_dir
from gan_cli.data.base import Dataset, as_range, normal, order, positions, scale, uniform
from gan_cli.data.gaussians import GaussianGrid, Mixture, Ring
from gan_cli.data.shapes import Shapes, ShapesEdges, ShapesStripes

GENERATED = {
    "shapes": lambda: Shapes(image_size=16, size=23),
    "shapes_grey": lambda: Shapes(image_size=17, channels=1, size=23),
    "shapes_stripes": lambda: ShapesStripes(image_size=16, size=24),
    "shapes_edges": lambda: ShapesEdges(image_size=16, size=23),
    "ring": Ring,
    "grid": GaussianGrid,
}
INDEX = torch.arange(200_000)


def equal(a: tuple, b: tuple) -> bool:
    return all(x is y is None or torch.equal(x, y) for x, y in zip(a, b, strict=True))


def joined(data: Dataset, seed: int, cuts: list[int]) -> tuple:
    parts = [data.train_batch(seed, start, stop - start) for start, stop in pairwise(cuts)]
    return tuple(torch.cat(column) for column in zip(*parts) if column[0] is not None)


# numbers


@pytest.mark.parametrize("stream", [0, 1, 7])
@pytest.mark.parametrize("seed", [0, 1, 2**40, -3])
def test_uniform_is_uniform(seed, stream):
    u = uniform(seed, INDEX, stream)
    assert u.dtype == torch.float32 and u.min() >= 0 and u.max() < 1
    counts = torch.bincount((u * 100).long(), minlength=100)
    chi2 = ((counts - 2000.0) ** 2 / 2000).sum()
    assert 50 < chi2 < 165  # 99 degrees of freedom: mean 99, standard deviation 14


OTHERS = {"next stream": (0, INDEX, 1), "far stream": (0, INDEX, 6), "next seed": (1, INDEX, 0),
          "next sample": (0, INDEX + 1, 0), "far sample": (0, INDEX + 2**40, 0)}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_streams_seeds_and_neighbours_are_independent(other):
    a, b = uniform(0, INDEX, 0), uniform(*other)
    cells = torch.bincount((a * 10).long() * 10 + (b * 10).long(), minlength=100)
    assert ((cells - 2000.0) ** 2 / 2000).sum() < 165
    assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 0.01


def test_streams_of_one_seed_are_no_shift_of_those_of_another():
    """A generator that adds its key to a counter repeats itself."""
    seen = [set(uniform(seed, INDEX[:2000], stream).tolist()) for seed in range(3) for stream in range(4)]
    shared = [len(a & b) for i, a in enumerate(seen) for b in seen[:i]]
    assert max(shared) <= 6  # of 2000 numbers of 24 bits, chance shares 0.24


def test_normal_is_normal_and_its_streams_independent():
    x, y = normal(0, INDEX, 1).double(), normal(0, INDEX, 3).double()
    for values in (x, y, (x + y) / math.sqrt(2)):
        assert abs(values.mean()) < 0.01 and abs(values.std() - 1) < 0.01
        u = (1 + torch.erf(values / math.sqrt(2))) / 2
        counts = torch.bincount((u * 50).long().clamp(max=49), minlength=50)
        assert ((counts - 4000.0) ** 2 / 4000).sum() < 100
    assert abs((x * y).mean()) < 0.01 and abs((x**2 * y**2).mean() - 1) < 0.05
    assert 4 < x.abs().max() < 6


# order


def test_every_epoch_is_a_new_permutation():
    epochs = [order(3, 11 * epoch, 11, 11).tolist() for epoch in range(6)]
    assert all(sorted(epoch) == list(range(11)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 6


def test_order_crosses_epochs_and_depends_on_seed_alone():
    whole = order(0, 0, 50, 7)
    assert torch.equal(order(0, 5, 20, 7), whole[5:25])
    assert not torch.equal(order(1, 0, 50, 7), whole)
    whole.zero_()
    assert torch.equal(order(0, 0, 7, 7).sort().values, torch.arange(7))  # what is kept was not handed out


def test_a_set_of_one_sample():
    assert order(0, 4, 3, 1).tolist() == [0, 0, 0]


# every generated set


@pytest.mark.parametrize("name", GENERATED)
def test_batches_are_pure_and_split_to_the_bit(name):
    data, again = GENERATED[name](), GENERATED[name]()
    whole = data.train_batch(5, 3, 61)
    assert isinstance(whole, data.batch_type)
    assert equal(tuple(part for part in whole if part is not None), joined(data, 5, [3, 4, 6, 13, 14, 29, 47, 64]))
    assert equal(again.train_batch(5, 3, 61), whole)
    assert not equal(data.train_batch(6, 3, 61), whole)


@pytest.mark.parametrize("name", GENERATED)
def test_held_out_samples_are_fixed_and_wrap(name):
    data = GENERATED[name]()
    first = data.test_batch(0, 4)
    assert equal(data.test_batch(0, 4), first)
    assert equal(data.test_batch(data.test_size, 4), first)
    last = data.test_batch(data.test_size - 1, 2)
    assert torch.equal(last[0][1], first[0][0]) and not torch.equal(last[0][0], first[0][0])


@pytest.mark.parametrize("name", GENERATED)
def test_shapes_types_and_ranges(name):
    data = GENERATED[name]()
    for batch in (data.train_batch(0, 0, 32), data.test_batch(0, 32)):
        for image in batch[:1] if data.batch_type.__name__ == "Images" else batch:
            assert image.shape == (32, data.channels, data.image_size, data.image_size)
            assert image.dtype == torch.float32 and image.is_contiguous()
            assert data.value_range is None or (-1 <= image.min() < -0.3 and 0.4 < image.max() <= 1)


@pytest.mark.parametrize("name", GENERATED)
def test_fingerprints_tell_data_apart(name):
    assert GENERATED[name]().fingerprint() == GENERATED[name]().fingerprint()
    assert len({make().fingerprint() for make in GENERATED.values()}) == len(GENERATED)


# points


@pytest.mark.parametrize("make, count, std", [(Ring, 8, 0.01), (GaussianGrid, 25, 0.05)])
def test_points_are_the_papers_mixture(make, count, std):
    data = make()
    assert data.train_batch(0, 0, 4).label is None
    image, label = type(data)(num_classes=count).train_batch(0, 0, 40_000)
    points = image.flatten(1)
    off = (points - data.modes[label]) / data.std
    assert data.std == std and data.modes.shape == (count, 2)
    assert torch.equal(torch.cdist(points, data.modes).argmin(1), label)
    hits = torch.bincount(label, minlength=count)
    assert (hits - 40_000 / count).abs().max() < 5 * math.sqrt(40_000 / count)
    assert off.mean(0).abs().max() < 0.025 and (off.std(0) - 1).abs().max() < 0.015
    assert abs((off[:, 0] * off[:, 1]).mean()) < 0.02
    spread = torch.stack([(off[label == mode] ** 2).sum(1).mean() for mode in range(count)])
    assert (spread - 2).abs().max() < 0.25  # the noise knows nothing of the mode
    high_quality = (off.norm(dim=1) <= 3).float().mean()
    assert abs(high_quality - (1 - math.exp(-4.5))) < 0.002  # 98.89 %, the ceiling of the papers' measure


def test_modes_of_ring_and_grid():
    h = math.sqrt(0.5)
    ring = torch.tensor([[1, 0], [h, h], [0, 1], [-h, h], [-1, 0], [-h, -h], [0, -1], [h, -h]])
    assert torch.allclose(Ring().modes, ring, atol=1e-6)
    side = (-4, -2, 0, 2, 4)
    assert {tuple(mode) for mode in GaussianGrid().modes.tolist()} == {(x, y) for x in side for y in side}


def test_points_are_fresh():
    points = torch.cat([Ring().train_batch(0, start, 1000).image for start in (0, 100_000, 200_000)]).flatten(1)
    held_out = Ring().test_batch(0, 1000).image.flatten(1)
    assert len(torch.cat([points, held_out]).unique(dim=0)) == 4000


@pytest.mark.parametrize("make, wrong", [(Ring, {"std": 0}), (Ring, {"std": -1.0}), (GaussianGrid, {"std": -0.05}),
                                         (Ring, {"image_size": 32}), (GaussianGrid, {"channels": 3}),
                                         (Ring, {"n_modes": 0})])
def test_invalid_points_give_a_one_line_error(make, wrong):
    with pytest.raises(ValueError) as error:
        make(**wrong)
    assert next(iter(wrong)) in str(error.value) and "\n" not in str(error.value)


# small parts and configs


def test_scale_and_ranges():
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8)
    assert scale(pixels, (-1.0, 1.0)).tolist() == pytest.approx([-1, -0.6, 1])
    assert scale(pixels, (0.0, 1.0)).tolist() == pytest.approx([0, 0.2, 1])
    assert pixels.tolist() == [0, 51, 255]
    assert as_range([-1, 1]) == (-1.0, 1.0)
    assert positions(3, 2, torch.device("cpu")).tolist() == [3, 4]
    with pytest.raises(ValueError, match="value_range"):
        as_range([1, -1])


@pytest.mark.parametrize("file", sorted((conf_dir() / "dataset").glob("*.yaml")), ids=lambda file: file.stem)
def test_configs_name_what_the_constructor_takes(file):
    first = file.read_text().splitlines()[0]
    assert first.startswith("# ") and len(first) > 20
    cfg = OmegaConf.load(file)
    if "_target_" not in cfg:  # an instance of another set
        return
    module, _, name = cfg._target_.rpartition(".")
    target = getattr(importlib.import_module(module), name)
    given = {key for key in cfg if key != "_target_"}
    assert {"image_size", "channels", "num_classes", "value_range"} <= given
    inspect.signature(target).bind(**dict.fromkeys(given))
    if issubclass(target, (Mixture, Shapes, ShapesStripes, ShapesEdges)):
        data = target(**{key: value for key, value in OmegaConf.to_container(cfg).items() if key != "_target_"})
        batch = data.train_batch(0, 0, 2)
        assert batch[0].shape == (2, cfg.channels, cfg.image_size, cfg.image_size)
        assert data.num_classes == cfg.num_classes
