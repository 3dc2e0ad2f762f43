"""`gan import`: original CycleGAN and pix2pix checkpoints (junyanz/pytorch-CycleGAN-and-pix2pix) as a run."""

from __future__ import annotations

import hashlib
import os
import re
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from gan_cli.config import schema
from gan_cli.config.composer import Composer, arguments, without_hydra
from gan_cli.data.decoded_cache import exclusive, remove
from gan_cli.systems.base import System
from gan_cli.training import build, checkpoint, checkpoint_file
from gan_cli.training.find_runs import contains_run
from gan_cli.training.run_dir import RunDir
from gan_cli.utils.commands import command
from gan_cli.utils.errors import GanError, one_line, writing

Weights = dict[str, Tensor]

MODELS = {"cyclegan": {"G": "AtoB", "F": "BtoA"}, "pix2pix": {"generator": "AtoB"}}
"""The networks of each model that can be imported, and the direction in which each translates."""
UNUSED = ("running_mean", "running_var", "num_batches_tracked")  # both models normalize each image by itself


def import_(
    file: str | None = None,
    *,
    model: str = "cyclegan",
    G: str | None = None,
    F: str | None = None,
    size: int = 256,
    out: str | None = None,
) -> None:
    """Make a run directory `out` with the networks of .pth files: `file` or `G` for A -> B, `F` (CycleGAN) for B -> A.

    The run's widths, blocks and channels are those of the files; size: pixels per side of its images. A network without
    a file keeps random weights, and `gan translate` refuses its direction. GanError names the first mismatch.
    """
    if model not in MODELS:
        raise GanError(f"model={model}: choose one of {', '.join(MODELS)}")
    if file and G:
        raise GanError(f"{file} and G={G} both give the weights of A -> B; omit one of the two")
    files = dict(zip(MODELS[model], (file or G, F)))
    if F and "F" not in files:
        raise GanError(f"F={F}: {model} has one translator, A -> B; omit F=")
    paths = {name: Path(path) for name, path in files.items() if path}
    if not paths:
        raise GanError("gan import needs a .pth file: gan import FILE.pth, or G=FILE.pth, F=FILE.pth")
    states = {name: read(path) for name, path in paths.items()}
    overrides, converted = [], {}
    for name, state in states.items():
        converted[name] = (resnet if model == "cyclegan" else unet)(state, paths[name])
        overrides += converted[name][1]
    cfg = _compose(model, size, overrides, {n: f[1] for n, f in converted.items()})
    run_dir = Path(out) if out else Path("outputs/imported") / next(iter(paths.values())).stem
    if contains_run(run_dir):
        raise GanError(f"{run_dir} already holds a run: name another folder by out=")
    if run_dir.is_dir() and any(run_dir.iterdir()):
        raise GanError(f"{run_dir} is not empty: name a new folder, such as out={quote(str(run_dir / 'run'))}")
    # Without memory first: the shape of one weight, which decides all widths, may be that of a network of any size.
    with torch.device("meta"):
        blank = build.system(cfg)
    for name, (renamed, _) in converted.items():
        _check(getattr(blank, name), renamed, paths[name])
    system = build.system(cfg)
    for name, (renamed, _) in converted.items():
        getattr(system, name).load_state_dict({key: value.float() for key, value in renamed.items()})
    directions = [MODELS[model][name] for name in paths]
    _write(run_dir, cfg, system, paths, directions)
    random = [name for name, _ in system.named_children() if name not in paths and name[:4] != "pool"]
    print(
        f"{run_dir}: {', '.join(paths)} imported ({', '.join(directions)}), random weights in {', '.join(random)}; "
        f"{command('translate', run_dir, 'input=DIR', 'output=DIR')} uses it"
    )


def read(path: Path) -> Weights:
    """Read a state dict to the CPU, without the prefix that nn.DataParallel adds. GanError if the file is none."""
    if not path.is_file():
        raise GanError(f"{path}: no such file")
    try:
        if zipfile.is_zipfile(path):  # torch trusts the sizes that an archive declares
            checkpoint_file.read(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and runtime errors of every kind
        known = isinstance(error, ValueError)
        reason = one_line(error)[:200] if known else "it is cut short, or holds more than weights"
        raise GanError(f"{path} cannot be read as a state dict: {reason}") from error
    if not isinstance(state, Mapping) or not state or not all(map(_is_weight, state.items())):
        raise GanError(f"{path} is no state dict of one network: save network.state_dict()")
    weights = {key.removeprefix("module."): value for key, value in state.items()}
    if len(weights) < len(state):
        raise GanError(f"{path} has some weights twice, with and without 'module.': save network.state_dict()")
    return weights


def _is_weight(item: tuple[object, object]) -> bool:
    """Whether an item of a state dict is a name with a tensor of real numbers, each of which the file holds."""
    key, value = item
    if not isinstance(key, str) or not isinstance(value, Tensor) or value.layout != torch.strided or value.is_complex():
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def resnet(state: Weights, path: Path) -> tuple[Weights, list[str]]:
    """The weights of a ResnetGenerator under the names of networks.resnet.ResNetGenerator, and its settings.

    A block's second convolution is number 5, or number 6 after a dropout layer, which is off at test time.
    """
    _expect(state, "model.1.weight", path, "a ResnetGenerator, as CycleGAN's code saves it")
    renamed = {}
    for key, value in _used(state).items():
        key = re.sub(r"conv_block\.6\.", "conv_block.5.", key).replace(".conv_block.", ".layers.")
        renamed[re.sub(r"^model\.", "layers.", key)] = value
    first = state["model.1.weight"]
    blocks = {key.split(".")[1] for key in state if ".conv_block." in key}
    return renamed, [f"width={len(first)}", f"channels={first.shape[1]}", f"blocks={len(blocks)}"]


def unet(state: Weights, path: Path) -> tuple[Weights, list[str]]:
    """The weights of a UnetGenerator under the names of networks.unet.UNet, and its settings.

    There, each level is nested in the one above: level 0 is `model.model`, level 1 is number 1 in it, and each further
    level is number 3 in the one above. A level holds its convolution (0 or 1), norm (2), the level below, transposed
    convolution (3 or 5) and norm (4 or 6).
    """
    _expect(state, "model.model.0.weight", path, "a UnetGenerator, as pix2pix's code saves it")
    renamed, level, depth = {}, "model.model.", _depth(state)
    places = {0: {"0.": "down.0.0.", "3.": f"up.{depth - 1}.1."}}
    for i in range(1, depth - 1):
        up = f"up.{depth - 1 - i}"
        places[i] = {"1.": f"down.{i}.1.", "2.": f"down.{i}.2.", "5.": f"{up}.1.", "6.": f"{up}.2."}
    places[depth - 1] = {"1.": f"down.{depth - 1}.1.", "3.": "up.0.1.", "4.": "up.0.2."}
    prefixes: dict[str, str] = {}
    for i in range(depth):
        prefixes |= {level + number: ours for number, ours in places[i].items()}
        level += "3.model." if i else "1.model."
    for key, value in _used(state).items():
        head, _, leaf = key.rpartition(".")
        renamed[prefixes.get(f"{head}.", f"{head}.") + leaf] = value
    first = state["model.model.0.weight"]  # the output has as many channels, or `_check` refuses the file
    return renamed, [f"width={len(first)}", f"channels={first.shape[1]}", f"image_size={2**depth}"]


def _depth(state: Weights) -> int:
    """Number of levels of a UnetGenerator."""
    return 1 + max(key.count(".model") - 1 for key in state)


def _expect(state: Weights, key: str, path: Path, what: str) -> None:
    if key not in state:
        raise GanError(f"{path} is not {what}: it has no {key}, but {', '.join(list(state)[:3])}, ...")
    if state[key].ndim != 4 or 0 in state[key].shape:
        raise GanError(f"{path} is not {what}: {key} is {tuple(state[key].shape)}, not the weights of a convolution")


def _used(state: Weights) -> Weights:
    return {key: value for key, value in state.items() if not key.endswith(UNUSED)}


def _compose(model: str, size: int, overrides: list[str], by_network: dict[str, list[str]]) -> DictConfig:
    """The model's default configuration with the sizes of the files, checked."""
    words = [f"model={model}"]
    settings = dict(word.split("=") for word in overrides)
    if model == "cyclegan":
        words += ["dataset=unpaired_folder", "dataset.root=FOLDER", f"dataset.image_size={size}"]
        for name in MODELS[model]:
            sizes = dict(word.split("=") for word in by_network.get(name, overrides))
            words += [f"model.{name}.{key}={sizes[key]}" for key in ("width", "blocks")]
    else:
        words += ["dataset=paired_folder", "dataset.root=FOLDER", f"dataset.image_size={settings['image_size']}"]
        words += [f"model.generator.width={settings['width']}", "+model.generator.noise=[1,2,3]"]
    words.append(f"dataset.channels={settings['channels']}")
    cfg = without_hydra(Composer(arguments(words)).compose(words))
    schema.check(cfg)
    schema.complete(cfg)
    return cfg


def _check(network: nn.Module, renamed: Weights, path: Path) -> None:
    """GanError names the first weight that is missing, unknown or of another shape."""
    expected = network.state_dict()
    for key in [*expected, *renamed]:
        if key not in renamed:
            raise GanError(f"{path} has no weights for {key} {tuple(expected[key].shape)} of this network")
        if key not in expected:
            shape = tuple(renamed[key].shape)
            raise GanError(f"{path}: {key} {shape} is not a weight of this network; it may have another norm")
        if expected[key].shape != renamed[key].shape:
            raise GanError(
                f"{path}: {key} is {tuple(renamed[key].shape)}, but {tuple(expected[key].shape)} in this network"
            )


def _write(run_dir: Path, cfg: DictConfig, system: System, files: Mapping[str, Path], directions: list[str]) -> None:
    """The run directory: configuration, provenance, and a checkpoint of iteration 0 that `gan resume` takes too.

    It appears whole: a process that is killed leaves only a hidden folder beside it, which the next import deletes.
    """
    sources = {
        name: {"file": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for name, path in files.items()
    }
    facts: dict[str, Any] = {"data": None, "imported": {"files": sources, "directions": directions}}
    averaged = system.sampling_networks if cfg.trainer.ema_decay else ()
    process = {"random": {}, "torch": torch.get_rng_state(), "cuda": None, "system": {}}
    state = {
        "iteration": 0,
        "position": 0,
        "system": system.state_dict(),
        "ema": {name: getattr(system, name).state_dict() for name in averaged},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in build.optimizers(cfg, system).items()},
        "processes": [process],
    }
    part = f".import-{hashlib.sha256(os.fsencode(run_dir.name)).hexdigest()[:12]}-"  # short, and without any *
    with writing(run_dir, "out"), exclusive(run_dir.parent, f"{part}*"):
        work = run_dir.with_name(part + uuid.uuid4().hex)
        try:
            with RunDir(work) as run:
                run.create(cfg, facts)
                checkpoint.save(run.last, state)
            os.replace(work, run_dir)
        finally:
            remove(work)
