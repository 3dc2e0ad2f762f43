"""Tables and records of `gan bench`."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NOISY = 1.3  # largest / smallest time of a row that can be quoted


def spread(seconds: Sequence[float]) -> dict[str, Any]:
    """median, min and max of the raw times, and whether they lie too far apart to be quoted."""
    low, high = min(seconds), max(seconds)
    return {"median": statistics.median(seconds), "min": low, "max": high, "noisy": high > NOISY * low}


def pairwise(reference: Sequence[float], seconds: Sequence[float]) -> float:
    """The median of reference / ours over the rounds: how many times faster."""
    return statistics.median(r / s for r, s in zip(reference, seconds, strict=True))


def facts() -> dict[str, Any]:
    """What the numbers depend on."""
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


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; numbers with four digits."""
    lines = [columns, ["---"] * len(columns), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write(folder: Path, kind: str, title: str, text: str, records: Sequence[Mapping[str, Any]]) -> None:
    """Append the records to KIND.jsonl and the table to KIND.md in `folder`, and print the table."""
    folder.mkdir(parents=True, exist_ok=True)
    shared = {"kind": kind, "title": title, **facts()}
    with open(folder / f"{kind}.jsonl", "a") as file:
        file.writelines(json.dumps({**shared, **record}) + "\n" for record in records)
    load, torch = " ".join(map(str, shared["load"])), shared["versions"]["torch"]
    about = f"{shared['time']}, {shared['device']}, {shared['cores']} cores, torch {torch}, load {load}"
    page = f"## {title}\n{about}\n\n{text}\n"
    with open(folder / f"{kind}.md", "a") as file:
        file.write(page + "\n")
    print(page, end="", flush=True)
