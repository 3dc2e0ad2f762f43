"""Files that are replaced atomically, and the lock between processes."""

import errno
import os
import resource
import stat
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from gan_cli.utils import files
from gan_cli.utils.locks import hold


def test_replacing_shows_the_new_file_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with files.replacing(path) as temporary:
        assert temporary.parent == tmp_path and temporary.name.endswith(files.PART) and temporary.read_text() == ""
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", [251 * "n" + ".png", 63 * "\N{GRINNING FACE}"], ids=["ascii", "four bytes each"])
def test_replacing_works_for_the_longest_names(name: str, tmp_path: Path) -> None:
    with files.replacing(tmp_path / name) as temporary:
        temporary.write_text("new")
    assert (tmp_path / name).read_text() == "new" and len(list(tmp_path.iterdir())) == 1


def test_replacing_leaves_the_old_file_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(ValueError, match="broken"), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise ValueError("broken")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_an_error_of_a_full_disk_names_the_file(tmp_path: Path) -> None:
    """Writing raises one without a name; making the temporary file raises one with a name that nobody knows."""
    path = tmp_path / "file.txt"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        for write in (lambda: files.write_text(path, 20 * "x"), lambda: files.append_json(path, {"key": 20 * "x"})):
            with pytest.raises(OSError, match="File too large") as caught:
                write()
            assert caught.value.filename == str(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    missing = tmp_path / "missing/file.txt"
    with pytest.raises(FileNotFoundError) as caught:
        files.write_text(missing, "text")
    assert caught.value.filename == str(missing)
    with pytest.raises(ConnectionResetError) as caught, files.replacing(path):
        raise ConnectionResetError(errno.ECONNRESET, "reset")
    assert caught.value.filename is None


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    with files.replacing(path) as first, files.replacing(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # whose block ended last


def test_replacing_never_writes_through_a_file_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even if somebody guesses the temporary name, and puts a link to a file of the user there."""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    monkeypatch.setattr("uuid.uuid4", lambda: uuid.UUID(int=0))
    (tmp_path / f".file.{uuid.UUID(int=0).hex}{files.PART}").symlink_to(precious)
    with pytest.raises(FileExistsError), files.replacing(tmp_path / "file") as temporary:
        temporary.write_text("overwritten")
    assert precious.read_text() == "precious"


def test_replacing_respects_the_umask_and_syncs_file_and_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(stat.S_ISDIR(os.fstat(handle).st_mode)))
    before = os.umask(0o027)
    try:
        with files.replacing(tmp_path / "file", sync=True) as temporary:
            temporary.write_text("text")
    finally:
        os.umask(before)
    assert synced == [False, True] and stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_lock_excludes_other_processes_until_its_own_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from gan_cli.utils.locks import hold\n"
        "lock = hold(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    with pytest.raises(BlockingIOError):
        hold(tmp_path / "lock")
    child.kill()
    child.wait()
    child.stdout.close()
    hold(tmp_path / "lock", wait=True).close()


def test_what_a_killed_writer_left_goes_with_the_next_write_and_not_before(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from gan_cli.utils.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as part: print(part.name, flush=True); time.sleep(60)"
    )

    def writer(name: str) -> tuple[subprocess.Popen[str], Path]:
        words = [sys.executable, "-c", program, str(tmp_path / name)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        return process, tmp_path / process.stdout.readline().strip()

    def left() -> set[str]:
        return {path.name for path in tmp_path.iterdir()}

    kept = {"mine.part", ".mine.part", f".mine{files.PART}.txt", ".a.0123456789abcdef.txt"}
    for name in kept:
        (tmp_path / name).write_text("of the user")
    os.mkfifo(tmp_path / f".a.01{files.PART}")  # which nobody reads
    kept |= {f".a.01{files.PART}"}
    children = [writer("result.json"), writer("G.onnx")]
    parts = {part.name for _, part in children}
    (tmp_path / f".G.onnx.0123{files.PART}.onnx").touch()  # as earlier versions named it
    files.remove_leftovers(tmp_path)
    assert left() == kept | parts, "a file that a living process writes was deleted, or one of the user's"
    for child, _ in children:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
    assert left() == kept | parts, "the killed writers left no temporary files: this test tests nothing"
    files.write_text(tmp_path / "another.txt", "text")
    assert left() == kept | {"another.txt"}, "the next write into the folder left a killed writer's file, or took more"


def test_a_temporary_file_that_was_taken_for_a_leftover_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may look between the creation of the file and its lock."""
    lock, taken = files.fcntl.flock, []

    def late(handle: int, kind: int) -> None:
        if not taken:
            taken.extend(tmp_path.iterdir())
            taken[0].unlink()
        lock(handle, kind)

    monkeypatch.setattr(files.fcntl, "flock", late)
    with files.replacing(tmp_path / "file") as temporary:
        assert len(taken) == 1 and temporary != taken[0] and temporary.exists(), "the writer's file is not its own"
        temporary.write_text("new")
    assert (tmp_path / "file").read_text() == "new" and len(list(tmp_path.iterdir())) == 1
