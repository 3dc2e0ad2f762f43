"""`gan demo NAME`: the theory, drawn. A demo is a file of this folder; its name is the file's.

It has `TITLE`, one line, and `run(folder)`, which writes its pictures and its table (CSV) into the folder and returns
the table as text: the same numbers each time, in seconds on one CPU core. Files that begin with _ are shared parts.
torch and matplotlib are imported only when a demo runs.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

from gan_cli.utils.errors import GanError, suggest

HERE = Path(__file__).parent
OUT = Path("outputs/demo")


def names() -> list[str]:
    """Of all demos, sorted."""
    return sorted(file.stem for file in HERE.glob("[!_]*.py"))


def title(name: str) -> str:
    """The demo's TITLE, read from its source: importing it would import torch."""
    for node in ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TITLE":
            return ast.literal_eval(node.value)
    raise AssertionError(f"demos/{name}.py has no TITLE")


def lines() -> Iterator[str]:
    """What `gan demo` prints: a line for each."""
    found = names()
    width = max(map(len, found))
    for name in found:
        yield f"{name:<{width}}  {title(name)}"
    yield f"\n`gan demo NAME` prints a table and draws it into {OUT}/NAME."


def show(name: str, *, out: str | None = None) -> None:
    """Run a demo: print its table, write table and pictures into folder `out`, and say where.

    Raises GanError for a demo that does not exist, and a folder that cannot be made.
    """
    if name not in names():
        raise GanError(f"no demo '{name}'{suggest(name, names())}")
    folder = Path(out) if out else OUT / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GanError(f"cannot make folder {folder}: {error.strerror}; out=DIR names another") from error
    print(f"{title(name)}\n", flush=True)
    print(importlib.import_module(f"gan_cli.tools.demos.{name}").run(folder))
    print(f"\npicture and table in {folder}")
