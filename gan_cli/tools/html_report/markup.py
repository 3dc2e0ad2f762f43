"""HTML in which everything that is not markup is escaped, and the page that it becomes."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from gan_cli import __version__
from gan_cli.utils.progress import clock
from gan_cli.utils.tables import number, shortened
from gan_cli.utils.terminal import printable

TEMPLATE = Path(__file__).with_name("page.html")
LONGEST = 2000  # characters of a text from a run, at most
VOID = ("img", "input", "line", "polyline", "circle")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content = Markup | str | int | float | None
"""What an element may hold: HTML, or a text or number that is escaped; None is nothing."""
NONE = Markup("")


def text(value: object, most: int = LONGEST) -> Markup:
    """The text of a value, escaped, with its control characters written out, of at most `most` characters."""
    return value if isinstance(value, Markup) else Markup(html.escape(printable(shortened(number(value), most))))


def joined(parts: Iterable[Content]) -> Markup:
    return Markup("".join(map(text, parts)))


def tag(name: str, *content: Content, **attributes: object) -> Markup:
    """An element. Attributes: `class_` is class and `aria_label` aria-label; True has no value, None is omitted."""
    words = [name]
    for key, value in attributes.items():
        attribute = key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(attribute)
        elif value is not None and value is not False:
            # A data URI is longer than any text, and made here.
            words.append(f'{attribute}="{value if isinstance(value, Markup) else text(value)}"')
    begin = " ".join(words)
    return Markup(f"<{begin}/>" if name in VOID else f"<{begin}>{joined(content)}</{name}>")


def section(title: str, *content: Content, name: str) -> Markup:
    """A section with its heading; nothing if it has no content."""
    inner = joined(content)
    return tag("section", tag("h2", title), inner, id=name) if inner else NONE


def folded(summary: Content, *content: Content) -> Markup:
    """Content that a click shows; nothing if there is none."""
    inner = joined(content)
    return tag("details", tag("summary", summary), inner) if inner else NONE


def table(
    head: Sequence[Content], rows: Iterable[Sequence[Content]], caption: str, class_: str | None = None
) -> Markup:
    """A table in a box of its own, in which it scrolls if it is wide; nothing without rows.

    The first cell of a row is its heading. caption: what the table shows, for screen readers.
    """
    cells = list(rows)
    if not cells:
        return NONE
    kinds = ["number" if i and all(map(_is_number, column)) else None for i, column in enumerate(zip(*cells))]
    body = [
        tag("tr", *(tag("td", cell, class_=kind) if i else tag("th", cell, scope="row") for i, (cell, kind) in
                    enumerate(zip(row, kinds, strict=True))))
        for row in cells
    ]  # fmt: skip
    heads = [tag("th", cell, scope="col", class_=kind) for cell, kind in zip(head, kinds, strict=True)]
    whole = tag("table", tag("caption", caption), tag("thead", tag("tr", *heads)), tag("tbody", *body), class_=class_)
    return tag("div", whole, class_="box", tabindex=0, role="region", aria_label=caption)


def facts(pairs: Iterable[tuple[str, Content]]) -> Markup:
    """A list of names with their values; those that are None or empty are omitted."""
    items = [tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs if value not in (None, "")]
    return tag("dl", *items) if items else NONE


def command(words: str) -> Markup:
    """A command, which one click selects."""
    return tag("pre", tag("code", text(words, 8 * LONGEST)), class_="command", tabindex=0)


def setting(key: str) -> Markup:
    """The name of a setting, which may be broken at its dots and underscores."""
    return tag("code", Markup(re.sub(r"([._])", r"\1<wbr>", text(key))))


def duration(seconds: float) -> str:
    """Such as `12 s`, `3:20 min` or `5:03:20 h`."""
    return f"{seconds:.0f} s" if seconds < 60 else clock(seconds) + (" h" if seconds >= 3600 else " min")


def page(title: str, body: Markup) -> str:
    """The whole page. It loads nothing and runs its own script only, which the policy in it enforces."""
    template = TEMPLATE.read_text(encoding="utf-8")
    # By hash: what a defect here let through would neither run nor be styled.
    style, script = (_hash(re.findall(rf"<{name}>(.*?)</{name}>", template, re.S)[0]) for name in ("style", "script"))
    policy = (
        f"default-src 'none'; img-src data:; style-src '{style}'; script-src '{script}'; base-uri 'none'; "
        "form-action 'none'"
    )
    parts = {"POLICY": policy, "VERSION": text(__version__), "TITLE": text(title), "BODY": body}
    return re.sub(r"<!--([A-Z]+)-->", lambda found: str(parts[found[1]]), template)


def _hash(code: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()


def _is_number(cell: Content) -> bool:
    return cell is None or re.fullmatch(r"-?\d[\d,.]*(e[-+]?\d+)?( ± \S+)?|–|not defined|", str(cell)) is not None
