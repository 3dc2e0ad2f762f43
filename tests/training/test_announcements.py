"""What a training says before it begins."""

from pathlib import Path

import pytest
from helpers import TINY, TINY_CYCLEGAN, save_plain

from gan_cli.cli.main import main


def test_the_images_of_each_domain_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, count in (("trainA", 3), ("trainB", 2), ("testA", 1), ("testB", 1)):
        for i in range(count):
            save_plain(tmp_path / "photos" / folder / f"{i}.png", (i, 0, 0))
    (tmp_path / "photos" / "trainA" / "notes.txt").write_text("no image")
    words = [word for word in TINY_CYCLEGAN if not word.startswith("dataset.")]
    data = ["dataset=unpaired_folder", "dataset.root=photos", "dataset.image_size=16"]
    assert main(["train", *words, *data, *TINY, "hydra.run.dir=run"]) == 0
    printed = capsys.readouterr().out
    assert "data: images: 3 in trainA and 2 in trainB" in printed
    assert "skipped 1 non-image file (.txt)" in printed
