"""`gan doctor`: what this machine has, and whether a configuration or a run can be trained on it.

Nothing is written or downloaded.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gan_cli.config.composer import Composer, arguments, is_sweep, task_overrides, without_hydra
from gan_cli.config.folder_dataset import with_dataset
from gan_cli.config.resume_overrides import override_run
from gan_cli.config.schema import check, command_line_modules, complete
from gan_cli.utils.errors import GanError, one_line
from gan_cli.utils.progress import clock

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from gan_cli.data.base import Dataset
    from gan_cli.tools.doctor.machine import Row
    from gan_cli.tools.doctor.memory import Memory
    from gan_cli.tools.doctor.timing import Times

MIB, GIB = 2**20, 2**30
WIDTH = 14  # of the names at the start of lines


def doctor(words: Sequence[str], folder: Path | None = None) -> None:
    """Print what this machine has; with overrides `words` of `gan train`, whether it can train what they describe; with
    a run's directory `folder`, whether it can resume the run with the overrides `words`.

    GanError for what cannot be trained.
    """
    if folder is not None:
        _resumed(folder, words)
    elif words:
        _examine(*_composed(words))
    else:
        from gan_cli.tools.doctor import machine  # imports torch

        _print(machine.rows())


def _print(rows: Iterable[Row]) -> None:
    for name, text in rows:
        print(f"{name:<{WIDTH}}{text}", flush=True)


def _composed(words: Sequence[str]) -> tuple[DictConfig, list[str]]:
    """The configuration of `gan train *words`, and the modules that the words allow."""
    args = arguments(words)
    if is_sweep(args):
        raise GanError("gan doctor examines one run: omit -m, and name one value of each setting")
    composer = Composer(args)
    args.overrides = with_dataset(args.overrides, composer)
    with composer.explaining(args.overrides):
        cfg = composer.compose(args.overrides)
        return without_hydra(cfg), command_line_modules(task_overrides(cfg.hydra))


def _resumed(folder: Path, words: Sequence[str]) -> None:
    """Whether this machine can resume the run in `folder`."""
    from gan_cli.training import checkpoint, data_paths
    from gan_cli.training.run_dir import RunDir

    run = RunDir(folder)
    cfg, facts = run.open(), run.facts()
    override_run(cfg, list(words))
    done = checkpoint.iteration(run.last) if run.last.exists() else 0
    typed = [word.lstrip("+").partition("=")[0] for word in words]
    located, _ = data_paths.located(cfg, run.path, facts, typed)
    size = run.last.stat().st_size if run.last.exists() else 0
    point = f"checkpoint of iteration {done}, {size / MIB:,.0f} MiB" if size else "no checkpoint: it starts anew"
    _print([("run", f"{folder}: {point}; {max(cfg.trainer.iterations - done, 0)} iterations left")])
    _examine(located, command_line_modules(words), done)


def _examine(cfg: DictConfig, allowed: list[str], done: int = 0) -> None:
    """Check a configuration as `gan train` does, and print what it needs. done: iterations that need no time."""
    check(cfg, allowed)
    complete(cfg)
    from gan_cli.tools.doctor import data, machine, timing
    from gan_cli.tools.doctor.stand_in import stand_in
    from gan_cli.training import build

    device = build.device(cfg.trainer.device)
    build.schedules(cfg)
    found = data.check(cfg, tuple(allowed))
    _print([("device", f"{device}; {machine.processor()}"), ("data", found.text)])
    batches = stand_in(cfg)
    print("building the networks ...", flush=True)
    system = build.system(cfg)
    build.match(cfg, system, batches)
    print("estimating memory ...", flush=True)
    _print(_memory(cfg, batches, found.decoded, tuple(allowed)))
    build.dry_run(cfg, system, batches)
    if "root" not in cfg.dataset:  # metrics look at the data set itself, which is not read
        build.validator(cfg, system, build.dataset(cfg))
    sizes = {name: sum(p.numel() for p in network.parameters()) for name, network in system.named_children()}
    _print([("weights", ", ".join(f"{name} {size:,}" for name, size in sizes.items() if size))])
    _print(_times(cfg, timing.measure(cfg, system, batches), done))
    print(f"gan doctor: this configuration can be trained on {device}")


def _memory(cfg: DictConfig, batches: Dataset, decoded: int, allowed: tuple[str, ...]) -> Iterable[Row]:
    """Rows of what a run needs. GanError, after these rows, if that is more than there is."""
    from gan_cli.tools.doctor import real
    from gan_cli.tools.doctor.memory import estimate

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = estimate(cfg, batches, decoded)
    except (RuntimeError, NotImplementedError, GanError) as error:  # an operation asks for values, or has no shape rule
        yield "memory", f"no dry run ({one_line(error)[:60]}): measured in two real iterations"
        need = real.measure(cfg, allowed) + decoded
    else:
        yield from _parts(found)
        need = found.peak
    free = _free(cfg)
    yield "  in all", f"{need / MIB:,.0f} MiB, and {free / MIB:,.0f} MiB are available"
    if need > free:
        raise GanError(
            f"this needs {need / GIB:.1f} GiB of memory, and {free / GIB:.1f} GiB are available: a smaller "
            "trainer.batch_size, dataset.image_size or trainer.sample_count, or trainer.accumulate=N"
        )


def _free(cfg: DictConfig) -> int:
    import torch

    from gan_cli.tools.doctor import machine
    from gan_cli.training import build

    device = build.device(cfg.trainer.device)
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else machine.available()


def _parts(found: Memory) -> Iterable[Row]:
    yield "memory", f"dry run without values; the peak is that of {found.moment}"
    named = {
        "weights": found.weights, "gradients": found.gradients, "optimizers": found.optimizers,
        "averages": found.averages, "activations": found.activations, "images": found.data,
        "libraries": found.libraries,
    }  # fmt: skip
    notes = {"averages": "of the networks that sample", "activations": "saved for the backward pass, and temporary",
             "images": "decoded data set", "libraries": "torch, kernels, allocator"}  # fmt: skip
    for name, size in named.items():
        if size:
            yield f"  {name}", f"{size / MIB:10,.1f} MiB  {notes.get(name, '')}".rstrip()


def _times(cfg: DictConfig, found: Times, done: int) -> Iterable[Row]:
    """Rows of the time that the iterations after `done` take."""
    left = max(found.iterations - done, 0)
    yield "time", (
        f"{found.iteration * 1000:,.4g} ms per iteration, {found.processor * 1000:,.4g} ms of processor time "
        f"({found.timed} iterations on random images); a grid of samples {found.grid * 1000:,.4g} ms"
    )
    grids = round(found.grids * left / found.iterations)
    yield "  in all", (
        f"{clock(found.iteration * left + found.grid * grids)} for {left:,} iterations and {grids} grids; reading the "
        "data and checkpoints are not in it"
    )
    if cfg.metric:
        count = -(-left // cfg.trainer.evaluate_every)
        yield "  besides", f"{count} evaluations of {', '.join(cfg.metric)} with {cfg.trainer.evaluate_count:,} samples"
