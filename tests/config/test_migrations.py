"""What version 0.1 wrote, in today's words: each migration on plain data."""

from pathlib import Path
from typing import Any

import pytest
from helpers import composed
from omegaconf import OmegaConf

from gan_cli.config import migrations
from gan_cli.config.groups import groups
from gan_cli.config.migrations import v1_to_v2, v2_to_v3
from gan_cli.config.targets import target
from gan_cli.utils.errors import GanError

TARGETS = (Path(__file__).parent / "targets_of_0_1.txt").read_text().split()


@pytest.mark.parametrize("path", TARGETS)
def test_every_class_that_a_file_of_0_1_names_is_found(path: str) -> None:
    moved = v1_to_v2.moved(path)
    assert v1_to_v2.moved(moved) == moved  # a process may be killed between a config and its version
    today = v2_to_v3.CLASSES.get(moved, moved)
    assert target(today).__module__ + "." + target(today).__name__ == today


def test_a_config_of_0_1() -> None:
    old = {
        "seed": 3,
        "trainer": {
            "iterations": 10, "best_by": "outline_x2y", "cpu_kernels": False, "momentum": None, "cuda_graphs": True,
            "schedule": {"_target_": "gan_cli.schedules.LinearDecay", "begin": 0.5},
        },
        "model": {"_target_": "gan_cli.systems.pix2pix.Pix2Pix", "one_fake": False},
        "loss": {
            "_target_": "gan_cli.objective.Objective",
            "penalty": {"_target_": "gan_cli.penalties.Sum", "parts": [{"_target_": "gan_cli.penalties.R1"}]},
        },
        "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.1},
        "metric": {"partner": {"_target_": "gan_cli.metrics.translation.PartnerL1", "style": True}},
        "evaluate": {"metric": ["partner", "fid"], "settings": ["metric.partner.style=true"]},
        "expect": [{"metric": "partner", "value": "x2y", "paper": 0.1, "source": "a paper"}],
        "variants": {"toy": ["network=toy", "trainer.best_by=null", "trainer.cuda_graphs=true"]},
    }  # fmt: skip
    new = migrations.config(old, 1)
    trainer = new.pop("trainer")
    assert trainer.items() >= {
        "iterations": 10, "best_metric": "outline_AtoB", "cpu_fast_paths": False, "momentum_schedule": None,
        "schedule": {"_target_": "gan_cli.training.schedules.LinearDecay", "begin": 0.5},
        "keep_every": 0, "evaluate_every": 1000, "evaluate_count": 5000, "prefetch": None, "compile": False,
    }.items()  # fmt: skip
    assert not {"best_by", "cpu_kernels", "momentum", "cuda_graphs"} & set(trainer)
    assert new == {
        "seed": 3,
        "model": {"_target_": "gan_cli.systems.pix2pix.Pix2Pix", "share_fakes": False},
        "loss": {
            "_target_": "gan_cli.losses.objective.Objective",
            "penalty": {
                "_target_": "gan_cli.losses.penalties.SumPenalty",
                "parts": [{"_target_": "gan_cli.losses.penalties.R1"}],
            },
        },
        "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.1},
        "metric": {"paired": {"_target_": "gan_cli.metrics.paired_translation.PairedTranslation", "style": True}},
        "evaluate": {"metric": ["paired", "fid"], "settings": ["metric.paired.style=true"]},
        "expect": [{"metric": "paired", "value": "AtoB", "paper": 0.1, "source": "a paper"}],
        "variants": {"toy": ["network=mlp_points", "trainer.best_metric=null"]},
        "extractor": {"_target_": "gan_cli.metrics.extractors.Auto"},
    }
    again = migrations.config({**new, "trainer": trainer}, 1)
    assert again == {**new, "trainer": trainer}


def test_data_of_version_2_get_a_window() -> None:
    maps = {"_target_": "gan_cli.data.label_maps.LabelMapFolder", "root": "a"}
    assert migrations.config({"dataset": maps}, 2) == {"dataset": {**maps, "window": None, "void": None}}
    shapes = {"dataset": {"_target_": "gan_cli.data.shapes.Shapes"}}
    assert migrations.config(shapes, 2) == shapes
    files = {"dataset": {"_target_": "gan_cli.data.folders.ImageFolder", "window": [0, 1]}}
    assert migrations.config(files, 2) == files


def test_functions_of_version_2_are_classes() -> None:
    old = {
        "model": {
            "reconstruction": {"_target_": "torch.nn.functional.binary_cross_entropy", "_partial_": True},
            "noise": {"_target_": "gan_cli.utils.random.uniform", "_partial_": True, "high": 2.0},
            "other": [{"_target_": "my.torch.nn.functional.mse_loss", "_partial_": True}],
        }
    }
    new = migrations.config(old, 2)
    assert new == {
        "model": {
            "reconstruction": {"_target_": "torch.nn.BCELoss"},
            "noise": {"_target_": "gan_cli.utils.random.Uniform", "high": 2.0, "low": 0.0},
            "other": [{"_target_": "my.torch.nn.functional.mse_loss", "_partial_": True}],
        }
    }
    assert migrations.config(new, 2) == new
    override = "model.reconstruction={_target_:torch.nn.functional.mse_loss}"
    assert migrations.overrides([override], 2) == ["model.reconstruction={_target_:torch.nn.MSELoss}"]


@pytest.mark.parametrize("model", [file.stem for file in groups()["model"]])
def test_todays_configs_stay_as_they_are(model: str) -> None:
    plain: Any = OmegaConf.to_container(composed(f"model={model}"))
    assert migrations.config(plain, 1) == plain == migrations.config(plain, migrations.VERSION)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("network=toy", "network=mlp_points"),
        ("network=toy,toy_energy,dcgan", "network=mlp_points,mlp_points_autoencoder,dcgan"),
        ("metric=[partner, fid]", "metric=[paired, fid]"),
        ("+metric.iprime.reference=train", "+metric.modified_is.reference=train"),
        ("trainer.best_by=sharpness_y2x", "trainer.best_metric=sharpness_BtoA"),
        ("trainer.momentum.start=0.5", "trainer.momentum_schedule.start=0.5"),
        ("sweep.draw=48", "sweep.sample=48"),
        ("sweep.slots=2", "sweep.workers=2"),
        ("hydra/launcher=slots", "hydra/launcher=local"),
        ("loss.penalty={_target_:gan_cli.penalties.R1}", "loss.penalty={_target_:gan_cli.losses.penalties.R1}"),
        ("trainer.cuda_graphs=true", None),
        ("optimizer.lr=0.1", "optimizer.lr=0.1"),
        ("~trainer.schedule", "~trainer.schedule"),
        ("dataset.root=/data/network=toy", "dataset.root=/data/network=toy"),
    ],
)
def test_overrides_of_0_1(old: str, new: str | None) -> None:
    assert migrations.overrides([old], 1) == ([] if new is None else [new])
    assert migrations.overrides([old], 2) == [old]
    assert new is None or migrations.overrides([new], 1) == [new]


def test_a_checkpoint_of_0_1() -> None:
    numbers = object()
    old = {
        "iteration": 7, "system": {"bank.seen": numbers, "G1.weight": 1}, "best": {"name": "x2y", "iteration": 5},
        "processes": [{"draw": numbers, "data": 2}],
    }  # fmt: skip
    new = migrations.checkpoint(old, 1)
    assert new["system"] == {"bank.counts": numbers, "G1.weight": 1} and new["best"]["name"] == "AtoB"
    assert new["processes"] == [{"random": numbers, "data": 2}] and new["iteration"] == 7
    assert old["processes"] == [{"draw": numbers, "data": 2}] and migrations.checkpoint(old, 2) is old


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"one_fake": True, "fakes_per_real": 1}, {"_target_": "shared_fakes.SharedFakesGAN", "share_fakes": True}),
        ({"one_fake": False, "fakes_per_real": 2}, {"_target_": "many_fakes.ManyFakesGAN", "fakes_per_real": 2}),
        ({"fakes_per_real": 1}, {"_target_": "gan.GAN"}),
        ({"_target_": "pacgan.PacGAN"}, {"_target_": "pacgan.PacGAN", "share_fakes": False}),
        ({"_target_": "pacgan.PacGAN", "one_fake": True}, {"_target_": "pacgan.PacGAN", "share_fakes": True}),
        ({"_target_": "acgan.ACGAN", "fakes_per_real": 1}, {"_target_": "acgan.ACGAN", "fakes_per_real": 1}),
    ],
)
def test_samples_of_the_generators_turn(old: dict[str, Any], new: dict[str, Any]) -> None:
    def system(node: dict[str, Any]) -> dict[str, Any]:
        return {**node, "_target_": f"gan_cli.systems.{node.get('_target_', 'gan.GAN')}"}

    assert migrations.config({"model": system(old)}, 1) == {"model": system(new)}


def test_records_and_values_of_0_1() -> None:
    old = {"metric": "partner", "values": {"x2y": 1.0, "psnr_y2x": 2, "lpips_x2y[alex]": 3}, "better": {"x2y": "lower"},
           "protocol": {"direction": "y2x", "seed": 0}}  # fmt: skip
    assert migrations.record(old) == {
        "metric": "paired", "values": {"AtoB": 1.0, "psnr_BtoA": 2, "lpips_AtoB[alex]": 3}, "better": {"AtoB": "lower"},
        "protocol": {"direction": "BtoA", "seed": 0},
    }  # fmt: skip
    assert migrations.value("metric/outline_x2y") == "metric/outline_AtoB"
    assert migrations.value("fox2yard") == "fox2yard" and migrations.metric("fid") == "fid"


def test_provenance_of_0_1() -> None:
    facts = {"overrides": ["network=toy"], "imported": {"directions": ["x2y"]}, "time": "now"}
    new = {"overrides": ["network=mlp_points"], "imported": {"directions": ["AtoB"]}, "time": "now"}
    new[migrations.KEY] = migrations.VERSION
    assert migrations.provenance(facts, "run") == new == migrations.provenance(new, "run")


def test_what_a_newer_version_wrote_is_refused() -> None:
    assert migrations.version_of({}, "run") == 1
    for version in (migrations.VERSION + 1, 0):
        with pytest.raises(GanError, match=r"^run has schema version .*, and this version of gan reads up to"):
            migrations.version_of({"schema_version": version}, "run")
    for version in ("two", 1.5, True):
        with pytest.raises(GanError, match=r"^run has the schema version .*, which is no whole number"):
            migrations.version_of({"schema_version": version}, "run")
