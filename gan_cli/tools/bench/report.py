"""Tables and records of `gan bench`."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from gan_cli.utils.files import append_json
from gan_cli.utils.tables import markdown

NOISY = 1.3  # largest / smallest time above which a row is marked


class Spread(TypedDict):
    """Statistics of repeated measurements. noisy: they differ too much to be quoted."""

    median: float
    min: float
    max: float
    noisy: bool


def spread(seconds: Sequence[float]) -> Spread:
    """Median, minimum and maximum of the raw times."""
    low, high = min(seconds), max(seconds)
    return {"median": statistics.median(seconds), "min": low, "max": high, "noisy": high > NOISY * low}


def numbers(times: Spread) -> list[float]:
    """Median, minimum and maximum, as columns of a table."""
    return [times["median"], times["min"], times["max"]]


def note(times: Spread) -> str | None:
    """The mark of a row whose times differ too much."""
    return "noisy: do not quote" if times["noisy"] else None


def pairwise(reference: Sequence[float], seconds: Sequence[float]) -> float:
    """How many times faster than the reference: the median over the repeats of reference / seconds."""
    return statistics.median(r / s for r, s in zip(reference, seconds, strict=True))


def facts() -> dict[str, Any]:
    """The machine and the versions that the measurements depend on."""
    import torch

    from gan_cli import __version__

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return {
        "time": time.strftime("%Y-%m-%d %H:%M:%S"),
        "load": [round(value, 2) for value in os.getloadavg()],
        "device": device,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "versions": {"gan": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def write(
    folder: Path,
    kind: str,
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    records: Sequence[Mapping[str, Any]],
) -> None:
    """Append the records to KIND.jsonl and the table to KIND.md in `folder`, and print the table."""
    folder.mkdir(parents=True, exist_ok=True)
    shared = {"kind": kind, "title": title, **facts()}
    append_json(folder / f"{kind}.jsonl", *({**shared, **record} for record in records))
    load, torch = " ".join(map(str, shared["load"])), shared["versions"]["torch"]
    machine = f"{shared['time']}, {shared['device']}, {shared['cores']} cores, torch {torch}, load {load}"
    page = f"## {title}\n{machine}\n\n{markdown(columns, rows)}"
    with open(folder / f"{kind}.md", "a") as file:
        file.write(page + "\n")
    print(page, end="", flush=True)
