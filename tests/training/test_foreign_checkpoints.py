"""A checkpoint may come from a stranger: its insides and its sizes are checked before anything is allocated."""

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import refused, small_state

from gan_cli.training import checkpoint, checkpoint_file
from gan_cli.utils.errors import GanError

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
