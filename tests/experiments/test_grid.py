"""Grids of sweeps: those of EBGAN's paper, axes, subsamples and settings."""

import pytest
import torch
from helpers import TINY_RING, composed
from hydra.types import RunMode
from omegaconf import OmegaConf

from gan_cli.cli import main
from gan_cli.config.composer import Composer, arguments
from gan_cli.config.paths import conf_dir
from gan_cli.config.schema import check
from gan_cli.experiments.grid import Choice, SweepGrid, SweepSettings, _named_axis, build_grid, sweep_settings
from gan_cli.training import build
from gan_cli.utils.errors import GanError

GRIDS = {"gan_mnist_grid": 6144, "ebgan_mnist_grid": 512, "ebgan_pt_mnist_grid": 512}


def grid_of(*words):
    """The grid and the settings of `gan train -m *words`."""
    args = arguments(words)
    composer = Composer(args)
    settings = sweep_settings(composer.compose(args.overrides, RunMode.MULTIRUN).hydra.sweeper)
    return build_grid(args.overrides, settings, composer), settings


@pytest.mark.parametrize("name", GRIDS)
def test_the_grids_of_the_paper(name):
    grid, settings = grid_of(f"sweep={name}")
    assert len(grid) == GRIDS[name] and settings.sample == "all"
    every = {grid.trial(index)[0] for index in range(len(grid))}
    assert len(every) == GRIDS[name]
    label, overrides = grid.trial(0)
    experiment = name.replace("gan_mnist_grid", "gan_grid_mnist") if name.startswith("gan") else name[:-5]
    assert overrides[:3] == [f"experiment={experiment}", "model.generator.layers=2", "model.discriminator.layers=2"]
    assert label.startswith("nLayerG=2,nLayerD=2,sizeG=400,sizeD=128,dropoutD=true")
    label, overrides = grid.trial(len(grid) - 1)
    if name == "gan_mnist_grid":
        assert label == "nLayerG=5,nLayerD=5,sizeG=3200,sizeD=1024,dropoutD=false,optimD=sgd,optimG=sgd,lr=0.0001"
    assert {"model.generator.size=3200", "model.discriminator.dropout=false"} <= set(overrides)


def test_a_trial_of_the_gan_grid_has_the_settings_in_its_label():
    grid, _ = grid_of("sweep=gan_mnist_grid")
    wanted = "dropoutD=true,optimD=sgd,optimG=adam,lr=0.01"
    index = next(i for i in range(len(grid)) if grid.trial(i)[0].endswith(wanted))
    cfg = composed(*grid.trial(index)[1])
    check(cfg)
    built = build.optimizers(cfg, build.system(cfg))
    assert {name: type(one) for name, one in built.items()} == {
        "generator": torch.optim.Adam, "discriminator": torch.optim.SGD
    }  # fmt: skip
    assert all(one.param_groups[0]["lr"] == 0.01 for one in built.values())
    assert list(built["generator"].param_groups[0]["betas"]) == [0.5, 0.999]
    assert built["discriminator"].param_groups[0]["momentum"] == 0


def test_a_network_may_have_an_optimizer_of_another_class():
    cfg = composed(
        *TINY_RING, "optimizer.lr=0.3", "optimizer.betas=[0.2,0.7]",
        "optimizer.networks.discriminator._target_=torch.optim.SGD", "optimizer.networks.generator.lr=0.1",
    )  # fmt: skip
    check(cfg)
    built = build.optimizers(cfg, build.system(cfg))
    assert type(built["discriminator"]) is torch.optim.SGD and built["discriminator"].param_groups[0]["lr"] == 0.3
    assert type(built["generator"]) is torch.optim.Adam and built["generator"].param_groups[0]["lr"] == 0.1
    assert list(built["generator"].param_groups[0]["betas"]) == [0.2, 0.7]
    cfg.optimizer.networks.discriminator = {"_target_": "torch.optim.SGD", "betas": [0.1, 0.2]}
    with pytest.raises(GanError, match=r"no key 'optimizer.networks.discriminator.betas' in torch.optim.sgd.SGD"):
        check(cfg)
    cfg.optimizer.networks.discriminator = {"_target_": "os.system"}
    with pytest.raises(GanError, match=r"optimizer.networks.discriminator"):
        check(cfg)


def test_the_command_line_replaces_an_axis():
    grid, _ = grid_of("+sweep=ebgan_mnist_grid", "model.generator.size=100,200", "optimizer.lr=0.5", "seed=range(0,3)")
    assert len(grid) == 512 // 4 * 2 * 3
    label, overrides = grid.trial(len(grid) - 1)
    assert "optimizer.lr=0.5" in overrides and "lr=0.001" not in label
    assert overrides[-3:] == ["model.generator.size=200", "optimizer.lr=0.5", "seed=2"]
    assert "experiment=ebgan_pt_mnist" in grid_of("sweep=ebgan_mnist_grid", "experiment=ebgan_pt_mnist")[0].trial(0)[1]


def test_subsamples_are_distinct_seeded_and_begin_with_the_smaller_ones():
    grid = SweepGrid(tuple(tuple(Choice(f"{n}={v}", (f"{n}={v}",)) for v in range(8)) for n in "abc"))
    short, long = grid.subsample(24, seed=0), grid.subsample(48, seed=0)
    assert long[:24] == short and len(set(long)) == 48 and long != sorted(long)
    assert grid.subsample(24, seed=0) == short != grid.subsample(24, seed=1)
    assert sorted(grid.subsample(512, seed=3)) == grid.subsample("all", seed=3) == list(range(512))
    # by hand, the last axis fastest: 3*64 + 1*8 + 6
    assert grid.trial(206) == ("a=3,b=1,c=6", ["a=3", "b=1", "c=6"])
    with pytest.raises(GanError, match=r"sweep.sample=513: the grid has 512 trials"):
        grid.subsample(513, seed=0)


def test_too_many_trials_are_refused_before_they_are_listed():
    """Of a product of short lists as well; a sample may be taken from more."""
    values = tuple(Choice(f"{v}", (f"a={v}",)) for v in range(100))
    grid = SweepGrid((values,) * 3)
    assert len(grid.subsample(20, seed=0)) == 20
    for axes, sample in ((3, "all"), (3, 200_000), (4, 20), (40, "all")):
        with pytest.raises(GanError, match=rf"the grid has {100**axes:,} trials: .*sweep.sample=N"):
            SweepGrid((values,) * axes).subsample(sample, seed=0)


def test_several_keys_of_an_axis_change_together():
    axis = _named_axis("both", {"a.x": [1, 2], "b.x": {"one": None, "two": {"y": [True, 1e-5]}}})
    assert [choice.overrides for choice in axis] == [("a.x=1", "b.x=null"), ("a.x=2", "b.x={y:[true,1e-05]}")]
    assert [choice.label for choice in axis] == ["both=1", "both=2"]
    with pytest.raises(GanError, match=r"sweep.grid.both: its keys need equally many values"):
        _named_axis("both", {"a.x": [1, 2], "b.x": [1]})


def test_settings_are_typed():
    assert SweepSettings() == sweep_settings(OmegaConf.load(conf_dir() / "hydra/sweeper/grid.yaml"))
    with pytest.raises(GanError, match=r"sweep.seed must be a whole number"):
        sweep_settings(OmegaConf.create({"_target_": "x", "seed": "now"}))


def test_the_names_of_the_grids_are_listed(capsys):
    assert main.main(["list", "sweep"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in GRIDS) and {f.stem for f in (conf_dir() / "sweep").glob("*.yaml")} == set(GRIDS)
