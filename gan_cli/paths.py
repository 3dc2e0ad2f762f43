"""Where the configs lie, and whether a place can be written; without importing anything heavy."""

import tempfile
from contextlib import suppress
from pathlib import Path

from gan_cli.errors import GanError


def conf_dir() -> Path:
    """The config groups: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def writable(folder: Path, what: str) -> None:
    """GanError unless files can be written into `folder`, which need not be there; what was made to try it goes again.

    what: how the user named it, such as out=DIR.
    """
    made: list[Path] = []
    try:
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (FileExistsError, NotADirectoryError) as error:
        raise GanError(f"{what}: {error.filename} is a file; name a folder") from error
    except OSError as error:
        raise GanError(f"{what}: {error.strerror}; name a folder that can be written") from error
    finally:
        for path in made:
            with suppress(OSError):
                path.rmdir()
