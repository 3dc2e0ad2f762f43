"""A model that needs labels, and a folder whose subfolders could be classes."""

from pathlib import Path

import pytest
from helpers import composed, save_plain

from gan_cli.cli import main
from gan_cli.config import schema
from gan_cli.utils.errors import GanError


def test_subfolders_can_be_the_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        save_plain(tmp_path / f"animals/{name}/1.png", (9, 9, 9))
    assert main.main(["train", "model=cgan", "dataset.root=animals"]) == 2
    error = capsys.readouterr().err
    assert "model=cgan needs labels, but dataset=image_folder has none" in error
    assert "; dataset.num_classes=2 makes the 2 subfolders the classes" in error and "mnist" not in error
    save_plain(tmp_path / "alone/1.png", (9, 9, 9))
    assert main.main(["train", "model=cgan", "dataset.root=alone"]) == 2
    assert "alone has no subfolders for classes" in capsys.readouterr().err
    assert main.main(["train", "model=cgan", "dataset=ring"]) == 2
    assert "dataset=ring has none (dataset.num_classes is null); choose a labeled data set" in capsys.readouterr().err


def test_folders_of_other_runs_are_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration may be a stranger's, whose dataset.root may be any folder."""
    for name in ("cat", "dog"):
        save_plain(tmp_path / f"{name}/1.png", (9, 9, 9))
    cfg = composed("model=cgan", "dataset=image_folder", f"dataset.root={tmp_path}")
    with monkeypatch.context() as patch:
        patch.setattr("gan_cli.data.folders.find_folder", lambda *_: pytest.fail("looked at"))
        with pytest.raises(GanError, match="num_classes=K makes the K subfolders of"):
            schema.check(cfg)
    with pytest.raises(GanError, match="num_classes=2 makes"):
        schema.check(cfg, look_at_data=True)
