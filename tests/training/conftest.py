"""A small trained run, which each test gets as a copy of its own."""

import os
import shutil
from pathlib import Path

import pytest
from helpers import TINY_RING

from gan_cli.cli.main import main

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
