"""`gan bench`: speed of training steps, data loading, start-up and several processes; see docs/SPEED.md."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from gan_cli.utils.errors import GanError, reading, suggest
from gan_cli.utils.files import writable

KINDS = ("step", "data", "start", "flops", "scaling")
OF_KIND = {"baseline": "step", "variants": "step", "gradient_checks": "step", "threads": "step", "root": "data",
           "versus": "start", "ready_text": "start"}  # fmt: skip
"""Option -> the only kind that it is for."""


def bench(
    kind: str,
    words: Sequence[str],
    *,
    baseline: str | None = None,
    repeats: int = 5,
    variants: Sequence[str] = (),
    gradient_checks: int = 1,
    root: str | None = None,
    threads: int | None = None,
    versus: str | None = None,
    ready_text: str | None = None,
    out: str = "outputs/bench",
) -> None:
    """Measure `kind` for the model that the overrides `words` describe; print the table and write it to folder `out`.

    GanError for a kind or a variant that does not exist.
    """
    if kind not in KINDS:
        raise GanError(f"gan bench measures {', '.join(KINDS)}, not '{kind}'{suggest(kind, KINDS)}")
    for key, value in (("repeats", repeats), ("gradient_checks", gradient_checks), ("threads", threads or 1)):
        if value < 1:
            raise GanError(f"{key} must be at least 1, not {value}")
    defaults = {"variants": (), "gradient_checks": 1}
    given = {"baseline": baseline, "variants": tuple(variants), "gradient_checks": gradient_checks, "threads": threads,
             "root": root, "versus": versus, "ready_text": ready_text}  # fmt: skip
    foreign = [key for key, value in given.items() if value != defaults.get(key) and OF_KIND[key] != kind]
    if foreign:
        raise GanError(f"{foreign[0]}= is for gan bench {OF_KIND[foreign[0]]}, not for gan bench {kind}; omit it")
    if root is not None and not Path(root).is_dir():
        raise GanError(f"root={root}: no such folder; name a folder of images, or omit root= for generated ones")
    writable(Path(out), f"out={out}")
    # Imported here, because torch is needed for the work itself but not for the messages above.
    module = importlib.import_module(f"{__name__}.{'startup' if kind == 'start' else kind}")
    own = {key: value for key, value in given.items() if OF_KIND[key] == kind}
    with reading("bench data" if root is None else f"root={root}") if kind == "data" else nullcontext():
        module.measure(words, Path(out), repeats=repeats, **own)
