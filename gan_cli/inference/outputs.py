"""Where the verbs that use a run write their files."""

from pathlib import Path

from gan_cli.utils.errors import GanError
from gan_cli.utils.files import make_folder


def output_folder(run_dir: Path, name: str, out: str | None) -> Path:
    """The folder `out` or, if that is None, the folder `name` of the run; created if needed.

    A run directory may be untrusted: GanError if links in it lead elsewhere.
    """
    if out is not None:
        return make_folder(Path(out))
    folder = run_dir / name
    if not folder.resolve().is_relative_to(run_dir.resolve()):
        raise GanError(f"a link in {run_dir} leads {folder} to {folder.resolve()}; name the folder to write to by out=")
    return make_folder(folder)


def sheets_folder(folder: Path) -> Path:
    """The folder of the sheets that show many images of `folder` at once: beside it, so that whoever reads all images
    of `folder`, such as a program that computes the FID, does not read sheets. Not created.
    """
    named = folder if folder.name.strip(".") else folder.resolve()
    return named.parent / f"{named.name}_sheets"
