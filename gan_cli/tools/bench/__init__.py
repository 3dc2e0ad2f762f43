"""`gan bench`: what a step, the data, the start and several processes cost; see docs/SPEED.md for the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gan_cli.utils.errors import GanError, reading, suggest
from gan_cli.utils.files import writable

KINDS = ("step", "data", "start", "flops", "scaling")


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
    """Measure `kind` for the game that the overrides `words` describe; the report goes to the terminal and to `out`.

    GanError for a kind or a side that does not exist.
    """
    if kind not in KINDS:
        raise GanError(f"gan bench measures {', '.join(KINDS)}, not '{kind}'{suggest(kind, KINDS)}")
    for key, value in (("repeats", repeats), ("gradient_checks", gradient_checks), ("threads", threads or 1)):
        if value < 1:
            raise GanError(f"{key} must be at least 1, not {value}")
    folder = Path(out)
    writable(folder, f"out={out}")
    if kind == "step":
        from gan_cli.tools.bench import step

        step.measure(words, folder, peer=baseline, rounds=repeats, chosen=variants, draws=gradient_checks, threads=threads)
    elif kind == "data":
        from gan_cli.tools.bench import data

        if root is not None and not Path(root).is_dir():
            raise GanError(f"root={root}: no such folder; name a folder of images, or leave it out")
        with reading("bench data" if root is None else f"root={root}"):
            data.measure(words, folder, rounds=repeats, root=root)
    elif kind == "start":
        from gan_cli.tools.bench import start

        start.measure(words, folder, rounds=repeats, against=versus, until=ready_text)
    elif kind == "flops":
        from gan_cli.tools.bench import flops

        flops.measure(words, folder, rounds=repeats)
    else:
        from gan_cli.tools.bench import scaling

        scaling.measure(words, folder, rounds=repeats)
