"""Folders of images that are missing, empty, broken or far away: one clear line, and nothing left behind."""

import stat
import zipfile
from pathlib import Path

import pytest
import torch
from helpers import save_plain, unpaired_folder
from PIL import Image

from gan_cli.data import listing
from gan_cli.data.folders import ImageFolder


def test_missing_folder_suggests_a_similar_name(classes: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*sett; did you mean .*/set\?"):
        ImageFolder(f"{classes}t")
    with pytest.raises(
        FileNotFoundError, match=r"there is no folder .*/quite/else; set dataset.test_root=FOLDER"
    ):
        ImageFolder(str(classes), test_root=str(classes / "quite" / "else"))
    with pytest.raises(ValueError, match="is a file"):
        ImageFolder(str(classes / "cat" / "1.png"))


def test_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "set" / ".hidden").mkdir(parents=True)
    (tmp_path / "set" / "notes.txt").write_text("no image")
    save_plain(tmp_path / "set" / ".hidden" / "1.png", (0, 0, 0))
    (tmp_path / "set" / "._1.png").write_bytes(b"what one system leaves beside each file")
    with pytest.raises(ValueError, match=r"no images in .*set: files that count end in \.png, \.jpg"):
        ImageFolder(str(tmp_path / "set"))


def test_broken_files_are_named_together(domains: Path, cache_folder: Path) -> None:
    (domains / "trainA" / "text.jpg").write_text("not an image")
    (domains / "trainB" / "empty.png").touch()
    Image.effect_noise((64, 64), 50).save(domains / "testA" / "whole.jpg")
    whole = (domains / "testA" / "whole.jpg").read_bytes()
    (domains / "testA" / "whole.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError) as caught:
        unpaired_folder(domains)
    message = str(caught.value)
    assert message.startswith("broken images, 3 in all") and "\n" not in message
    assert "text.jpg: not an image" in message and "empty.png: empty file" in message
    assert "whole.jpg: image file is truncated" in message
    assert not list(cache_folder.iterdir())
    for number in range(3):
        (domains / "testB" / f"bad{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"rubbish" * number)
    with pytest.raises(ValueError, match=r"broken images, 6 in all.*; \.\.\.$"):
        unpaired_folder(domains)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"image_size": 0}, "image_size 0"),
        ({"channels": 0}, "channels 0"),
        ({"test_fraction": 1.0}, "test_fraction 1.0"),
        ({"value_range": (1, -1)}, "value_range"),
    ],
)
def test_wrong_settings(classes: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageFolder(**{"root": str(classes), **options})


def test_links_are_followed_once(classes: Path, tmp_path: Path) -> None:
    (tmp_path / "view").mkdir()
    (tmp_path / "view" / "linked").symlink_to(classes / "cat")
    (tmp_path / "view" / "loop").symlink_to(tmp_path / "view")
    assert len(listing.scan(tmp_path / "view").names) == 10


def archive(folder: Path, inside: str = "pair/") -> str:
    path = folder.parent / "pair.zip"
    with zipfile.ZipFile(path, "w") as out:
        for file in folder.rglob("*.png"):
            out.write(file, inside + file.relative_to(folder).as_posix())
    return path.as_uri()


@pytest.mark.parametrize("inside", ["pair/", ""])
def test_download(domains: Path, tmp_path: Path, inside: str) -> None:
    url, root = archive(domains, inside), tmp_path / "data" / "sets" / "fetched"
    data = unpaired_folder(root, url=url)
    assert torch.equal(data.train_batch(0, 0, 3).x, unpaired_folder(domains).train_batch(0, 0, 3).x)
    assert sorted(path.name for path in root.iterdir()) == ["testA", "testB", "trainA", "trainB"]
    assert [path.name for path in root.parent.iterdir()] == ["fetched"]
    (tmp_path / "pair.zip").unlink()
    unpaired_folder(root, url=url)


def test_no_network(tmp_path: Path) -> None:
    root = tmp_path / "data" / "horses"
    with pytest.raises(FileNotFoundError) as caught:
        unpaired_folder(root, url="http://127.0.0.1:9/horses.zip")
    message = str(caught.value)
    assert "\n" not in message and str(root) in message and "dataset.root=FOLDER" in message
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("bad", ["../evil.png", "/evil.png", "a/..\\..\\evil.png", "link"])
def test_unsafe_archives_are_refused(domains: Path, tmp_path: Path, bad: str) -> None:
    url = archive(domains)
    with zipfile.ZipFile(tmp_path / "pair.zip", "a") as out:
        member = zipfile.ZipInfo(bad)
        if bad == "link":
            member.external_attr = (stat.S_IFLNK | 0o777) << 16
        out.writestr(member, "/etc/passwd")
    with pytest.raises(ValueError, match="unsafe member"):
        unpaired_folder(tmp_path / "data" / "fetched", url=url)
    assert not list((tmp_path / "data").iterdir()) and not (tmp_path / "evil.png").exists()


def test_broken_archive(domains: Path, tmp_path: Path) -> None:
    url = archive(domains)
    for damage in (lambda content: content[:100], lambda content: content.replace(b"IDAT", b"XXXX")):
        whole = (tmp_path / "pair.zip").read_bytes()
        (tmp_path / "pair.zip").write_bytes(damage(whole))
        with pytest.raises(ValueError, match="not a complete zip or tar archive"):
            unpaired_folder(tmp_path / "data" / "fetched", url=url)
        assert not list((tmp_path / "data").iterdir())
        (tmp_path / "pair.zip").write_bytes(whole)
