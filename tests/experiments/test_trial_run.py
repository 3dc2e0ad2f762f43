"""One trial: which of its overrides count when it is resumed, and what failure.json records."""

import json

import pytest
from helpers import TINY_RING, composed, small_state
from omegaconf import OmegaConf

from gan_cli.experiments.trial_run import TrialJob, record_failure, resume_or_skip, train_or_resume
from gan_cli.training import checkpoint, launch, run
from gan_cli.utils.errors import Diverged, GanError, Interrupted


def stopped_trial(folder, done):
    """A trial of 10 iterations of which `done` are done."""
    (folder / "checkpoints").mkdir(parents=True)
    OmegaConf.save(composed(*TINY_RING, "trainer.iterations=10"), folder / "config.yaml", resolve=True)
    (folder / "provenance.json").write_text("{}")
    checkpoint.save(folder / "checkpoints" / "last.pt", small_state(done))
    return folder


def test_an_unfinished_trial_takes_only_how_it_is_monitored(tmp_path, monkeypatch):
    resumed = []
    monkeypatch.setattr(run, "resume", lambda *arguments: resumed.append(arguments))
    given = ["optimizer.lr=9", "trainer.log_every=7", "seed=3", "modules=[mine]", "+trainer.device=cpu",
             "metric=[modes]"]  # fmt: skip
    resume_or_skip(stopped_trial(tmp_path / "a", 4), given)
    watched = ["trainer.log_every=7", "+trainer.device=cpu", "metric=[modes]"]
    assert resumed == [(tmp_path / "a", watched, ["mine"])]
    resume_or_skip(stopped_trial(tmp_path / "b", 10), given)
    assert len(resumed) == 1  # it has no iterations left


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [(Diverged("loss is\nnan"), 3, "loss is nan"), (GanError("no"), 2, "no"), (KeyError("x"), 1, "KeyError: 'x'")],
)
def test_a_failure_is_recorded_and_suppressed(error, status, text, tmp_path, capsys):
    with record_failure(tmp_path / "t", ["seed=1"]):
        raise error
    recorded = json.loads((tmp_path / "t/failure.json").read_text())
    trace = recorded.pop("traceback")
    assert recorded == {"status": status, "error": text, "overrides": ["seed=1"]}
    assert ("raise error" in trace) if status == 1 else trace is None
    assert capsys.readouterr().out.startswith("t failed: ")
    with pytest.raises(Interrupted), record_failure(tmp_path / "t", []):
        assert not (tmp_path / "t/failure.json").exists()  # the earlier failure is not this attempt's
        raise Interrupted("stopped", 143)
    assert not (tmp_path / "t/failure.json").exists()


@pytest.mark.parametrize(
    ("error", "status"), [(None, 0), (Diverged("nan"), 3), (Interrupted("stop", 143), 143), (KeyboardInterrupt(), 130)]
)
def test_the_exit_status_of_a_trial(error, status, tmp_path, monkeypatch):
    words = []

    def train(given):
        words.extend(given)
        if error:
            raise error

    monkeypatch.setattr(launch, "train_words", train)
    assert train_or_resume(TrialJob(tmp_path / "it's", ("seed=1",), ("--config-dir=mine",))) == status
    assert words == ["--config-dir=mine", "seed=1", f"hydra.run.dir='{tmp_path}/it\\'s'"]
