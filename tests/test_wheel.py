"""The built wheel works in a folder that knows nothing of the checkout."""

import os
import subprocess
import sys
import zipfile

import pytest
from helpers import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder into which the wheel is unpacked."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(installed, *words, folder):
    """`gan` from the unpacked wheel."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "gan_cli", *words], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_the_wheel_holds_every_config_and_module(installed):
    package = ROOT / "gan_cli"
    for folder, pattern, inside in ((ROOT / "conf", "*.yaml", "conf"), (package, "*.py", ""), (package, "*.html", "")):
        for file in folder.rglob(pattern):
            assert (installed / "gan_cli" / inside / file.relative_to(folder)).is_file(), file
    assert (installed / "gan_cli/py.typed").is_file() and not (installed / "tests").exists()
    entry = next(installed.glob("*.dist-info/entry_points.txt")).read_text()
    assert "gan = gan_cli.cli.main:main" in entry
    assert next(installed.glob("*.dist-info/licenses/LICENSE")).read_text().lstrip().startswith("Apache License")


def test_list_and_train_work_from_the_wheel(installed, tmp_path):
    code = "import gan_cli.config.paths as p; print(p.conf_dir())"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    where = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert where.stdout.strip() == str(installed / "gan_cli/conf")
    assert "wgan_gp" in run(installed, "list", "model", folder=tmp_path).stdout
    words = "train network=mlp_points dataset=ring trainer.iterations=2 trainer.batch_size=8 hydra.run.dir=run"
    done = run(installed, *words.split(), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/checkpoints/last.pt").exists()
