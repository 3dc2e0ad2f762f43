"""What a run directory holds may come from a stranger: everything that is loaded is checked first, in one line."""

import io
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import TINY_RING, small_state
from omegaconf import OmegaConf

from gan_cli.cli.main import main
from gan_cli.training import checkpoint, checkpoint_file, run_history
from gan_cli.utils.errors import GanError

LINE = ["train", *TINY_RING, "model.generator.widths=[8]", "model.discriminator.widths=[8]", "trainer.iterations=2",
        "trainer.log_every=1", "hydra.run.dir=run"]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("trained")
    before = Path.cwd()
    os.chdir(place)
    try:
        assert main(LINE) == 0
    finally:
        os.chdir(before)
    return place / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, "run")
    return Path("run")


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The only line of a command that ends with status 2."""
    capsys.readouterr()
    status = main(list(words))
    error = capsys.readouterr().err
    assert status == 2 and len(error.splitlines()) == 1 and "Traceback" not in error, (status, error)
    return error


# -- checkpoints


def changed(state: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The state with the value at a dotted path replaced, or dropped if it is DROP."""
    head, _, rest = path.partition(".")
    found = dict(enumerate(state)) if isinstance(state, list) else dict(state)
    key: Any = int(head) if isinstance(state, list) else head
    if rest:
        found[key] = changed(found[key], rest, value)
    elif value is DROP:
        del found[key]
    else:
        found[key] = value
    return list(found.values()) if isinstance(state, list) else found


DROP = object()
INSIDES = [
    ("iteration", DROP, "it has no 'iteration'"),
    ("iteration", -5, "its iteration is -5"),
    ("iteration", "abc", "its iteration is 'abc'"),
    ("iteration", 2**70, "its iteration is 1180591620717411303424"),
    ("iteration", float("nan"), "its iteration is nan"),
    ("iteration", True, "its iteration is True"),
    ("position", None, "its position is None"),
    ("ema", [1], "its ema is no mapping"),
    ("ema.generator", {"w": 3}, "its ema of generator holds something else than tensors"),
    ("system", [torch.zeros(3)], "its system is no mapping"),
    ("system", torch.zeros(3), "its system is no mapping"),
    ("optimizers", None, "its optimizers is no mapping"),
    ("optimizers.generator", {"state": [], "param_groups": []}, "its state of optimizer generator is no mapping"),
    ("optimizers.generator.param_groups", 7, "its groups of optimizer generator is no list"),
    ("optimizers.generator.state", {0: {"exp_avg": torch.zeros(7, 7), "step": torch.tensor(1.0)}}, "does not fit"),
    ("processes", [], "its processes is no list"),
    ("processes", [5], "its state of a process is no mapping"),
    ("processes.0.torch", "seed", "its random state torch is not one of torch"),
    ("processes.0.torch", torch.zeros(3), "its random state torch is not one of torch"),
    ("processes.0.torch", torch.zeros(3, dtype=torch.uint8), "does not fit"),
    ("processes.0.random", {"cpu": [1]}, "its random state cpu is not one of torch"),
    ("best", [1, 2, 3], "is no checkpoint of a run"),
    ("best", {"name": "FID", "value": "low", "iteration": 1}, "its best score is not"),
    ("format", "2", "has checkpoint format '2'"),
]


@pytest.mark.parametrize("path, value, words", INSIDES, ids=[f"{path}-{n}" for n, (path, _, _) in enumerate(INSIDES)])
def test_insides_of_a_checkpoint(
    path: str, value: Any, words: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = run / "checkpoints/last.pt"
    state = torch.load(last, weights_only=True)
    torch.save(changed(state, path, value), last)
    assert words in refused(capsys, "resume", "run", "trainer.iterations=4")
    if words != "does not fit":  # the weights alone are whole
        assert words in refused(capsys, "sample", "run", "n=2")


def archive(path: Path, content: Any, change: Any = None) -> None:
    """A file as torch writes it, with its records changed by `change(name, data) -> (data, compression)`."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w") as new:
        for record in old.infolist():
            data, kind = old.read(record), zipfile.ZIP_STORED
            if change:
                data, kind = change(record.filename.partition("/")[2], data)
            new.writestr(record.filename, data, kind)


def hostile(path: Path, kind: str) -> None:
    big = {**small_state(), "format": checkpoint.FORMAT, "system": {"w": torch.zeros(50_000)}}
    if kind == "compressed":
        archive(path, big, lambda name, data: (data, zipfile.ZIP_DEFLATED))
    elif kind == "short record":
        archive(path, big, lambda name, data: (data[:1000] if name == "data/0" else data, zipfile.ZIP_STORED))
    elif kind == "huge shape":
        torch.save({**big, "system": {"w": torch.zeros(1).expand(10**6, 10**6)}}, path)
    elif kind == "many records":
        with zipfile.ZipFile(path, "w") as new:
            for number in range(checkpoint_file.RECORDS + 1):
                new.writestr(f"a/{number}", b"")
    elif kind == "deep":
        deep: Any = []
        for _ in range(100):
            deep = [deep]
        torch.save({**big, "c": deep}, path)
    elif kind == "shared lists":
        shared: Any = []
        for _ in range(19):
            shared = [shared] * 9
        torch.save({**big, "c": shared}, path)
    elif kind in ("position in the memo", "byte array", "hash of nested tuples"):
        codes = {
            "position in the memo": b"\x80\x02}r\xff\xff\xff\xff.",
            "byte array": b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b"x.",
            "hash of nested tuples": b"\x80\x02})" + b"q\x00h\x00\x86" * 60 + b"K\x01s.",
        }
        change = lambda name, data: (codes[kind] if name == "data.pkl" else data, zipfile.ZIP_STORED)  # noqa: E731
        archive(path, big, change)
    elif kind == "code":

        class Evil:
            def __reduce__(self) -> tuple[object, tuple[str]]:
                return os.system, ("touch pwned",)

        change = lambda name, data: (pickle.dumps(Evil()) if name == "data.pkl" else data, zipfile.ZIP_STORED)  # noqa: E731
        archive(path, big, change)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "duplicates":
        archive(path, big)
        with zipfile.ZipFile(path, "a") as new:
            new.writestr("other/data.pkl", b"")


KINDS = ["compressed", "short record", "huge shape", "many records", "deep", "shared lists", "position in the memo",
         "byte array", "hash of nested tuples", "code", "fifo", "duplicates"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_archive_is_refused_before_anything_is_allocated(
    kind: str, run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    last = run / "checkpoints/last.pt"
    last.unlink()
    hostile(last, kind)
    loaded: list[object] = []
    monkeypatch.setattr(torch, "load", lambda *arguments, **options: loaded.append(arguments))
    assert "last.pt" in refused(capsys, "resume", "run", "trainer.iterations=4")
    assert not loaded and not Path("pwned").exists()
    with pytest.raises(GanError):
        checkpoint.iteration(last)


def test_every_checkpoint_of_torch_is_read_as_torch_reads_it(run: Path) -> None:
    """Names, shapes and plain values are those of torch.load."""

    def described(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return tuple(value.shape)
        if isinstance(value, checkpoint_file.Declared):
            return value.shape
        if isinstance(value, dict):
            return {key: described(inner) for key, inner in value.items()}
        return [described(inner) for inner in value] if isinstance(value, (list, tuple)) else value

    last = run / "checkpoints/last.pt"
    assert described(checkpoint_file.read(last)) == described(torch.load(last, weights_only=True))


# -- provenance.json, metrics.jsonl, evaluation.jsonl


@pytest.mark.parametrize(
    "text",
    ["[1,2]", '"abc"', "", "{", "[" * 100_000, '{"overrides": "seed=0"}', '{"overrides": [1]}', '{"machine": 5}',
     '{"schema_version": "2"}', '{"schema_version": 99}', '{"imported": 7}', '{"data": {"a": 1}}',
     '{"paths": {"a": 1}}', '{"choices": []}', '{"resumes": 3}', '{"device": [1]}', '{"a": "' + "x" * 2**24 + '"}'],
    ids=range(17),
)  # fmt: skip
def test_provenance_of_another_shape(text: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "provenance.json").write_text(text)
    for words in (["resume", "run", "trainer.iterations=4"], ["sample", "run", "n=2"]):
        error = refused(capsys, *words)
        assert "provenance.json cannot be read" in error or "schema version" in error
    assert main(["compare", "run"]) == 2


def test_lines_of_another_shape_are_skipped_and_said(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = ['{"iteration": "abc", "d/x": 1}', '{"iteration": 2, "d/x": "high"}', "[1, 2]", "null", "{", "[" * 100_000,
           '{"iteration": 1' + "0" * 400 + "}", '{"iteration": -1}', '{"d/x": 3}', "\x00\xff"]  # fmt: skip
    metrics = run / "metrics.jsonl"
    before = metrics.read_text()
    metrics.write_text("\n".join(bad) + "\n" + before + '{"iteration": 2, "d/y": NaN}\n{"iterat')
    history = run_history.read(run)
    note = capsys.readouterr().err.splitlines()
    assert note == [f"note: {metrics}: {len(bad) + 1} lines that are no record skipped"]
    assert history.done == 2 and set(history.curves) >= {"d/adversarial", "d/y"}
    assert run_history.training_seconds(run, 8)
    assert main(["resume", "run", "trainer.iterations=3"]) == 0
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2, 2, 3]


def test_a_half_line_does_not_swallow_the_next_record(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "evaluation.jsonl").write_text('{"metric": "mo')
    assert main(["evaluate", "run", "metric=modes", "n=50", "device=cpu"]) == 0
    (record,) = run_history.read(run).records
    assert record["metric"] == "modes"
    assert main(["compare", "run"]) == 0
    assert "modes" in capsys.readouterr().out
    for values in ('5, "values": {}}', '"a", "values": [1]}', '"a", "values": {"b": "c"}}', '"a"}'):
        line = '{"metric": ' + values
        (run / "evaluation.jsonl").write_text(line + "\n")
        assert run_history.read(run).records == []


def test_files_of_a_run_that_are_links_are_not_written_through(run: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("mine\n")
    (run / "evaluation.jsonl").symlink_to(precious)
    assert main(["evaluate", "run", "metric=modes", "n=50", "device=cpu"]) == 2
    (run / "metrics.jsonl").unlink()
    (run / "metrics.jsonl").symlink_to(precious)
    assert main(["resume", "run", "trainer.iterations=4"]) == 0
    assert precious.read_text() == "mine\n"


# -- config.yaml and .hydra


@pytest.mark.parametrize("text, words", [
    ("a: !!python/object/apply:os.system ['touch pwned']\n", "line 1: the tag"),
    ("a: &x [1]\nb: *x\n", "line 1: anchors and aliases"),
    ("seed: 0\nloss:\n  penalty: ${oc.env:HOME}\n", "line 3: interpolations"),
    ("[" * 100 + "]" * 100, "nested more than"),
    ("a: 1\n---\nb: 2\n", "one YAML mapping"),
    ("- 1\n", "one YAML mapping"),
    ("a: [\n", "line 2"),
    ("a: 1\na: 2\n", "duplicate key"),
    ("a: " + "x" * 2**18, "larger than"),
    ("a: \x07\n", "config.yaml is not a run's config"),
])  # fmt: skip
def test_a_config_that_is_not_plain_yaml(
    text: str, words: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "config.yaml").write_text(text)
    for verb in ("resume", "sample", "evaluate"):
        error = refused(capsys, verb, "run", *(["metric=modes"] if verb == "evaluate" else []))
        assert words in error and "config.yaml" in error
    assert not Path("pwned").exists()


def test_a_hostile_hydra_folder_changes_nothing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "run"]) == 0
    before = capsys.readouterr().out
    for file in (run / ".hydra").iterdir():
        tag = "a: !!python/object/apply:os.system ['touch pwned']"
        file.write_text(tag + "\nhydra: {runtime: {choices: {model: evil}}}\n")
    (run / ".hydra/fifo.yaml").touch()
    assert main(["compare", "run"]) == 0 and capsys.readouterr().out == before
    assert run_history.read(run).choices["model"] == "dcgan"
    assert main(["sample", "run", "n=2"]) == 0 and main(["resume", "run", "trainer.iterations=3"]) == 0
    assert not Path("pwned").exists()


def test_the_config_is_saved_as_plain_yaml(run: Path) -> None:
    saved = OmegaConf.load(run / "config.yaml")
    assert OmegaConf.to_yaml(run_history.config(run)) == OmegaConf.to_yaml(saved)
