"""What data sets may download, and what an archive may hold."""

import gzip
import io
import json
import os
import socket
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from helpers import save_ramp, unpaired_folder

from gan_cli.data import archives, download, fetching, huggingface, mnist_cifar, url_cache
from gan_cli.data.download import fetch
from gan_cli.data.tar_shards import expand
from gan_cli.data.webdataset import WebDataset
from gan_cli.utils import downloads

IS_TYPED = downloads._typed  # which conftest.py replaces


def tarred(path: Path, *members: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as out:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
    return path


def zipped(path: Path, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in members:
            out.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return path


PACKED = {"tar": tarred, "zip": zipped}


def refused(url: str, root: Path, match: str) -> None:
    """The archive is refused in one line, and nothing is left."""
    with pytest.raises((ValueError, FileNotFoundError), match=match) as caught:
        fetch(url, root)
    assert "\n" not in str(caught.value)
    assert not root.parent.exists() or not list(root.parent.iterdir())


@pytest.mark.filterwarnings("ignore:Duplicate name")  # which Python says when it writes the archive
@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize(
    "names",
    [
        ("a.png", "a.png"),
        ("a.png", "./a.png"),
        ("a", "a/b.png"),
        ("a/b.png", "a"),
        ("a\x1b[31m.png",),
        ("a\n.png",),
        ("/a.png",),
        ("b/../../a.png",),
        ("..\\a.png",),
    ],
)
def test_unsafe_names_are_refused(kind: str, names: tuple[str, ...], tmp_path: Path) -> None:
    """Twice the same file, a file in place of a folder, control characters, absolute names and ways out."""
    archive = PACKED[kind](tmp_path / "evil", *((name, b"text") for name in names))
    refused(archive.as_uri(), tmp_path / "data/set", "twice|unsafe member")


def test_a_name_with_signs_of_a_pattern_is_one_folder(tmp_path: Path) -> None:
    other = tmp_path / "data/.x.0123.part"  # which another process is downloading
    other.mkdir(parents=True)
    (tmp_path / "data/.*.0123.part").mkdir()  # which a killed one has left
    fetch(zipped(tmp_path / "set.zip", ("a.txt", b"text")).as_uri(), tmp_path / "data/*")
    assert (tmp_path / "data/*/a.txt").read_bytes() == b"text"
    assert [path.name for path in (tmp_path / "data").glob(".*.part")] == [other.name]


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize(
    "limits", [{"unpacked": 1999}, {"members": 1}, {"ratio": 1, "small": 1000}, {"packed": 100}], ids=str
)
def test_an_archive_beyond_a_limit_is_refused(
    kind: str, limits: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = PACKED[kind](tmp_path / "large", ("a/1", bytes(1000)), ("a/2", bytes(1000)))
    root = tmp_path / "data/set"
    with monkeypatch.context() as patch:
        for module in (archives, download):
            patch.setattr(module, "LIMITS", archives.Limits()._replace(**limits))
        refused(archive.as_uri(), root, "unpack it yourself and set dataset.root=FOLDER|larger than")
    fetch(archive.as_uri(), root)
    assert sorted(file.name for file in root.iterdir()) == ["1", "2"]


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """A kilobyte that says that it unpacks to two gigabytes is refused before anything is unpacked."""
    member = tarfile.TarInfo("a.bmp")
    member.size = 2 * 10**9
    (tmp_path / "bomb").write_bytes(gzip.compress(member.tobuf()))
    refused((tmp_path / "bomb").as_uri(), tmp_path / "data/set", "more than .* 1 GB: unpack it yourself")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_name_that_does_not_fit_into_memory_is_refused(kind: bytes, tmp_path: Path) -> None:
    member, size = tarfile.TarInfo("a"), 2 * 10**6
    member.size, member.type = size, kind
    text = f"{size} comment=".encode().ljust(size - 1, b"a") + b"\n"
    file = tarfile.TarInfo("a.png").tobuf()
    (tmp_path / "evil").write_bytes(member.tobuf() + text.ljust(-(-size // 512) * 512, b"\0") + file + bytes(10240))
    message = "a member has a name or attributes of 2,000,000 bytes"
    refused((tmp_path / "evil").as_uri(), tmp_path / "data/set", message)
    (tmp_path / "evil").rename(tmp_path / "evil.tar")
    with pytest.raises(ValueError, match=f"broken shards, 1 in all: .*evil.tar.*{message}"):
        WebDataset(str(tmp_path / "evil.tar"), 8)


def test_devices_in_a_zip_are_refused(tmp_path: Path) -> None:
    for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR):
        member = zipfile.ZipInfo("a.png")
        member.external_attr = (kind | 0o777) << 16
        with zipfile.ZipFile(tmp_path / "evil", "w") as out:
            out.writestr(member, "/etc/passwd")
        refused((tmp_path / "evil").as_uri(), tmp_path / "data/set", "unsafe member")


@pytest.mark.parametrize("kind", PACKED)
def test_an_archive_of_the_current_folder(kind: str, tmp_path: Path) -> None:
    """As `tar -C FOLDER -c .` makes it: the folder itself is a member, and all names begin with `./`."""
    for side in "AB":
        for number in range(3):
            save_ramp(tmp_path / f"sets/train{side}/{number}.png", number)
    files = [(f"./{file.relative_to(tmp_path / 'sets')}", file) for file in (tmp_path / "sets").rglob("*")]
    if kind == "tar":
        with tarfile.open(tmp_path / "archive", "w") as out:
            out.add(tmp_path / "sets", ".")
    else:
        zipped(tmp_path / "archive", *((name, file.read_bytes()) for name, file in files if file.is_file()))
    data = unpaired_folder(tmp_path / "data/set", url=(tmp_path / "archive").as_uri())
    assert torch.equal(data.test_batch(0, 3).x, unpaired_folder(tmp_path / "sets").test_batch(0, 3).x)


# -- addresses


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/a.zip", "data:,a", "a.zip", "/etc/passwd", "<URL:file:///etc/passwd>"])
def test_other_addresses_are_refused(url: str, tmp_path: Path) -> None:
    refused(url, tmp_path / "data/set", r"dataset.url names http\(s\) addresses")


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1:9/a.zip"])
def test_a_server_cannot_redirect_elsewhere(target: str, server: str, tmp_path: Path) -> None:
    refused(f"{server}/to/{target}", tmp_path / "data/set", "is no web address|is not allowed")
    cache = url_cache.URLCache(tmp_path / "shards", 10**9, "")
    with pytest.raises(ValueError, match="cannot download"):
        cache.open(f"{server}/to/{target}")


def test_a_redirect_to_a_web_address_is_followed(server: str, tmp_path: Path) -> None:
    tarred(tmp_path / "a.tgz", ("a/1.png", b"text"))
    fetch(f"{server}/to/{server}/a.tgz", tmp_path / "data/set")
    assert (tmp_path / "data/set/1.png").read_bytes() == b"text"


@pytest.mark.parametrize("digits, match", [(15, "larger than 200 GB"), (40, "not a complete zip or tar archive")])
def test_a_response_without_end_is_refused(digits: int, match: str, server: str, tmp_path: Path) -> None:
    """One of a petabyte, and one whose size is a number that nothing can hold, which counts as none."""
    refused(f"{server}/long{digits}", tmp_path / "data/set", match)


def test_a_shard_larger_than_the_cache_is_refused(server: str, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(bytes(10**5))
    with pytest.raises(ValueError, match=r"cannot download .*a.tar \(it is larger than 5e-05 GB\)"):
        WebDataset(f"{server}/a.tar", 8, cache_gb=5e-5)


def only(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """The command line holds these words only."""
    monkeypatch.setattr(downloads, "_typed", IS_TYPED)
    monkeypatch.setenv(downloads.TYPED, json.dumps(words))


def test_only_what_is_typed_is_fetched(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a config nor a constructor can make this process ask a server; words of the command line can."""
    url, root = f"{server}/to/{server}/a.tgz", tmp_path / "data/set"
    tarred(tmp_path / "a.tgz", ("a/1.png", b"text"))
    only(monkeypatch, "train")
    asked: list[object] = []
    monkeypatch.setattr(socket, "create_connection", lambda *words, **more: asked.append(words))
    monkeypatch.setattr(mnist_cifar, "_find", lambda *_: None)
    for call in (
        lambda: fetch(url, root),
        lambda: fetch((tmp_path / "a.tgz").as_uri(), root),
        lambda: WebDataset(f"{server}/{{0..2}}.tar", 8),
        lambda: mnist_cifar.MNIST(str(tmp_path / "elsewhere")),
        lambda: mnist_cifar.CIFAR10(str(tmp_path / "elsewhere")),
    ):
        with pytest.raises(ValueError, match="because only the run's config names"):
            call()
    assert not asked and not root.exists()


def test_what_is_typed_is_fetched(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive, root = tarred(tmp_path / "a.tgz", ("a/1.png", b"text")), tmp_path / "data/set"
    for url in (f"{server}/a.tgz", archive.as_uri()):
        only(monkeypatch, "train", f"dataset.url={url}", f"dataset.root={root}")
        fetch(url, root)
        assert (root / "1.png").is_file()
        root.rename(tmp_path / f"fetched-{os.urandom(4).hex()}")


def test_a_name_on_a_hub_is_fetched_only_if_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    class Library:
        class config:
            HF_HUB_OFFLINE = False

        class exceptions:
            DatasetGenerationError = OSError

        @staticmethod
        def load_dataset(name: str, split: str) -> str:
            loaded.append(name)
            return "table"

    only(monkeypatch, "train")
    monkeypatch.setattr(huggingface.importlib, "import_module", lambda name: Library)
    with pytest.raises(ValueError, match="who/what is not downloaded"):
        huggingface._load("who/what", "train")
    assert not loaded
    Library.config.HF_HUB_OFFLINE = True
    assert huggingface._load("who/what", "train")[1] == "table"
    Library.config.HF_HUB_OFFLINE = False
    monkeypatch.setenv(downloads.TYPED, json.dumps(["dataset.root=who/what"]))
    assert huggingface._load("who/what", "train")[1] == "table" and len(loaded) == 2


# -- patterns of archives


@pytest.mark.parametrize(
    "pattern", ["http://h/{0..99999999999}.tar", "http://h/" + "{a,b}" * 18, "http://h/" + "{0..1}" * 500, "{5..1}.tar"]
)
def test_patterns_of_too_many_archives_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="its braces stand for no archives, or more than 100,000"):
        expand(pattern, "root")


def test_a_pipe_is_no_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "a.tar")
    (tmp_path / "b.tar").write_bytes(b"text")
    for pattern in (str(tmp_path), f"{tmp_path}/*.tar"):
        assert expand(pattern, "root") == [str(tmp_path / "b.tar")]
    assert "skipped 1 archives that are no regular files" in capsys.readouterr().out


def test_the_length_that_a_server_announces() -> None:
    class Response:
        headers = {"Content-Length": "12"}  # noqa: RUF012

    assert fetching.length(Response()) == 12  # type: ignore[arg-type]
    for text in ("-1", "many", "9" * 40):
        Response.headers = {"Content-Length": text}
        assert fetching.length(Response()) == 0  # type: ignore[arg-type]
