"""One run, new or resumed: checked, built, handed to the loop."""

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
from gan_cli.training.trainer import Trainer
from gan_cli.utils import distributed
from gan_cli.utils.errors import GanError, out_of_memory


@dataclass(frozen=True)
class Prepared:
    """A checked config with its data set and game; nothing is written yet."""

    cfg: DictConfig
    data: Dataset
    system: System
    device: torch.device
    scoring: Validator | None


def prepare(cfg: DictConfig, allowed_modules: Sequence[str] = ()) -> Prepared:
    """Check `cfg` and build what it describes, from its seed. GanError if anything is wrong; writes nothing."""
    schema.check(cfg, allowed_modules)
    schema.complete(cfg)
    device = build.device(cfg.trainer.device)
    if cfg.trainer.batch_size % distributed.world():
        raise GanError(
            f"trainer.batch_size={cfg.trainer.batch_size} cannot be divided among "
            f"{distributed.world()} processes"
        )
    build.schedules(cfg)
    system = build.system(cfg)
    data = build.dataset(cfg)
    build.match(cfg, system, data)
    build.dry_run(cfg, system, data)
    return Prepared(cfg, data, system, device, build.scoring(cfg, system, data))


def train(prepared: Prepared, run_dir: Path | None, changes: Sequence[str] = ()) -> None:
    """Train a new run, made by the overrides `changes`, in `run_dir` (rank 0's counts). GanError when it holds one."""
    distributed.start(prepared.device)
    run = RunDir(Path(distributed.from_first(str(run_dir))))
    if distributed.rank() == 0:
        facts = {"data": prepared.data.fingerprint(), "device": _describe(prepared.device)}
        run.create(prepared.cfg, {"overrides": list(changes), **facts})
    _run(run, prepared, state=None)


def resume(run_dir: Path, changes: list[str], allowed_modules: Sequence[str] = ()) -> None:
    """Go on with the run in `run_dir` from its last checkpoint, on its own config with the overrides `changes`."""
    run = RunDir(run_dir)
    cfg = run.open()
    resume_overrides.override_run(cfg, changes)
    prepared = prepare(cfg, allowed_modules)
    state = checkpoint.load(run.last) if run.last.exists() else None
    if distributed.rank() == 0:
        run.lock()
        _mend_best(run, state or {})
    if state and state["iteration"] >= cfg.trainer.iterations:
        raise GanError(
            f"{run_dir} has finished its {state['iteration']} iterations; "
            f"`gan resume {run_dir} trainer.iterations=N` with a larger N lengthens it"
        )
    distributed.start(prepared.device)
    if distributed.rank() == 0:
        data = prepared.data.fingerprint()
        if data != run.facts()["data"]:
            print("note: the data are not those that the run began with: not to the same bits", flush=True)
        run.record_resume(
            cfg,
            {
                "overrides": changes,
                "iteration": state["iteration"] if state else 0,
                "data": data,
                "device": _describe(prepared.device),
            },
        )
    print(
        f"resuming {run_dir} "
        + (f"after iteration {state['iteration']}" if state else "from the start: it has no checkpoint yet"),
        flush=True,
    )
    _run(run, prepared, state)


def _run(run: RunDir, prepared: Prepared, state: dict[str, Any] | None) -> None:
    settings = prepared.cfg.trainer
    _determinism(settings.deterministic)
    if settings.precision == "bfloat16" and precision.slow_bfloat16(prepared.device):
        print(
            "warning: this CPU has no bfloat16 units and emulates them, up to 270 times slower; "
            "trainer.precision=float32 is the fast one here",
            flush=True,
        )
    warn_batchnorm_penalty = build.warn_batchnorm_penalty(prepared.system)
    if warn_batchnorm_penalty and distributed.rank() == 0:
        print(warn_batchnorm_penalty, flush=True)
    prepared.system.to(prepared.device)
    prepared.data.to(prepared.device)
    trainer = build.trainer(prepared.cfg, prepared.system, prepared.data)
    if state is not None:
        _load(trainer, state, run.last)
        if prepared.scoring:
            prepared.scoring.best = state.get("best")
    if distributed.rank() == 0:
        sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in prepared.system.named_children()}
        parameters = ", ".join(f"{name} {size:,}" for name, size in sizes.items() if size)
        print(f"training in {run.path} on {prepared.device}; parameters: {parameters}", flush=True)
    try:
        with signals() as received:
            Loop(run, prepared.cfg, prepared.data, trainer, prepared.scoring).play(received)
    except OSError as error:
        raise GanError(
            f"cannot write into {run.path}: {error.strerror or error}; its last checkpoint stays: "
            f"`gan resume {run.path}` goes on once that is mended"
        ) from error
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        remedy = f"`gan resume {run.path}` goes on" if run.last.exists() else f"remove {run.path} and start again"
        raise GanError(
            f"no memory for trainer.batch_size={settings.batch_size}, trainer.sample_count={settings.sample_count} and "
            f"these networks: choose smaller ones, then {remedy}"
        ) from error
    finally:
        distributed.stop()


def _load(trainer: Trainer, state: dict[str, Any], path: Path) -> None:
    try:
        trainer.load_state_dict(state)
    except (KeyError, RuntimeError, ValueError) as error:
        raise GanError(
            f"{path} does not fit this run's networks: {' '.join(str(error).split())[:200]}"
        ) from error
    if len(state["processes"]) != distributed.world() and distributed.rank() == 0:
        print(
            f"note: the run was saved by {len(state['processes'])} processes and goes on with "
            f"{distributed.world()}: not to the same bits",
            flush=True,
        )


def _mend_best(run: RunDir, state: dict[str, Any]) -> None:
    """Write best.pt if last.pt is the best state and a kill fell between the two."""
    best = state.get("best")
    here = best is not None and best["iteration"] == state["iteration"]
    if here and not (run.best.exists() and checkpoint.load(run.best).get("best") == best):
        checkpoint.save(run.best, state)


def _determinism(wanted: bool) -> None:
    torch.backends.cudnn.deterministic = wanted
    torch.backends.cudnn.benchmark = not wanted


def _describe(device: torch.device) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "type": device.type,
        "name": name,
        "threads": torch.get_num_threads(),
        "processes": distributed.world(),
    }
