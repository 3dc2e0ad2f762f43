"""What this machine has: versions, devices, memory, folders that can be written, and extras that are installed."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import torch

from gan_cli.training.precision import slow_bfloat16
from gan_cli.training.run_dir import PACKAGES
from gan_cli.utils.downloads import data_folder

Row = tuple[str, str]
"""A name and a text."""

GIB = 2**30


def rows() -> list[Row]:
    """All that `gan doctor` says about the machine."""
    return [("versions", versions()), *devices(), *memory(), *folders(), *extras()]


def versions() -> str:
    """Versions of Python and of the packages that every run records."""
    found = {"python": platform.python_version(), **{name: installed(name) for name in PACKAGES}}
    return ", ".join(f"{name} {number or 'missing'}" for name, number in found.items())


def installed(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def devices() -> Iterator[Row]:
    """The processor with the instructions that training can use, and the GPUs."""
    units = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in _flags()]
    bfloat16 = "emulated: trainer.precision=float32" if slow_bfloat16(torch.device("cpu")) else "in hardware"
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield "processor", (
        f"{processor()}, {usable} cores, {torch.get_num_threads()} threads; {', '.join(units) or 'no AVX2'}; bfloat16 "
        f"{bfloat16}"
    )
    count = torch.cuda.device_count()
    for index in range(count):
        facts = torch.cuda.get_device_properties(index)
        yield f"cuda:{index}", f"{facts.name}, {facts.total_memory / GIB:.1f} GiB"
    if not count:
        yield "GPU", "none that torch can use; trainer.device=auto trains on the processor"


def processor() -> str:
    """The processor's name."""
    found = re.search(r"model name\s*:\s*(.+)", _cpu_info())
    return found[1] if found else platform.processor() or platform.machine()


def available() -> int:
    """Bytes of memory that a new process can have without swapping, within the limit of a container."""
    found = re.search(r"MemAvailable:\s*(\d+) kB", _read("/proc/meminfo"))
    free = int(found[1]) * 1024 if found else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit, used = _read("/sys/fs/cgroup/memory.max").strip(), _read("/sys/fs/cgroup/memory.current").strip()
    return min(free, int(limit) - int(used)) if limit.isdecimal() and used.isdecimal() else free


def memory() -> Iterator[Row]:
    """Memory and disk."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    yield "memory", f"{available() / GIB:.1f} GiB available of {total / GIB:.1f}"
    disk = shutil.disk_usage(".")
    yield "disk", f"{disk.free / GIB:.1f} GiB free of {disk.total / GIB:.1f} in the current folder"


def folders() -> Iterator[Row]:
    """The folders that commands write to."""
    cache = Path(os.environ.get("GAN_CACHE") or "~/.cache/gan/decoded").expanduser()
    for name, folder in (("outputs/", Path("outputs")), ("data", data_folder()), ("cache", cache)):
        yield name, f"{folder}: {'writable' if writable(folder) else 'NOT WRITABLE'}"


def writable(folder: Path) -> bool:
    """Whether a command could write to a folder, or make it; nothing is written."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK)


def extras() -> Iterator[Row]:
    """The extras of this package of which something is missing, each with the command that installs it."""
    wanted: dict[str, list[str]] = {}
    for line in requires("gan-cli") or ():
        found = re.match(r"([\w.-]+).*extra == ['\"]([\w-]+)['\"]", line)
        if found and found[2] != "dev":
            wanted.setdefault(found[2], []).append(found[1])
    missing = {extra: [name for name in names if not installed(name)] for extra, names in wanted.items()}
    complete = [extra for extra, names in missing.items() if not names]
    if complete:
        yield "extras", f"installed: {', '.join(complete)}"
    for extra, names in missing.items():
        if names:
            yield f"  {extra}", f"missing {', '.join(names)}: pip install 'gan-cli[{extra}]'"


def _flags() -> set[str]:
    found = re.search(r"^flags\s*:\s*(.+)$", _cpu_info(), re.MULTILINE)
    return set(found[1].split()) if found else set()


def _cpu_info() -> str:
    return _read("/proc/cpuinfo")


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:  # another operating system
        return ""
