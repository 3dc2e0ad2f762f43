"""The numbers that docs/DEMOS.md prints are those of `gan demo`, run at full length, for every demo that exists."""

import importlib
import math
import os
import re
from pathlib import Path

import pytest
import torch
from helpers import ROOT

from gan_cli.tools import demos

PAGE = (ROOT / "docs/DEMOS.md").read_text(encoding="utf-8")
# Networks that are trained amplify rounding errors, and without AVX2 torch's noise differs in its last digits. These
# are the tolerances that the page states; demos without training must print the same digits.
TRAINED = {
    "critics", "discogan_collapse", "energy", "energy_gradients", "gan_over_time", "gaussian", "optimal_discriminator",
    "parallel_masses", "variational_bound",
}  # fmt: skip
AVX2 = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
RELATIVE, ABSOLUTE = 0.002 if AVX2 else 0.3, 0.0002 if AVX2 else 0.02
LONG = {"gan_over_time", "gaussian"}  # more than 15 seconds each
NUMBER = re.compile(r"(?<![\w.])-?(?:\d+\.?\d*(?:e[+-]?\d+)?|inf)(?![\w.])")


def section(name: str) -> str:
    """The part of the page below the heading of a demo."""
    found = [part for part in PAGE.split("\n## ")[1:] if re.search(rf"^`gan demo {name}`", part, re.MULTILINE)]
    assert len(found) == 1, f"docs/DEMOS.md has {len(found)} sections of `gan demo {name}`"
    return found[0]


def compare(printed: str, shown: str, trained: bool) -> list[str]:
    """What differs between two texts: their words, or numbers by more than the tolerance."""
    printed, shown = (" ".join(text.split()) for text in (printed, shown))
    if not trained:
        return [] if printed == shown else [f"{printed!r} is not {shown!r}"]
    if NUMBER.sub("#", printed) != NUMBER.sub("#", shown):
        return [f"{printed!r} has other words than {shown!r}"]
    pairs = zip(NUMBER.findall(printed), NUMBER.findall(shown))
    return [
        f"{a} is not {b}"
        for a, b in pairs
        if a != b and not math.isclose(float(a), float(b), rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    ]


@pytest.mark.parametrize("name", demos.names())
def test_a_section_has_the_seconds_the_figure_and_the_table(name: str) -> None:
    text = section(name)
    assert re.search(r"\bseconds?\b|\bminutes?\b", text), f"the section of {name} does not say how long it takes"
    assert f"](demos/{name}.png)" in text and (ROOT / f"docs/demos/{name}.png").exists()
    assert "\n```\n" in text


@pytest.mark.parametrize("name", demos.names())
def test_the_page_has_the_numbers_of_the_demo(name: str, tmp_path: Path) -> None:
    if name in LONG and "GAN_LONG_DEMOS" not in os.environ:
        pytest.skip("takes long: set GAN_LONG_DEMOS=1 to compare it, too")
    *_, table = re.findall(r"^```\n(.*?)^```", section(name), re.MULTILINE | re.DOTALL)  # a formula may stand before it
    printed = importlib.import_module(f"gan_cli.tools.demos.{name}").run(tmp_path)
    assert compare(printed, table, name in TRAINED) == []


def test_other_numbers_and_other_words_are_noticed() -> None:
    shown = "data  V  D\nring  0.84  inf\na b: 3"
    for trained in (False, True):
        assert compare(shown, shown, trained) == []
        assert compare(shown.replace("0.84", "0.42"), shown, trained)
        assert compare(shown.replace("ring", "grid"), shown, trained)
        assert compare(shown.replace("inf", "1"), shown, trained)
    assert compare(shown.replace("0.84", "0.8401"), shown, False)
    assert not compare(shown.replace("0.84", "0.8401"), shown, True)
