"""The names of a user's own modules, as the command line gives them."""

from gan_cli.utils.errors import GanError


def module_names(text: str) -> list[str]:
    """The names in `a,b` or `[a,b]`. Raises GanError for a text that is no name of a Python module."""
    inside = text.strip("[] ")
    names = [name.strip(" '\"") for name in inside.split(",")] if inside else []
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise GanError(f"modules={text}: '{name}' is no name of a Python module, such as my_package.losses")
    return names
