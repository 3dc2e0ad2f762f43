"""`gan demo NAME`: a result of GAN theory as a table and a plot. Each file of this folder is a demo of the same name.

A demo has `TITLE`, one line, and `run(folder)`, which writes its plots and its table (CSV) into the folder and returns
the table as text. docs/DEMOS.md has a section per demo with its seconds, its figure and the printed numbers, which
tests/tools/test_demo_pages.py compares. Files that begin with _ are shared parts. torch and matplotlib are imported
only when a demo runs.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

from gan_cli.utils.errors import GanError, suggest, writing

FOLDER = Path(__file__).parent
OUT = Path("outputs/demo")


def names() -> list[str]:
    """The names of all demos, sorted."""
    return sorted(file.stem for file in FOLDER.glob("[!_]*.py"))


def title(name: str) -> str:
    """The demo's TITLE, read from its source, because importing it would import torch."""
    for node in ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TITLE":
            return ast.literal_eval(node.value)
    raise AssertionError(f"demos/{name}.py has no TITLE")


def lines() -> Iterator[str]:
    """What `gan demo` prints: a line per demo, and how to run one."""
    width = max(map(len, names()))
    for name in names():
        yield f"{name:<{width}}  {title(name)}"
    yield f"\n`gan demo NAME` prints a table and writes it and a plot to {OUT}/NAME."


def show(name: str, *, out: str | None = None) -> None:
    """Run a demo: print its table, and write table and plots into the folder `out`.

    GanError for a demo that does not exist, or a folder that cannot be written.
    """
    if name not in names():
        raise GanError(f"no demo '{name}'{suggest(name, names())}")
    folder = Path(out) if out else OUT / name
    with writing(folder, "out"):
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{title(name)}\n", flush=True)
        print(importlib.import_module(f"gan_cli.tools.demos.{name}").run(folder))
    print(f"\nplot and table in {folder}")
