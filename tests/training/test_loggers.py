"""Loggers: what they get, resuming, failures, and which services a run may contact."""

import importlib.machinery
import json
import random
import struct
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import TINY_RING, composed, refused, same_checkpoints, wait_until
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gan_cli.cli.main import main
from gan_cli.training import build, logger_consent, run_history
from gan_cli.training.run_dir import RunDir

RUN = [
    "train", *TINY_RING, "trainer.iterations=4", "trainer.log_every=1", "trainer.sample_every=2",
    "trainer.checkpoint_every=2", "hydra.run.dir=run",
]  # fmt: skip
BOTH = "logger=[tensorboard,trackio]"


class StandIn(types.ModuleType):
    """trackio with a record of its calls: the options of `init`, and (step, values) in order."""

    Image = staticmethod(lambda image: image.size)
    Histogram = staticmethod(lambda np_histogram: int(np_histogram[0].sum()))

    def __init__(self) -> None:
        super().__init__("trackio")
        self.__spec__ = importlib.machinery.ModuleSpec("trackio", None)
        self.begun: list[dict[str, Any]] = []
        self.logged: list[tuple[int, dict[str, Any]]] = []
        self.finished = 0
        self.fails_at = 0

    def init(self, **options: Any) -> Any:
        self.begun.append(options)
        return self

    def log(self, metrics: dict[str, Any], *, step: int) -> None:
        self.logged.append((step, metrics))
        if self.fails_at and len(self.logged) >= self.fails_at:
            raise ConnectionError("no\nnetwork")

    def finish(self) -> None:
        self.finished += 1

    def losses(self) -> list[int]:
        return [step for step, values in self.logged if "d/adversarial" in values]


@pytest.fixture
def trackio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """The stand-in, in a new folder with a new user's settings."""
    module = StandIn()
    monkeypatch.setitem(sys.modules, "trackio", module)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.chdir(tmp_path)
    return module


def test_a_service_gets_what_the_run_directory_gets_and_changes_no_weight(trackio: StandIn, tmp_path: Path) -> None:
    assert main([*RUN, BOTH, "logger.trackio.project=rings"]) == 0
    (options,) = trackio.begun
    assert options["project"] == "rings" and options["name"].startswith("run-")
    assert options["config"]["trainer"]["iterations"] == 4
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    scalars = [(step, values) for step, values in trackio.logged if "d/adversarial" in values]
    assert [{"iteration": step, **values} for step, values in scalars] == lines
    sampled = [step for step, values in trackio.logged if any(name.startswith("samples/") for name in values)]
    assert sampled == [0, 2, 4] and trackio.finished == 1
    assert len(list((tmp_path / "run/samples").glob("*.png"))) == 3
    assert main([*RUN[:-1], "hydra.run.dir=other", "logger=[]"]) == 0
    assert same_checkpoints(tmp_path / "run", tmp_path / "other")
    assert list((tmp_path / "run").glob("events*")) and not list((tmp_path / "other").glob("events*"))
    assert (tmp_path / "other/metrics.jsonl").read_text().count("d/adversarial") == 4


def test_histograms_count_finite_values(trackio: StandIn) -> None:
    from gan_cli.training.loggers import Trackio

    logger = Trackio()
    logger.module = logger.run = trackio  # type: ignore[assignment]
    logger.histograms(3, {"a": torch.arange(5.0)})
    assert trackio.logged == [(3, {"a": 5})]


def test_resuming_continues_the_record_and_says_what_is_not_rewound(
    trackio: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A killed process has logged iterations 5 and 6 after its last checkpoint, and the next one has ended before."""
    assert main([*RUN, BOTH]) == 0
    with open("run/metrics.jsonl", "a") as file:
        file.write('{"iteration": 5, "d/adversarial": 1}\n{"iteration": 6, "d/adversarial": 1}\n')
    trackio.logged.clear()
    capsys.readouterr()
    assert main(["resume", "run", "trainer.iterations=5"]) == 0
    out = capsys.readouterr().out
    assert out.count("note: trackio cannot be rewound to iteration 4") == 1 and "up to iteration 6" in out
    assert main(["resume", "run", "trainer.iterations=8"]) == 0
    assert len({options["name"] for options in trackio.begun}) == 1 < len(trackio.begun)
    assert all(options["resume"] == "allow" for options in trackio.begun)
    assert trackio.losses() == [7, 8]
    board = EventAccumulator("run").Reload()
    assert [event.step for event in board.Scalars("d/adversarial")] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_service_that_fails_does_not_end_the_training(
    trackio: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trackio.fails_at = 4
    assert main([*RUN, BOTH]) == 0
    out = capsys.readouterr().out
    assert out.count("note: trackio has failed and gets nothing more of this run: no network\n") == 1
    assert len(trackio.logged) == 4
    assert EventAccumulator("run").Reload().Scalars("d/adversarial")[-1].step == 4


def test_a_service_that_cannot_begin_does_not_end_the_training(
    trackio: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(StandIn, "init")
    assert main([*RUN, BOTH]) == 0
    assert capsys.readouterr().out.count("note: trackio has failed") == 1 and not trackio.logged


def test_a_missing_library_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gan_cli.training.loggers.Trackio.package", "no_such_library")
    assert "pip install 'gan-cli[no_such_library]'" in refused(capsys, *RUN, BOTH)
    assert not list(tmp_path.iterdir())
    assert "did you mean 'wandb'" in refused(capsys, *RUN, "logger=[wnadb]")
    assert "logger.trackio" in refused(capsys, *RUN, BOTH, "logger.trackio.projekt=a")


# -- a stranger's run


def _forge(folder: Path) -> None:
    """A seal that was made by another user."""
    record = json.loads((folder / "logger.json").read_text())
    (folder / "logger.json").write_text(json.dumps({**record, "seal": "0" * 64}))


def _redirect(folder: Path) -> None:
    """A sealed run whose service was changed afterwards."""
    config = OmegaConf.load(folder / "config.yaml")
    config.logger.trackio.space_id = "stranger/space"
    OmegaConf.save(config, folder / "config.yaml")


STRANGERS: list[Callable[[Path], None]] = [
    _forge,
    _redirect,
    lambda folder: (folder / "logger.json").unlink(),
    lambda folder: (folder / "logger.json").write_text('{"id": "../../a", "sent": 1, "seal": 3}'),
    lambda folder: (folder.parent / "settings/gan/logger.key").write_text("another user's"),
    lambda folder: (folder.parent / "settings/gan/logger.key").unlink(),
]


def test_a_strangers_run_contacts_no_service_unasked(
    trackio: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, BOTH]) == 0
    _forge(tmp_path / "run")
    capsys.readouterr()
    assert main(["resume", "run", "trainer.iterations=5"]) == 0
    assert len(trackio.begun) == 1
    note = "note: trackio not contacted: only a file names it; add logger=[tensorboard,trackio] if you want it"
    assert capsys.readouterr().out.count(note) == 1
    assert main(["resume", "run", "trainer.iterations=6", BOTH]) == 0
    assert main(["resume", "run", "trainer.iterations=7"]) == 0  # now it is sealed
    assert len(trackio.begun) == 3


@pytest.mark.parametrize("change", STRANGERS)
def test_what_a_seal_covers(trackio: StandIn, tmp_path: Path, change: Callable[[Path], None]) -> None:
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    run.save_config(composed(BOTH))
    logger_consent.begin(run, run_history.config(run.path), ["trackio"], -1)

    def chosen(*typed: str) -> list[str]:
        cfg = run_history.config(run.path)
        return list(logger_consent.permitted(run, cfg, build.loggers(cfg), typed))

    assert chosen() == ["tensorboard", "trackio"]
    change(run.path)
    assert chosen() == ["tensorboard"]
    assert chosen("logger") == chosen("logger.trackio.project") == ["tensorboard", "trackio"]
    assert chosen("logger.tensorboard") == ["tensorboard"]  # asks for no service


def test_a_folder_of_configurations_contacts_no_service_unasked(trackio: StandIn, tmp_path: Path) -> None:
    (tmp_path / "conf/experiment").mkdir(parents=True)
    text = "# @package _global_\ndefaults:\n  - override /logger: [trackio]\n"
    (tmp_path / "conf/experiment/theirs.yaml").write_text(text)
    words = [*RUN, "--config-dir", "conf", "experiment=theirs"]
    assert main(words) == 0
    assert not trackio.begun
    assert main([*words[:-1], "experiment=theirs", "logger=trackio", "hydra.run.dir=second"]) == 0
    assert len(trackio.begun) == 1


def test_a_sweep_records_no_logger_and_takes_none_from_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gan_cli.config.composer import arguments
    from gan_cli.experiments import sweep

    monkeypatch.chdir(tmp_path)
    sweep.record(tmp_path, arguments(["-m", "seed=0,1", "logger=[wandb]", "logger.wandb.project=a"]))
    record = json.loads((tmp_path / "sweep.json").read_text())
    assert record["overrides"] == ["seed=0,1"]
    (tmp_path / "sweep.json").write_text(json.dumps({**record, "overrides": ["seed=0,1", "logger=[wandb]"]}))
    assert "logger=[wandb] is not taken from a file" in refused(capsys, "resume", str(tmp_path))


def test_a_run_without_the_key_logs_to_tensorboard_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(RUN) == 0
    config = OmegaConf.load("run/config.yaml")
    del config["logger"]
    OmegaConf.save(config, "run/config.yaml")
    assert main(["resume", "run", "trainer.iterations=6"]) == 0
    assert [event.step for event in EventAccumulator("run").Reload().Scalars("d/adversarial")] == [1, 2, 3, 4, 5, 6]
    assert list(OmegaConf.load("run/config.yaml").logger) == ["tensorboard"]


# -- the library itself


def leveldb_records(data: bytes) -> Iterator[bytes]:
    """The records of a file in LevelDB's log format after wandb's header of 7 bytes: blocks of 32 KiB, in each chunks
    with a checksum (4 bytes), a length (2) and a kind (1: whole, 2 to 4: first, middle, last).
    """
    place, parts = 7, b""
    while place + 7 <= len(data):
        if 2**15 - place % 2**15 < 7:
            place += 2**15 - place % 2**15
            continue
        size, kind = struct.unpack("<HB", data[place + 4 : place + 7])
        parts += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):
            yield parts
            parts = b""


def test_wandb_in_its_offline_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its file holds, and no random number is taken from the generators of the process."""
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    from gan_cli.training.loggers import Wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    logger = Wandb(project="mine")
    logger.open(RunDir(tmp_path), 0, OmegaConf.create({"seed": 7}), "0123456789abcdef")
    assert logger.run.project == "mine" and logger.run.config["seed"] == 7
    logger.scalars(1, {"d/adversarial": 1.5})
    logger.samples(1, "samples/generated", torch.zeros(3, 4, 4, dtype=torch.uint8))
    logger.histograms(1, {"weights": torch.arange(4.0)})
    logger.scalars(2, {"d/adversarial": 2.5})
    logger.close()
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    assert before[:2] == after[:2] and torch.equal(before[2], after[2])
    (file,) = tmp_path.glob("wandb/offline-run-*-0123456789abcdef/*.wandb")

    def rows() -> list[dict[str, str]]:
        found = []
        for data in leveldb_records(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            if record.HasField("history"):
                items = record.history.item
                found.append({"/".join(item.nested_key) or item.key: item.value_json for item in items})
        return found

    wait_until(lambda: len(rows()) == 2, 60)  # its process may write after `finish` has returned
    first, second = rows()
    assert [(row["_step"], row["d/adversarial"]) for row in (first, second)] == [("1", "1.5"), ("2", "2.5")]
    assert first["samples/generated/_type"] == '"image-file"' and first["weights/_type"] == '"histogram"'
