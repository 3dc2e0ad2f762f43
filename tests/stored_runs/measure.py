"""What a stored run does when it is resumed, sampled, translated with and evaluated, as numbers."""

import hashlib
import json
import math
import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

ITERATIONS = 4  # the stored runs were trained for 2
Gan = Callable[[list[str]], tuple[int, str]]  # the words of a command -> its exit status and its output


def measure(run: Path, inputs: Path | None, gan: Gan) -> dict[str, Any]:
    """Resume `run` to ITERATIONS, sample two images, translate `inputs` if any, and take the run's own metric.

    Raises AssertionError, with the output of the command, when a command fails.
    """

    def succeed(*words: str) -> None:
        status, output = gan(list(words))
        assert status == 0, f"gan {' '.join(words)}: exit status {status}\n{output}"

    succeed("resume", str(run), f"trainer.iterations={ITERATIONS}")
    results = trained(run)
    succeed("sample", str(run), "n=2", "seed=0", "out=sampled")
    assert len(list(Path().glob("sampled*/grid.png"))) == 1  # beside the images, or alone
    results["sample"] = images(Path("sampled"))
    shutil.rmtree("sampled_sheets", ignore_errors=True)
    if inputs is not None:
        succeed("translate", str(run), f"input={inputs}", "output=translated", "n=1", "seed=0")
        results["translate"] = images(Path("translated"))
    succeed("evaluate", str(run))
    records = [json.loads(line) for line in (run / "evaluation.jsonl").read_text().splitlines()]
    results["evaluate"] = [finite(value) for record in records for value in record["values"].values()]
    return results


def trained(run: Path) -> dict[str, Any]:
    """What the training left in `run`.

    bits: a hash of all tensors of last.pt. networks: number of weights, sum and L2 norm of each network, averaged
    networks included. logged: the lines of the last two iterations in metrics.jsonl, as values in their order. None
    of the three depends on the names of networks, checkpoint keys or logged values, which a later version may change.
    """
    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    assert state["iteration"] == ITERATIONS
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    logged = [line for line in lines if line["iteration"] > ITERATIONS - 2]
    return {
        "bits": bits(state),
        "networks": sorted(networks(state["system"]) + [n for s in state["ema"].values() for n in networks(s, "")]),
        "logged": [[finite(v) for key, v in line.items() if key != "images_per_second"] for line in logged],
    }


def bits(state: Any) -> str:
    """SHA-256 over the hashes of all tensors in nested dicts and lists, sorted."""
    digests = sorted(hashlib.sha256(_bytes(tensor)).hexdigest() for tensor in tensors(state))
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _bytes(tensor: torch.Tensor) -> bytes:
    return f"{tensor.dtype} {tuple(tensor.shape)} ".encode() + tensor.contiguous().numpy().tobytes()


def tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from tensors(inner)


def networks(state: dict[str, torch.Tensor], separator: str = ".") -> list[tuple[int, float, float]]:
    """(number of values, sum, L2 norm) of each child module of a state dict; of all of it without a separator."""
    children: dict[str, list[torch.Tensor]] = {}
    for name, tensor in state.items():
        child = name.partition(separator)[0] if separator else ""
        children.setdefault(child, []).append(tensor.double().flatten())
    flat = [torch.cat(parts) for parts in children.values()]
    return [(len(values), float(values.sum()), float(values.norm())) for values in flat]


def images(folder: Path) -> list[tuple[float, float]]:
    """Mean and standard deviation (0 to 255) of every image in `folder`, by file name; the folder is deleted.

    Grids and traversals are skipped, because a later version may lay them out or label them differently; points and
    `gan sample` of a translation model make nothing else.
    """
    files = sorted(file for file in folder.iterdir() if not file.name.startswith(("grid", "traverse")))
    found = [np.asarray(Image.open(file).convert("RGB"), dtype=np.float64) for file in files]
    shutil.rmtree(folder)
    return [(float(pixels.mean()), float(pixels.std())) for pixels in found]


def finite(value: float) -> float | None:
    """The value, or None for one that JSON cannot hold."""
    return value if math.isfinite(value) else None


def machine() -> dict[str, str]:
    """The software and the processor, on which the bits depend."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "processor": model or platform.processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
    }
