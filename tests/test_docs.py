"""The documentation: every link and image leads to a file, and every anchor to a heading."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import ROOT

from gan_cli.tools import demos

PAGES = sorted([*ROOT.glob("*.md"), *(page for page in ROOT.glob("docs/**/*.md") if page.parent.name != "results")])
"""docs/results has the sections from which docs/reproduction is built; their links are relative to the pages."""


def links(text: str) -> Iterator[str]:
    """The targets of all links and images outside code blocks."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    yield from re.findall(r"\]\(([^)\s]+)\)", prose)


def anchors(page: Path) -> set[str]:
    """The names under which a page's headings can be linked to, as GitHub makes them."""
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    heads = re.findall(r"^#+ (.+)$", prose, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page.read_text(encoding="utf-8")):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def test_links_are_found() -> None:
    text = "[a](b.md#c) ![d](e.png) `[no](link)`\n```\n[no](link)\n```\n"
    assert list(links(text)) == ["b.md#c", "e.png"]


def test_the_page_of_the_theory_names_what_there_is() -> None:
    """Every demo and no other, tests that exist, and an image in each row of the sections."""
    text = (ROOT / "docs/THEORY.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`gan demo (\w+)`", text)) == set(demos.names())
    tests = "\n".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/test_*.py"))
    missing = [name for name in re.findall(r"`(test_\w+)`", text) if f"def {name}(" not in tests]
    assert not missing
    sections = text[: text.index("## Slips")]
    rows = [line for line in sections.splitlines() if line.startswith("| ") and not line.startswith("| section")]
    assert all(re.search(r"\]\([\w/]+\.(png|gif)\)", row) for row in rows if not row.startswith("| ---"))
