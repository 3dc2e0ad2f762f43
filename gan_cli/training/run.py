"""Train one run, new or resumed: check the config, build what it describes, and start the loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from gan_cli.config import resume_overrides, schema
from gan_cli.data.base import Dataset
from gan_cli.metrics.validation import Validator
from gan_cli.systems.base import System
from gan_cli.training import build, checkpoint, precision
from gan_cli.training.loop import Loop, signals
from gan_cli.training.run_dir import RunDir
from gan_cli.training.run_errors import explained_errors, explained_mismatch
from gan_cli.training.trainer import Trainer
from gan_cli.utils import distributed
from gan_cli.utils.distributed import print_once
from gan_cli.utils.errors import GanError


@dataclass(frozen=True)
class Prepared:
    """A checked config with its data set and model; nothing has been written yet."""

    cfg: DictConfig
    data: Dataset
    system: System
    device: torch.device
    validator: Validator | None


def prepare(cfg: DictConfig, allowed_modules: Sequence[str] = ()) -> Prepared:
    """Check `cfg` and build what it describes, from its seed. Writes nothing; GanError if anything is wrong."""
    schema.check(cfg, allowed_modules)
    schema.complete(cfg)
    device = build.device(cfg.trainer.device)
    if cfg.trainer.batch_size % distributed.world():
        raise GanError(
            f"trainer.batch_size={cfg.trainer.batch_size} cannot be divided among {distributed.world()} processes"
        )
    build.schedules(cfg)
    system = build.system(cfg)
    data = build.dataset(cfg)
    build.match(cfg, system, data)
    build.dry_run(cfg, system, data)
    return Prepared(cfg, data, system, device, build.validator(cfg, system, data))


def train(prepared: Prepared, run_dir: Path | None, changes: Sequence[str] = ()) -> None:
    """Train a new run in `run_dir`; of several processes that of rank 0 counts.

    changes: the overrides that describe the run, for its provenance. Raises GanError if the directory holds a run.
    """
    with distributed.group(prepared.device):
        run = RunDir(Path(distributed.from_first(str(run_dir))))
        if distributed.rank() == 0:
            facts = {"data": prepared.data.fingerprint(), "device": _describe(prepared.device)}
            run.create(prepared.cfg, {"overrides": list(changes), **facts})
        _run(run, prepared, state=None)


def resume(run_dir: Path, changes: list[str], allowed_modules: Sequence[str] = ()) -> None:
    """Continue the run in `run_dir` from its last checkpoint, on its own config with the overrides `changes`.

    Raises GanError if there is no such run, if it has finished, or if it cannot be changed in this way.
    """
    run = RunDir(run_dir)
    cfg = run.open()
    resume_overrides.override_run(cfg, changes)
    prepared = prepare(cfg, allowed_modules)
    state = checkpoint.load(run.last) if run.last.exists() else None
    if distributed.rank() == 0:
        run.lock()
        _restore_best(run, state or {})
    if state and state["iteration"] >= cfg.trainer.iterations:
        raise GanError(
            f"{run_dir} has finished its {state['iteration']} iterations; "
            f"`gan resume {run_dir} trainer.iterations=N` with a larger N lengthens it"
        )
    with distributed.group(prepared.device):
        if distributed.rank() == 0:
            _record_resume(run, prepared, changes, state["iteration"] if state else 0)
        point = f"after iteration {state['iteration']}" if state else "from the start: it has no checkpoint yet"
        print_once(f"resuming {run_dir} {point}")
        _run(run, prepared, state)


def _run(run: RunDir, prepared: Prepared, state: dict[str, Any] | None) -> None:
    settings = prepared.cfg.trainer
    # Benchmarking lets cuDNN choose its algorithms by their speed, which may choose others in a resumed run.
    torch.backends.cudnn.deterministic = settings.deterministic
    torch.backends.cudnn.benchmark = not settings.deterministic
    _warn(prepared)

    # Optimizers refer to the weights, so that the networks have to be on their device before these are built.
    prepared.system.to(prepared.device)
    prepared.data.to(prepared.device)
    trainer = build.trainer(prepared.cfg, prepared.system, prepared.data)

    if state is not None:
        _load(trainer, state, run.last)
        if prepared.validator:
            prepared.validator.best = state.get("best")

    sizes = {name: sum(p.numel() for p in network.parameters()) for name, network in prepared.system.named_children()}
    parameters = ", ".join(f"{name} {size:,}" for name, size in sizes.items() if size)
    print_once(f"training in {run.path} on {prepared.device}; parameters: {parameters}")

    with explained_errors(run, settings), signals() as received:
        Loop(run, prepared.cfg, prepared.data, trainer, prepared.validator).train(received)


def _warn(prepared: Prepared) -> None:
    """Print warnings about settings that are allowed but rarely intended."""
    if prepared.cfg.trainer.precision == "bfloat16" and precision.slow_bfloat16(prepared.device):
        print_once(
            "warning: this CPU has no bfloat16 units and emulates them, up to 270 times slower; "
            "trainer.precision=float32 is fast here"
        )
    batchnorm_penalty = build.warn_batchnorm_penalty(prepared.system)
    if batchnorm_penalty:
        print_once(batchnorm_penalty)


def _load(trainer: Trainer, state: dict[str, Any], path: Path) -> None:
    with explained_mismatch(path):
        trainer.load_state_dict(state)
    if len(state["processes"]) != distributed.world():
        print_once(
            f"note: the run was saved by {len(state['processes'])} processes and continues with {distributed.world()}, "
            "so its results will differ from those of an uninterrupted run"
        )


def _restore_best(run: RunDir, state: dict[str, Any]) -> None:
    """Write best.pt if last.pt is the best state and the process was killed between writing the two."""
    best = state.get("best")
    last_is_best = best is not None and best["iteration"] == state["iteration"]
    if last_is_best and not (run.best.exists() and checkpoint.load(run.best).get("best") == best):
        checkpoint.save(run.best, state)


def _record_resume(run: RunDir, prepared: Prepared, changes: list[str], iteration: int) -> None:
    """Add this resume to the provenance; a note if the data have changed since the run began."""
    data = prepared.data.fingerprint()
    if data != run.facts()["data"]:
        print_once("note: the data have changed since the run began, so its results will differ")
    facts = {"overrides": changes, "iteration": iteration, "data": data, "device": _describe(prepared.device)}
    run.record_resume(prepared.cfg, facts)


def _describe(device: torch.device) -> dict[str, Any]:
    """Where the run is trained, for its provenance."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "type": device.type,
        "name": name,
        "threads": torch.get_num_threads(),
        "processes": distributed.world(),
    }
