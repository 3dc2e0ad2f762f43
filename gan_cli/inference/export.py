"""`gan export`: write a network of a run for other programs, and verify that the file computes the same."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from gan_cli.inference import export_formats
from gan_cli.inference.export_formats import BOUNDS, SUFFIXES, DynamicSizes, is_image
from gan_cli.inference.outputs import output_folder
from gan_cli.inference.trace import RecordedCall, TensorsOnly, record_call, reference_output, without_noise
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.inference.translator import Translator
from gan_cli.training.run_dir import RunDir
from gan_cli.utils.errors import GanError
from gan_cli.utils.files import replacing, write_text
from gan_cli.utils.image_size import sides, simplified


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
    """Write `network` (if omitted, the one that samples or translates) as NETWORK.onnx, .pt2 or .safetensors, and
    NETWORK.onnx.json, ..., which describes inputs and output, to the folder `out` (RUN_DIR/export/NETWORK).

    The file is read back and compared with the run on inputs of `seed`, and at other batch and image sizes if it takes
    them. GanError, and no file, if they differ by more than `export_formats.BOUNDS`.
    """
    if format not in SUFFIXES:
        raise GanError(f"format={format}: choose one of {', '.join(SUFFIXES)}")
    export_formats.import_libraries(format)
    run = TrainedRun(run_dir, checkpoint=checkpoint, weights=weights, device="cpu", allowed_modules=allowed_modules)
    name, call = record_call(run, network, direction, seed)
    quiet, removed = without_noise(run.system.get_submodule(name))
    module = TensorsOnly(quiet, call).eval()
    reference = reference_output(module, call, bool(removed), name)
    native_size = simplified(run.cfg.dataset.image_size)
    path = output_folder(run_dir, f"export/{name}", out) / f"{name}.{SUFFIXES[format]}"
    content, exported, sizes = export_formats.content(format, module, call, native_size)
    difference = export_formats.largest_difference(module, exported, call, reference, native_size, sizes)
    if not difference <= BOUNDS[format]:
        raise GanError(
            f"{name} as {format} differs from the run by up to {difference:.2g}, where {BOUNDS[format]:g} is "
            "allowed: nothing is written; another format= may work"
        )
    description = {"file": path.name, "format": format, **_origin(run, name), **_inputs_and_output(run, call, sizes)}
    description |= {"noise_layers_off": removed, "largest_difference_from_the_run": difference}
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        write_text(path.with_name(f"{path.name}.json"), json.dumps(description, indent=2) + "\n")
    batch = "any batch" if sizes.batch else f"batches of {len(call.output)}"
    size = f", images of multiples of {sizes.multiple} pixels" if sizes.multiple else ""
    note = f"; noise is off: {len(removed)} dropout layers" if removed else ""
    print(
        f"{path}: {name} of {run.name} ({run.weights} weights, iteration {run.iteration}); "
        f"differs from the run by at most {difference:.2g}; takes {batch}{size}{note}"
    )


def _origin(run: TrainedRun, network: str) -> dict[str, Any]:
    digest = hashlib.sha256(RunDir(run.path).config.read_bytes()).hexdigest()
    return {
        "model": run.name,
        "network": network,
        "iteration": run.iteration,
        "weights": run.weights,
        "config_sha256": digest,
    }


def _inputs_and_output(run: TrainedRun, call: RecordedCall, sizes: DynamicSizes) -> dict[str, Any]:
    """Shapes, types, value ranges and meaning of what goes in and comes out."""
    high, wide = sides(run.cfg.dataset.image_size)
    channels = Translator(run, call.direction).channels if call.direction else run.channels
    image = {"what": "image", "range": run.value_range, "channels": "red, green, blue; one: gray"}
    inputs = []
    for key, value in call.tensors.items():
        shape: list[int | str] = ["batch" if sizes.batch else len(value), *value.shape[1:]]
        entry: dict[str, Any] = {"name": key, "shape": shape, "type": str(value.dtype).removeprefix("torch.")}
        if call.direction and is_image(value, (high, wide)):
            if sizes.multiple:
                shape[2:] = ["height", "width"]
                least = 2 * sizes.multiple
                resizing = f"height and width are multiples of {sizes.multiple}, {least} or more; pad by reflection"
            else:
                resizing = f"resize to {high} x {wide}, bicubic with antialiasing"
            computed = value.shape[1] != channels
            entry |= {"what": "computed by the model"} if computed else {**image, "resize": resizing}
        elif value.dtype == torch.int64 and run.num_classes:
            entry |= {"what": "label", "from": 0, "to": run.num_classes - 1}
        else:
            entry |= {"what": "noise", "distribution": _prior(run)}
        inputs.append(entry)
    shape = ["batch" if sizes.batch else len(call.output), *call.output.shape[1:]]
    if call.direction and sizes.multiple:
        shape[2:] = ["height", "width"]
    return {
        "direction": call.direction,
        "inputs": inputs,
        "output": {"name": "output", "shape": shape, "type": "float32", **image},
    }


def _prior(run: TrainedRun) -> str:
    """The model's own words about its prior, and the setting of its noise."""
    prior = getattr(run.system, "prior", None)
    words = " ".join((inspect.getdoc(prior) or "").split()) if callable(prior) else ""
    return f"{words} {run.cfg.model.get('noise') or 'N(0, 1) unless stated otherwise'}".strip()
