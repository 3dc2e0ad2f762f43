"""What TensorBoard's HPARAMS tab reads of a sweep's trials."""

import json
from pathlib import Path

import pytest
from helpers import TINY_RING
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from gan_cli.experiments import hparams
from gan_cli.experiments.trial_run import TrialJob, train_or_resume

LENGTH = ["trainer.iterations=2", "trainer.evaluate_every=1", "trainer.evaluate_count=32", "metric=[modes]"]
OVERRIDES = (*TINY_RING, *LENGTH, "loss=least_squares", "optimizer.lr=0.01", "model.generator.widths=[8]", "seed=3")


def read(folder: Path) -> tuple[dict, list[str], EventAccumulator]:
    """The settings and the names of the scores that TensorBoard finds in a trial's folder, and all of its events."""
    events = EventAccumulator(str(folder))
    events.Reload()
    found = events.PluginTagToContent("hparams")
    start = metadata.parse_session_start_info_plugin_data(found[metadata.SESSION_START_INFO_TAG])
    experiment = metadata.parse_experiment_plugin_data(found[metadata.EXPERIMENT_TAG])
    settings = {key: value.string_value or value.number_value for key, value in start.hparams.items()}
    return settings, [info.name.tag for info in experiment.metric_infos], events


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep") / "0-trial"
    assert train_or_resume(TrialJob(folder, OVERRIDES)) == 0
    return folder


def test_a_trial_records_its_settings_and_its_scores(trial: Path) -> None:
    settings, scores, events = read(trial)
    assert settings["loss"] == "least_squares" and settings["optimizer.lr"] == 0.01 and settings["seed"] == 3
    assert settings["model.generator.widths"] == "[8]" and settings["network"] == "mlp_points"
    assert "metric" not in settings and "trainer.device" not in settings  # they change nothing that is learned
    logged = json.loads((trial / "metrics.jsonl").read_text().splitlines()[-1])
    # Scores that are not finite too, which is what those of no mode at all are.
    assert scores == [name for name in logged if name.startswith("metric/")]
    point = events.Scalars("metric/modes")[-1]
    assert (point.step, point.value) == (2, logged["metric/modes"])
    assert not [path for path in trial.iterdir() if path.is_dir() and path.name[0].isdigit()]  # no run of its own


def test_a_finished_trial_is_not_written_again(trial: Path) -> None:
    before = sorted(trial.glob(f"events*{hparams.SUFFIX}"))
    assert train_or_resume(TrialJob(trial, OVERRIDES)) == 0
    assert len(before) == 1 and sorted(trial.glob(f"events*{hparams.SUFFIX}")) == before


def test_without_tensorboard_there_is_none(trial: Path, tmp_path: Path) -> None:
    hparams.record(tmp_path, OVERRIDES)
    assert not [*tmp_path.iterdir()]
