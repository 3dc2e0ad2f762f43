"""The import contract: rooms import downward only, nothing imports in a circle, and the top of the package is small."""


import code_figures
from helpers import ROOT


def test_imports_point_down() -> None:
    assert code_figures.pointing_up(code_figures.imports(ROOT)) == []


def test_no_circles() -> None:
    assert code_figures.circles(code_figures.imports(ROOT)) == []


def test_every_room_has_a_level_and_the_top_is_small() -> None:
    top = ROOT / "gan_cli"
    rooms = {folder.name for folder in top.iterdir() if any(folder.glob("*.py"))}
    assert rooms <= set(code_figures.LEVEL) and len(rooms) <= 13
    assert {file.name for file in top.glob("*.py")} == {"__init__.py", "__main__.py"}


def test_the_check_finds_circles_and_arrows_up() -> None:
    edges = {"gan_cli.utils.a": {"gan_cli.losses.b"}, "gan_cli.losses.b": {"gan_cli.utils.a"}}
    assert code_figures.pointing_up(edges) == ["gan_cli.utils.a -> gan_cli.losses.b"]
    assert code_figures.circles(edges) == [["gan_cli.losses.b", "gan_cli.utils.a"]]
