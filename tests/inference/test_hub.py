"""`gan push` and `gan pull` against a local stand-in of the hub."""

import getpass
import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hub_stand_in
import pytest
import torch
from helpers import TINY_RING, png, refused
from hub_stand_in import READER, WRITER, Hub, Repository

import gan_cli
from gan_cli.cli.main import main
from gan_cli.training import checkpoint, run_history

hub_library = pytest.importorskip("huggingface_hub")
safetensors = pytest.importorskip("safetensors.torch")

SCORE = {
    "metric": "modes", "values": {"modes": 5.0, "high_quality": float("nan")}, "better": {"modes": "higher"},
    "protocol": {"iteration": 3, "generated": 100, "weights": "ema", "checkpoint": "last", "seed": 0,
                 "extractor": "<b>|`x`"},
    "settings": {"weights": "/home/alice/lpips.pth"}, "seconds": 1.5, "command": ["gan", "evaluate", "/home/alice/run"],
    "machine": {"system": "secret"},
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with averages, three sample images and a score."""
    run = tmp_path_factory.mktemp("trained") / "run"
    words = ["trainer.iterations=3", "trainer.sample_every=1", "trainer.ema_decay=0.5", "+metric=modes"]
    assert main(["train", *TINY_RING, *words[:-1], f"hydra.run.dir={run}"]) == 0
    (run / "evaluation.jsonl").write_text(json.dumps(SCORE) + "\n")
    return run


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The stand-in, with the token of a user who may write, in a new folder."""
    with hub_stand_in.running() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", WRITER)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
        monkeypatch.chdir(tmp_path)
        yield server


@pytest.fixture(scope="module")
def files(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What `gan push` uploads of the run."""
    folder = tmp_path_factory.mktemp("files")
    assert main(["push", str(trained), "alice/ring", "dry_run=true", f"out={folder}", "license=mit"]) == 0
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def published(hub: Hub, files: dict[str, bytes], **changed: bytes | None) -> Repository:
    """A repository with these files, some of them replaced, or absent if None."""
    content = {name: data for name, data in {**files, **changed}.items() if data is not None}
    hub.repositories["alice/ring"] = Repository(files=content, lfs={"model.safetensors"})
    return hub.repositories["alice/ring"]


# -- there and back


def test_a_pulled_run_is_the_run(hub: Hub, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", str(trained), "alice/ring", "license=mit"]) == 0
    out = capsys.readouterr().out
    repository = hub.repositories["alice/ring"]
    assert repository.private and repository.lfs >= {"model.safetensors"}
    for name, content in repository.files.items():
        assert re.search(rf"^ *{len(content):,}  {re.escape(name)} ", out, re.MULTILINE)
    assert main(["pull", "alice/ring"]) == 0
    pulled = tmp_path / "outputs/pulled/ring"
    for weights in ("ema", "raw"):
        first, second = (gan_cli.load(run, weights=weights, device="cpu") for run in (trained, pulled))
        assert torch.equal(first.sample(8, seed=1), second.sample(8, seed=1))
    facts = json.loads((pulled / "provenance.json").read_text())
    assert facts["pulled"]["revision"] == repository.sha and facts["pulled"]["repo"] == "alice/ring"
    assert "model=" not in str(facts["command"]) and "trainer.ema_decay=0.5" in facts["command"]
    record = run_history.read(pulled)
    assert record.done == 3 and record.records[0]["values"]["modes"] == 5 and record.last_grid()
    assert checkpoint.load(pulled / "checkpoints/last.pt")["optimizers"] == {}
    assert not [path.name for path in pulled.parent.iterdir() if path.name != "ring"]


def test_a_pulled_run_serves_every_verb_but_resume(
    hub: Hub, files: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published(hub, files)
    assert main(["pull", "alice/ring", "out=theirs"]) == 0
    assert main(["sample", "theirs", "n=4", "device=cpu"]) == 0
    assert main(["evaluate", "theirs", "metric=modes", "n=50", "device=cpu"]) == 0
    assert main(["export", "theirs", "format=safetensors"]) == 0
    words = ["trainer.iterations=1", "trainer.init_from=theirs", "hydra.run.dir=mine"]
    assert main(["train", *TINY_RING, *words]) == 0
    error = refused(capsys, "resume", "theirs", "trainer.iterations=9")
    assert "was pulled" in error and "trainer.init_from=theirs" in error
    before = sorted(tmp_path.joinpath("theirs").rglob("*"))
    assert "not empty" in refused(capsys, "pull", "alice/ring", "out=theirs")
    assert sorted(tmp_path.joinpath("theirs").rglob("*")) == before


def test_weights_of_one_kind(hub: Hub, trained: Path, tmp_path: Path) -> None:
    for kind in ("ema", "raw"):
        assert main(["push", str(trained), f"alice/{kind}", f"weights={kind}", "samples=false", "private=false"]) == 0
        repository = hub.repositories[f"alice/{kind}"]
        assert not repository.private and not any(name.startswith("samples") for name in repository.files)
        tensors = safetensors.load(repository.files["model.safetensors"])
        assert not any(name.startswith("ema.") for name in tensors)
        assert main(["pull", f"alice/{kind}"]) == 0
        first = gan_cli.load(trained, weights=kind, device="cpu").sample(4)
        assert torch.equal(first, gan_cli.load(tmp_path / "outputs/pulled" / kind, device="cpu").sample(4))


def test_a_repository_with_other_things_is_not_written(
    hub: Hub, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.repositories["alice/ring"] = Repository(files={"thesis.tex": b"a"})
    assert "'thesis.tex'" in refused(capsys, "push", str(trained), "alice/ring")
    assert list(hub.repositories["alice/ring"].files) == ["thesis.tex"]
    (Path("folder")).mkdir()
    Path("folder/thesis.tex").write_text("a")
    assert "'thesis.tex'" in refused(capsys, "push", str(trained), "alice/ring", "dry_run=true", "out=folder")


# -- what others see


def test_nothing_private_is_published(files: dict[str, bytes], trained: Path) -> None:
    words = {str(trained), str(trained.parent), str(Path.home()), socket.gethostname(), "/home/alice", "secret",
             *([getpass.getuser()] if getpass.getuser() != "root" else [])}  # fmt: skip
    for name in ("README.md", "config.yaml", "provenance.json", "evaluation.jsonl", "metrics.jsonl"):
        assert not [word for word in words if word in files[name].decode()], name
    facts = json.loads(files["provenance.json"])
    assert not {"machine", "folder", "run", "paths", "device"} & set(facts) and facts["versions"]["torch"]


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("dataset.root", "/home/alice/photos", "FOLDER"),
        ("dataset.root", "../alice/photos", "FOLDER"),
        ("dataset.root", "~/.cache/gan", "~/.cache/gan"),
        ("dataset.root", "/data/gan/mnist", "~/.cache/gan/mnist"),
        ("dataset.url", "https://example.org/a.zip", "https://example.org/a.zip"),
        ("dataset.url", "file:///home/alice/a.zip", "FOLDER"),
        ("trainer.init_from", "runs/alice", "FOLDER"),
        ("dataset.note", "of /home/alice/x, and ~alice/y", "of FOLDER, and FOLDER"),
        ("model._target_", "gan_cli.systems.gan.GAN", "gan_cli.systems.gan.GAN"),
        ("dataset.name", "user/photos 1/2", "user/photos 1/2"),
    ],
)
def test_paths_are_replaced(key: str, value: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from gan_cli.inference.public_facts import Public

    monkeypatch.setenv("GAN_DATA", "/data/gan" if value.startswith("/data") else "~/.cache/gan")
    public = Public()
    assert public.setting(key, value) == shown
    assert list(public.replaced) == ([key] if "FOLDER" in shown else []) or shown.startswith("~")
    assert public.facts({"class_names": ["cat"], "machine": {"system": "a"}})["class_names"] == ["cat"]
    assert public.overrides([f"+{key}={value}", "hydra.run.dir=/home/alice"]) == [f"+{key}={shown}"]


def test_the_card(files: dict[str, bytes]) -> None:
    text = files["README.md"].decode()
    card = hub_library.ModelCard(text)
    assert card.data.license == "mit" and card.data.library_name == "gan-cli"
    assert card.data.pipeline_tag == "unconditional-image-generation" and {"gan", "ring"} <= {*card.data.tags}
    (result,) = card.data.eval_results  # without the one that is no number
    assert (result.metric_type, result.metric_name, result.metric_value) == ("modes", "modes", 5.0)
    assert result.dataset_name == "ring"
    assert "&#60;b&#62;&#124;&#96;x&#96;" in text and "<b>" not in text
    assert re.search(r"gan train network=mlp_points .*trainer.ema_decay=0.5", text) and "hydra" not in text
    assert "](samples/000003.png)" in text and 'src="samples/000001.png"' in text
    assert "| modes ↑ | 5 |" in text


def test_values_of_a_card_are_plain_text() -> None:
    from gan_cli.inference.model_card import code, escaped

    assert escaped("a\n# b") == "a &#35; b"
    assert escaped("[x](http://a.b) www.a.b __c__ d_e 1.5") == (
        "&#91;x&#93;&#40;http&#58;&#47;&#47;a.b&#41; www&#46;a.b &#95;&#95;c&#95;&#95; d_e 1.5"
    )
    assert code(["a```b", "c\nd"], "bash").splitlines() == ["````bash", "a```b", "c d", "````"]


# -- a stranger's repository


def weights(files: dict[str, bytes], change: Callable[[dict[str, Any]], Any], iteration: str | None = "3") -> bytes:
    tensors = safetensors.load(files["model.safetensors"])
    change(tensors)
    return safetensors.save(tensors, {"iteration": iteration} if iteration else None)


def config(files: dict[str, bytes], old: str, new: str) -> bytes:
    text = files["config.yaml"].decode()
    assert old in text
    return text.replace(old, new).encode()


WEIGHT = "system.generator.layers.0.weight"
HOSTILE: dict[str, tuple[Callable[[dict[str, bytes]], dict[str, Any]], str]] = {
    "no config": (lambda f: {"config.yaml": None}, "no run that `gan push` wrote"),
    "tags": (lambda f: {"config.yaml": b"seed: !!python/object/apply:os.system [ls]\n"}, "the tag"),
    "another class": (lambda f: {"config.yaml": config(f, "gan_cli.data.gaussians.Ring", "os.system")}, "not allowed"),
    "own module": (lambda f: {"config.yaml": config(f, "modules: []", "modules: [os]")}, "asks for module 'os'"),
    "not the networks": (lambda f: {"config.yaml": config(f, "latent_dim: ", "latent_dim: 1")}, "does not fit"),
    "provenance": (lambda f: {"provenance.json": b"[1]"}, "provenance.json"),
    "newer": (lambda f: {"provenance.json": b'{"schema_version": 99}'}, "schema version 99"),
    "pickle": (lambda f: {"model.safetensors": b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR."}, "cannot be read"),
    "cut": (lambda f: {"model.safetensors": f["model.safetensors"][:-8]}, "cannot be read"),
    "missing tensor": (lambda f: {"model.safetensors": weights(f, lambda t: t.pop(WEIGHT))}, "does not fit"),
    "other name": (lambda f: {"model.safetensors": weights(f, lambda t: t.update(x=t.pop(WEIGHT)))}, "holds 'x'"),
    "more tensors": (
        lambda f: {"model.safetensors": weights(f, lambda t: t.update({"system.x.y": torch.ones(1)}))}, "does not fit"
    ),
    "shape": (
        lambda f: {"model.safetensors": weights(f, lambda t: t.update({WEIGHT: torch.ones(2)}))}, "does not fit"
    ),
    "kind of numbers": (
        lambda f: {"model.safetensors": weights(f, lambda t: t.update({WEIGHT: t[WEIGHT].long()}))}, "does not fit"
    ),
    "no iteration": (lambda f: {"model.safetensors": weights(f, len, None)}, "names no iteration"),
    "long iteration": (lambda f: {"model.safetensors": weights(f, len, "9" * 40)}, "names no iteration"),
    "no image": (lambda f: {"samples/000003.png": b"<svg/>"}, "no sample image"),
    "many images": (lambda f: {f"samples/{i:06d}.png": png(1) for i in range(20)}, "at most 8 are taken"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_not_a_run_is_refused(
    hub: Hub, files: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    change, reason = HOSTILE[name]
    published(hub, files, **change(files))
    assert reason in refused(capsys, "pull", "alice/ring", "out=theirs")
    assert not list(tmp_path.iterdir())


def test_other_files_are_not_taken(
    hub: Hub, files: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = ("checkpoints/last.pt", "checkpoints/best.pt", "evil.py", "samples/../evil.png", "logger.json", ".lock",
              "samples/x.png", "wandb/settings", "failure.json", ".hydra/config.yaml")  # fmt: skip
    published(hub, files, **dict.fromkeys(others, b"x"))
    assert main(["pull", "alice/ring", "out=theirs"]) == 0
    assert f"{len(others)} other files were not taken" in capsys.readouterr().out
    taken = {path.relative_to("theirs").as_posix() for path in Path("theirs").rglob("*") if path.is_file()}
    own = {name for name in files if name != "model.safetensors"}
    assert taken == {*own, "checkpoints/last.pt", ".lock"}
    assert not [request for request in hub.requests if any(request.endswith(name) for name in others)]


def test_sizes_and_hashes_are_those_declared(
    hub: Hub, files: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = published(hub, files)
    repository.declared["config.yaml"] = 2**30
    assert "config.yaml has 1073741824 bytes" in refused(capsys, "pull", "alice/ring", "out=theirs")
    repository.declared["config.yaml"] = 5
    assert "not of the size" in refused(capsys, "pull", "alice/ring", "out=theirs")
    repository.declared.clear()
    repository.served["model.safetensors"] = files["model.safetensors"][:-1] + b"\x01"
    assert "not what the hub declares" in refused(capsys, "pull", "alice/ring", "out=theirs")
    assert not list(tmp_path.iterdir())


# -- errors


def test_errors_are_one_line_without_the_token(
    hub: Hub, trained: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    published(hub, files)
    push, pull = ("push", str(trained), "alice/ring"), ("pull", "alice/ring", "out=theirs")
    tokens = {"hf_wrong": "missing or refused", READER: "may not do this", "hf_w\né": "characters that no token has"}
    for token, reason in tokens.items():
        monkeypatch.setenv("HF_TOKEN", token)
        error = refused(capsys, *push)
        assert reason in error and token not in error and token.split("\n")[0] not in error
    monkeypatch.delenv("HF_TOKEN")
    assert "no token: `hf auth login`" in refused(capsys, *push)
    hub.repositories["alice/ring"].private = True
    assert "private and needs a token" in refused(capsys, *pull)
    assert "no such repository" in refused(capsys, "pull", "alice/none")
    hub.repositories["alice/ring"].private = False
    assert "no such revision" in refused(capsys, *pull, "revision=v9")
    for name in ("../ring", "a/b/c", "a..b", "http://a", "a/b.git"):
        assert "write USER/NAME" in refused(capsys, "pull", name)
    assert "write USER/NAME" in refused(capsys, "push", str(trained), "ring")
    assert "license=A B" in refused(capsys, *push, "license=A B")
    hub.fails = 500
    assert "the hub answered 500" in refused(capsys, *pull)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "cannot be reached" in refused(capsys, *pull)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in refused(capsys, *pull)


@pytest.mark.parametrize("library", ["huggingface_hub", "safetensors.torch"])
def test_a_missing_library_is_named(
    library: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trained: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, library, None)
    assert "pip install 'gan-cli[hub]'" in refused(capsys, "pull", "alice/ring")
    assert "pip install 'gan-cli[hub]'" in refused(capsys, "push", str(trained), "alice/ring")
