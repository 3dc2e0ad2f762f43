"""The Python library: every example of docs/LIBRARY.md and of the notebook runs, on two runs that are trained here."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pytest
import torch
from helpers import ROOT, TINY
from PIL import Image

import gan_cli
from gan_cli.cli.main import main

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs that the page loads."""
    root = tmp_path_factory.mktemp("library")
    shapes = ["dataset=shapes", "dataset.image_size=16", "model.generator.width=4", "model.discriminator.width=4"]
    assert main(["train", *TINY, *shapes, f"hydra.run.dir={root}/runs/shapes"]) == 0
    nets = [f"model.{name}.width=4" for name in ("G", "F", "D_X", "D_Y")]
    stripes = ["model=cyclegan", "dataset.image_size=16", "model.G.blocks=1", "model.F.blocks=1", *nets]
    stripes += ["model.D_X.n_layers=1", "model.D_Y.n_layers=1", f"hydra.run.dir={root}/runs/stripes"]
    assert main(["train", *TINY, *stripes]) == 0
    return root


@pytest.fixture
def there(folder: Path) -> Iterator[Path]:
    before = os.getcwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def test_examples_of_the_page(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    examples = re.findall(r"```python\n(.*?)```", (DOCS / "LIBRARY.md").read_text(), re.DOTALL)
    assert len(examples) > 5
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example, "LIBRARY.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "DCGAN" in printed or "GAN" in printed
    assert "no/such/run does not exist" in printed
    assert "'modes': " in printed


def test_the_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Its code cells run in order; only the number of iterations is shortened."""
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    notebook = json.loads((DOCS / "library.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert cells and any("gan_cli.load" in cell for cell in cells)
    names: dict[str, object] = {}
    for cell in cells:
        shortened = re.sub(r"trainer\.iterations=\d+", "trainer.iterations=2", cell)
        exec(compile(shortened, "library.ipynb", "exec"), names)
    assert isinstance(names["images"], torch.Tensor) and len(names["images"]) == 16


def test_samples_are_those_of_the_verb(there: Path) -> None:
    assert main(["sample", "runs/shapes", "n=3", "seed=5", "out=out", "device=cpu"]) == 0
    run = gan_cli.load("runs/shapes", device="cpu")
    images = (run.sample(3, seed=5) * 255).round().to(torch.uint8)
    for index, image in enumerate(images):
        with Image.open(f"out/{index:06d}.png") as file:
            assert file.tobytes() == image.permute(1, 2, 0).contiguous().numpy().tobytes()
    assert not torch.equal(run.sample(3, seed=6), run.sample(3, seed=5))
    assert torch.equal(run.sample(3, seed=5), run.sample(3, seed=5))


def test_translations_are_those_of_the_verb(there: Path) -> None:
    Path("photos").mkdir(exist_ok=True)
    photo = Image.linear_gradient("L").resize((40, 24)).convert("RGB")
    photo.save("photos/one.png")
    assert main(["translate", "runs/stripes", "input=photos", "output=translated", "direction=BtoA", "device=cpu"]) == 0
    result = gan_cli.load("runs/stripes", device="cpu").translate(photo, "BtoA")
    with Image.open("translated/one.png") as file:
        assert result.mode == file.mode and result.tobytes() == file.tobytes()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gan_cli.load("runs"), "holds no run"),
        (lambda: gan_cli.load("runs/shapes", checkpoint="7"), "no checkpoint '7'"),
        (lambda: gan_cli.load("runs/shapes", weights="best"), "choose auto, ema or raw"),
        (lambda: gan_cli.load("runs/shapes").sample(0), "at least one"),
        (lambda: gan_cli.load("runs/shapes").sample(1, label=0), "not conditional"),
        (lambda: gan_cli.load("runs/shapes").translate(Image.new("RGB", (8, 8))), "does not translate"),
        (lambda: gan_cli.load("runs/stripes").sample(1), "does not generate from noise"),
        (lambda: gan_cli.load("runs/stripes").translate(Image.new("L", (8, 8)), "CtoD"), "choose one of AtoB, BtoA"),
        (lambda: gan_cli.list("losses"), "did you mean 'loss'"),
    ],
)
def test_mistakes_are_one_line(call, words: str, there: Path) -> None:
    with pytest.raises(gan_cli.GanError, match=words) as error:
        call()
    assert "\n" not in str(error.value)


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, gan_cli; gan_cli.list('model'); sys.exit('torch' in sys.modules or 'hydra' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_no_image_is_refused(there: Path) -> None:
    with pytest.raises(gan_cli.GanError, match="takes a PIL image, not str"):
        gan_cli.load("runs/stripes", device="cpu").translate("photo.jpg")  # type: ignore[arg-type]
