"""`gan export`: a network of a run for other programs, compared with the run before it is believed."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from gan_cli.inference import export_formats
from gan_cli.inference.export_formats import BOUNDS, SUFFIXES, Free, is_picture
from gan_cli.inference.sampling import Trained, folder_for
from gan_cli.inference.trace import Plain, Use, settled, silent, used
from gan_cli.training.run_dir import RunDir
from gan_cli.utils.errors import GanError
from gan_cli.utils.files import write_text


def export(
    run_dir: Path,
    *,
    format: str = "onnx",
    network: str | None = None,
    direction: str | None = None,
    seed: int = 0,
    out: str | None = None,
    checkpoint: str = "last",
    weights: str = "auto",
    allowed_modules: Sequence[str] = (),
) -> None:
    """Write `network` (the one that samples or translates) as NETWORK.onnx, .pt2 or .safetensors, and
    preprocessing.json, which says what goes in and comes out, to `out` (RUN_DIR/export/NETWORK).

    The file is read back and compared with the run on inputs of `seed`, at other batch and picture sizes too where it
    takes them; GanError, and no file, if they differ by more than `formats.BOUNDS`.
    """
    if format not in SUFFIXES:
        raise GanError(f"format={format}: choose one of {', '.join(SUFFIXES)}")
    export_formats.tools(format)
    run = Trained(run_dir, checkpoint=checkpoint, weights=weights, device="cpu", allowed_modules=allowed_modules)
    name, use = used(run, run_dir, network, direction, seed)
    quiet, silenced = silent(getattr(run.system, name))
    plain = Plain(quiet, use).eval()
    reference = settled(plain, use, bool(silenced), name)
    own: int = run.cfg.dataset.image_size
    folder = folder_for(Path(out) if out else run_dir / "export" / name)
    path = folder / f"{name}.{SUFFIXES[format]}"
    temporary = folder / f".{name}.tmp.{SUFFIXES[format]}"
    try:
        player, free = export_formats.write(format, plain, use, own, temporary)
        difference = export_formats.difference(plain, player, use, reference, own, free)
        if not difference <= BOUNDS[format]:
            raise GanError(
                f"{name} as {format} differs from the run by up to {difference:.2g}, where {BOUNDS[format]:g} is "
                "allowed: nothing is written; another format= may do"
            )
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sheet = {"file": path.name, "format": format, **_origin(run, run_dir, name), **_sheet(run, use, free)}
    sheet |= {"noise_layers_off": silenced, "largest_difference_from_the_run": difference}
    write_text(folder / "preprocessing.json", json.dumps(sheet, indent=2) + "\n")
    batch = "any batch" if free.batch else f"batches of {len(use.output)}"
    size = f", pictures of multiples of {free.step} pixels" if free.step else ""
    note = f"; noise is off: {len(silenced)} dropout layers" if silenced else ""
    print(
        f"{path}: {name} of {type(run.system).__name__} ({run.weights} weights, iteration {run.iteration}); "
        f"differs from the run by at most {difference:.2g}; takes {batch}{size}{note}"
    )


def _origin(run: Trained, path: Path, name: str) -> dict[str, Any]:
    digest = hashlib.sha256(RunDir(path).config.read_bytes()).hexdigest()
    return {
        "game": type(run.system).__name__,
        "network": name,
        "iteration": run.iteration,
        "weights": run.weights,
        "config_sha256": digest,
    }


def _sheet(run: Trained, use: Use, free: Free) -> dict[str, Any]:
    """What goes in and comes out."""
    own, channels = run.cfg.dataset.image_size, run.cfg.dataset.get("source_channels") or run.channels
    picture = {"what": "picture", "range": run.value_range, "channels": "red, green, blue; one: grey"}
    inputs = []
    for key, value in use.tensors.items():
        shape: list[int | str] = ["batch" if free.batch else len(value), *value.shape[1:]]
        entry: dict[str, Any] = {"name": key, "shape": shape, "type": str(value.dtype).removeprefix("torch.")}
        if use.direction and is_picture(value, own):
            if free.step:
                shape[2:] = ["height", "width"]
                how = f"height and width are multiples of {free.step}, {2 * free.step} or more; pad by reflection"
            else:
                how = f"resize to {own} x {own}, antialiased bicubic"
            entry |= {**picture, "resize": how} if value.shape[1] == channels else {"what": "made by the game"}
        elif value.dtype == torch.int64 and run.num_classes:
            entry |= {"what": "label", "from": 0, "to": run.num_classes - 1}
        else:
            entry |= {"what": "noise", "law": _law(run)}
        inputs.append(entry)
    shape = ["batch" if free.batch else len(use.output), *use.output.shape[1:]]
    if use.direction and free.step:
        shape[2:] = ["height", "width"]
    return {
        "direction": use.direction,
        "inputs": inputs,
        "output": {"name": "output", "shape": shape, "type": "float32", **picture},
    }


def _law(run: Trained) -> str:
    """What the game says of its prior, and the setting of its noise."""
    prior = getattr(run.system, "prior", None)
    words = " ".join((inspect.getdoc(prior) or "").split()) if callable(prior) else ""
    setting = run.cfg.model.get("noise")
    return f"{words} {setting or 'N(0, 1) unless said otherwise'}".strip()
