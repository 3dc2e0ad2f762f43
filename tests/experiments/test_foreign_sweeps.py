"""The folder of a sweep or a search may come from a stranger: to go on in it runs no code and reads no secrets."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from helpers import TINY_RING, refused

from gan_cli.cli.main import main

QUICK = [*TINY_RING, "trainer.iterations=2"]
EVIL = "import pathlib; pathlib.Path('executed').touch()"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("s").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    "override",
    [
        "modules=[evil]", "+modules=[evil]", "++modules=[evil]", "modules.0=evil", "~modules", "'modules'=[evil]",
        "+hydra.callbacks.x={_target_:gan_cli.data.decoded_cache.remove,path:victim}", "++hydra.job.env_set.A=b",
        "hydra/launcher=basic", "optimizer@hydra.job=adam", "optimizer@a:hydra.job=adam",
        "optimizer.lr=${oc.env:HOME}", "dataset.size=${now:%Y}",
    ],
)  # fmt: skip
def test_what_a_sweep_does_not_record_is_not_taken_from_its_file(
    override: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("evil.py").write_text(EVIL)
    Path("victim").mkdir()
    facts = {"schema_version": 3, "options": [], "overrides": [*QUICK, "seed=0,1", override]}
    Path("s/sweep.json").write_text(json.dumps(facts))
    error = refused(capsys, "resume", "s")
    assert f"s/sweep.json: {override} is not taken from a file" in error and os.environ["HOME"] not in error
    assert not Path("executed").exists() and Path("victim").is_dir()
    assert sorted(path.name for path in Path("s").iterdir()) == ["sweep.json"]


def test_a_failure_without_a_reason_and_an_output_that_is_a_pipe(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The pipe would be waited for: at the start of a trial by its process, and at the end by the list of warnings."""
    facts = {"schema_version": 3, "options": [], "overrides": [*QUICK, "seed=0"]}
    Path("s/sweep.json").write_text(json.dumps(facts))
    Path("s/x").mkdir()
    Path("s/x/failure.json").write_text('{"status": 2}')
    os.mkfifo("s/x/output.txt")
    assert main(["resume", "s"]) == 1  # the failed one counts
    assert "failed (2): no reason given" in capsys.readouterr().out
    Path("t/0-default").mkdir(parents=True)
    os.mkfifo("t/0-default/output.txt")
    error = refused(capsys, "train", "-m", *QUICK, "seed=0", "hydra.sweep.dir=t")
    assert "0-default/output.txt is no regular file: remove it" in error


SEARCH = [*QUICK, "trainer.evaluate_every=1", "trainer.evaluate_count=50", "metric=modes", "trials=1", "out=s"]
SPACE = "space.optimizer.lr=log(1e-4,1e-3)"


@pytest.mark.parametrize(
    "text", ["garbage\n", '{"op_code":77}\n', "[" * 100_000 + "\n", "\0" * 100, '{"op_code": 0, "worker_id": 1}\n']
)
def test_a_study_that_cannot_be_read(text: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("optuna")
    Path("s/study.log").write_text(text)
    assert "s/study.log cannot be read: " in refused(capsys, "search", *SEARCH, SPACE)


def test_a_study_that_is_a_pipe(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("optuna")
    os.mkfifo("s/study.log")
    assert "s/study.log cannot be read: it is no regular file" in refused(capsys, "search", *SEARCH, SPACE)


@pytest.mark.parametrize("value", ["${oc.env:HOME}", 1.0, None, [1e-4], float("nan")])
def test_a_value_that_the_space_does_not_have(value: object, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    optuna = pytest.importorskip("optuna")
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend("s/study.log"))
    study = optuna.create_study(storage=storage, study_name="modes", direction="maximize")
    trial = study.ask()
    lines = Path("s/study.log").read_text().splitlines()
    distribution = optuna.distributions.FloatDistribution(1e-4, 1e-3, log=True)
    param = {
        "op_code": 5, "worker_id": "x", "trial_id": trial._trial_id, "param_name": "optimizer.lr",
        "param_value_internal": value, "distribution": optuna.distributions.distribution_to_json(distribution),
    }  # fmt: skip
    Path("s/study.log").write_text("\n".join([*lines, json.dumps(param)]) + "\n")
    error = refused(capsys, "search", *SEARCH, SPACE)
    assert "which is not in log" in error or "cannot be read" in error
    assert os.environ["HOME"] not in error
