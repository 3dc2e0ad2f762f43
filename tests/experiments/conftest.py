"""What the tests of experiments share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gan_cli.cli.main import main


@pytest.fixture
def refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """A function that runs `gan *words` in an empty folder and returns its error.

    It fails unless the command ends with status 2 and as many lines as `lines` says, and leaves the folder empty.
    """
    monkeypatch.chdir(tmp_path)

    def check(*words: str, lines: int = 1) -> str:
        capsys.readouterr()
        status, error = main(list(words)), capsys.readouterr().err
        what = f"`gan {' '.join(words)}`"
        assert status == 2, f"{what} ends with status {status}, not 2: {error}"
        begins = [line[:5] for line in error.splitlines()]
        assert begins == ["gan: "] * lines, f"{what} does not explain itself in {lines} lines: {error}"
        left = [path.name for path in tmp_path.iterdir()]
        assert not left, f"{what} is refused, but leaves {left}"
        return error

    return check
