"""The pages for contributors: the files that CONTRIBUTING.md shows are written, and its commands are run."""

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers import ROOT, TINY
from omegaconf import OmegaConf
from torch import tensor

from gan_cli.cli.main import main
from gan_cli.config.paths import conf_dir
from gan_cli.losses import adversarial

SETTINGS = [*TINY, "trainer.batch_size=8"]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
FILES = dict(re.findall(r"^`([\w./]+)`[^\n]*:\n\n```\w+\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
SHELL = "".join(re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)).replace("\\\n", " ")
COMMANDS = [shlex.split(line)[1:] for line in SHELL.splitlines()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder with the page's files, and no trace of their modules afterwards."""
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name in ("mylosses", "bigan"):
            del sys.modules[name]


def terms(run: str) -> set[str]:
    """The loss terms in the last line that a run logged."""
    last = json.loads(Path(run, "metrics.jsonl").read_text().splitlines()[-1])
    return {name for name in last if name.split("/")[0] in ("d", "g", "ge") and "grad_norm" not in name}


def test_the_page_is_read_whole() -> None:
    assert len(FILES) == PAGE.count("```python") + PAGE.count("```yaml") == 8
    assert [words[0] for words in COMMANDS] == ["train", "resume", "evaluate", "train", "sample", "train"]


def test_commands_of_the_page(folder: Path) -> None:
    for words in COMMANDS:
        if words[0] == "resume":
            words = [re.sub(r"^(trainer.iterations)=.*", r"\1=3", word) for word in words]
        assert main([*words, *(SETTINGS if words[0] == "train" else [])]) == 0, words
    assert terms("outputs/hinge") == {"d/adversarial", "g/adversarial"}
    lines = Path("outputs/hinge/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["iteration"] for line in lines] == [1, 2, 3]  # the last one after `gan resume`
    for run in ("outputs/bigan", "outputs/bigan_ring"):
        assert terms(run) == {"d/adversarial", "d/penalty", "ge/adversarial"}
    assert len(list(Path("outputs/bigan/generated").glob("0*.png"))) == 16


def test_penalty_beside_a_new_loss(folder: Path) -> None:
    (override,) = re.findall(r"`'\+(loss\.penalty=.*?)'`", PAGE)
    words = ["train", "--config-dir", "mine", "modules=[mylosses]", "loss=hinge", "dataset=ring", "network=mlp_points"]
    assert main([*words, f"+{override}", "hydra.run.dir=run", *SETTINGS]) == 0
    assert "d/penalty" in terms("run")


def test_a_module_must_be_allowed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--config-dir", "mine", "loss=hinge", "dataset=ring", "network=mlp_points", "hydra.run.dir=run"]
    assert main(words) == 2
    assert "mylosses.Hinge" in capsys.readouterr().err
    assert not Path("run").exists()


def test_hinge_inside_the_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, object] = {"__name__": "gan_cli.losses.adversarial"}
    exec(FILES["mylosses.py"], names)
    monkeypatch.setattr(adversarial, "Hinge", names["Hinge"], raising=False)
    words = ["train", "--config-dir", "conf", "loss=hinge", "dataset=ring", "network=mlp_points", "hydra.run.dir=run"]
    assert main([*words, *SETTINGS]) == 0
    assert terms("run") == {"d/adversarial", "g/adversarial"}
    run_tests(FILES["tests/losses/test_adversarial.py"], {"Hinge": names["Hinge"], "torch": torch, "tensor": tensor})


def test_tests_of_the_bigan_example(folder: Path) -> None:
    sys.path.insert(0, str(folder))
    assert run_tests(FILES["test_bigan.py"], {"__name__": "test_bigan"}) == FILES["test_bigan.py"].count("def test_")


def run_tests(source: str, names: dict[str, object]) -> int:
    """Run the tests in `source`; returns how many there were."""
    exec(source, names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()  # type: ignore[operator]
    return len(tests)


def test_config_page_has_every_key_and_default() -> None:
    page = (ROOT / "docs" / "CONFIG.md").read_text()
    settings = OmegaConf.load(conf_dir() / "trainer" / "default.yaml")
    rows = dict(re.findall(r"^\| `trainer\.(\w+)` \| `([^`]+)` \|", page, re.MULTILINE))
    keys = {str(key): json.dumps(value).strip('"') for key, value in settings.items() if key != "defaults"}
    assert rows == keys | {"schedule": "null"}
    for group in conf_dir().iterdir():
        assert not group.is_dir() or f"`{group.name}`" in page, group.name
