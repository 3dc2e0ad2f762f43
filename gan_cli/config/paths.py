"""The folder of the config groups."""

from pathlib import Path


def conf_dir() -> Path:
    """The config groups: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"
