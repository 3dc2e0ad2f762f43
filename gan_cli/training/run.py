"""Train one run, new or resumed: check the config, build what it describes, and start the loop."""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.optim import Optimizer

from gan_cli.config import resume_overrides, schema
from gan_cli.data.base import Dataset
from gan_cli.metrics.validation import Validator
from gan_cli.systems.base import System
from gan_cli.training import build, checkpoint, data_paths, logger_consent, precision, warm_start
from gan_cli.training.loggers import LogService
from gan_cli.training.loop import Loop
from gan_cli.training.run_dir import RunDir
from gan_cli.training.run_errors import explained_errors, explained_memory, explained_mismatch
from gan_cli.training.run_history import FAILURE, write_failure
from gan_cli.training.trainer import Trainer
from gan_cli.utils import distributed
from gan_cli.utils.distributed import print_once
from gan_cli.utils.errors import Diverged, GanError
from gan_cli.utils.signals import signals


@dataclass(frozen=True)
class Prepared:
    """A checked config with its data set and model; nothing has been written yet."""

    cfg: DictConfig
    data: Dataset
    system: System
    device: torch.device
    validator: Validator | None
    loggers: dict[str, LogService]


def prepare(
    cfg: DictConfig, allowed_modules: Sequence[str] = (), located: DictConfig | None = None
) -> Prepared:
    """Check `cfg` and build what it describes, from its seed. Writes nothing; GanError if anything is wrong.

    located: the same config with paths as they are today, from which everything is built.
    """
    schema.check(cfg, allowed_modules, look_at_data=located is None)
    schema.complete(cfg)
    device = build.device(cfg.trainer.device)
    if cfg.trainer.batch_size % distributed.world():
        raise GanError(
            f"trainer.batch_size={cfg.trainer.batch_size} cannot be divided among {distributed.world()} processes"
        )
    build.schedules(cfg)
    here = cfg if located is None else located
    schema.complete(here)
    loggers = build.loggers(here)
    for logger in loggers.values() if located is None else ():
        logger.check()
    with explained_memory(cfg.trainer):
        system = build.system(here)
        data = build.dataset(here)
        build.match(cfg, system, data)
        build.start_from_data(system, data)
        build.dry_run(cfg, system, data)
        return Prepared(cfg, data, system, device, build.validator(here, system, data), loggers)


def train(
    prepared: Prepared, run_dir: Path | None, changes: Sequence[str] = (), choices: Mapping[str, str] | None = None
) -> None:
    """Train a new run in `run_dir`; of several processes that of rank 0 counts.

    changes: the overrides that describe the run, for its provenance. choices: of config groups, likewise. Raises
    GanError if the directory holds a run.
    """
    with distributed.group(prepared.device), RunDir(Path(distributed.from_first(str(run_dir)))) as run:
        settings = prepared.cfg.trainer
        source = None
        if settings.init_from is not None:
            source = warm_start.start(prepared.system, settings.init_from, settings.init_networks)
        if distributed.rank() == 0:
            names = list(prepared.data.class_names) or None
            device = _describe(prepared.device)
            facts = {**data_paths.identity(prepared.data), "device": device, "class_names": names}
            facts |= {"initialized": source.facts} if source else {}
            chosen = {str(group): str(name) for group, name in (choices or {}).items() if not group.startswith("hydra")}
            places = {"folder": os.getcwd(), "run": os.path.abspath(run.path)}
            paths = {"paths": data_paths.describe(prepared.cfg, prepared.cfg)}
            run.create(prepared.cfg, {"overrides": list(changes), "choices": chosen, **places, **paths, **facts})
        loggers = logger_consent.permitted(run, prepared.cfg, prepared.loggers, _keys(changes))
        _run(run, prepared, state=None, loggers=loggers, source=source)


def resume(run_dir: Path, changes: list[str], allowed_modules: Sequence[str] = ()) -> None:
    """Continue the run in `run_dir` from its last checkpoint, on its own config with the overrides `changes`.

    Raises GanError if there is no such run, if it has finished, or if it cannot be changed in this way.
    """
    with RunDir(run_dir) as run:
        _resume(run, changes, allowed_modules)


def _resume(run: RunDir, changes: list[str], allowed_modules: Sequence[str]) -> None:
    cfg, facts = run.open(), run.facts()
    if "pulled" in facts:
        raise GanError(
            f"{run.path} was pulled: it has weights and no state of the optimizers; `gan train trainer.init_from="
            f"{shlex.quote(str(run.path))}` starts a new run from them"
        )
    length = cfg.trainer.iterations
    resume_overrides.override_run(cfg, changes)
    typed = _keys(changes)
    located, moved = data_paths.located(cfg, run.path, facts, typed)
    prepared = prepare(cfg, allowed_modules, located)
    data_paths.check_data(prepared.data, facts, moved, typed)
    if distributed.rank() == 0:
        run.lock()  # before the state is read, which another process may be about to replace
        run.make_folders()
    state = checkpoint.load(run.last) if run.last.exists() else None
    if state is None and cfg.trainer.init_from is not None:
        raise GanError(
            f"{run.path} has no checkpoint, and only `gan train` opens trainer.init_from={cfg.trainer.init_from}: "
            "remove the directory and train anew"
        )
    if distributed.rank() == 0:
        _restore_best(run, state or {})
    if state and state["iteration"] >= cfg.trainer.iterations and state.get("reported", True):
        raise GanError(
            f"{run.path} has finished its {state['iteration']} iterations; "
            f"`gan resume {shlex.quote(str(run.path))} trainer.iterations=N` with a larger N lengthens it"
        )
    loggers = logger_consent.permitted(run, prepared.cfg, prepared.loggers, typed)
    with distributed.group(prepared.device):
        if distributed.rank() == 0:
            _record_resume(run, prepared, changes, state["iteration"] if state else 0, located)
        point = f"after iteration {state['iteration']}" if state else "from the start: it has no checkpoint yet"
        print_once(f"resuming {run.path} {point}")
        _run(run, prepared, state, loggers, length)


def _keys(changes: Sequence[str]) -> list[str]:
    """The keys that overrides set."""
    return [change.lstrip("+").partition("=")[0] for change in changes]


def _run(
    run: RunDir,
    prepared: Prepared,
    state: dict[str, Any] | None,
    loggers: Mapping[str, LogService],
    length: int | None = None,
    source: warm_start.Source | None = None,
) -> None:
    """length: the number of iterations that the run was to have before this process. source: what it starts from."""
    settings = prepared.cfg.trainer
    # Benchmarking lets cuDNN choose its algorithms by their speed, which may choose others in a resumed run.
    torch.backends.cudnn.deterministic = settings.deterministic
    torch.backends.cudnn.benchmark = not settings.deterministic
    _warn(prepared)

    with explained_errors(run, settings):
        # Optimizers refer to the weights, so that the networks have to be on their device before these are built.
        prepared.system.to(prepared.device)
        prepared.data.to(prepared.device)
        trainer = build.trainer(prepared.cfg, prepared.system, prepared.data)
    if source and trainer.ema:
        warm_start.start_averages(trainer.ema, source.averages)
    if state is not None:
        _load(trainer, state, run.last)
        if prepared.validator:
            prepared.validator.best = state.get("best")
    _note_changed_rates(trainer, length)

    sizes = {name: sum(p.numel() for p in network.parameters()) for name, network in prepared.system.named_children()}
    parameters = ", ".join(f"{name} {size:,}" for name, size in sizes.items() if size)
    print_once(f"training in {run.path} on {prepared.device}; parameters: {parameters}")
    print_once(f"data: {prepared.data.describe()}")

    reported = state is None or state.get("reported") is not False
    with _recorded_divergence(run), explained_errors(run, settings), signals() as received:
        Loop(run, prepared.cfg, prepared.data, trainer, prepared.validator, reported, loggers).train(received)


@contextmanager
def _recorded_divergence(run: RunDir) -> Iterator[None]:
    """Write failure.json if the run diverges in the block, and remove that of an earlier attempt."""
    if distributed.rank():
        yield
        return
    (run.path / FAILURE).unlink(missing_ok=True)
    try:
        yield
    except Diverged as error:
        write_failure(run.path, error.status, str(error), run.facts().get("overrides") or [])
        raise


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


def _note_changed_rates(trainer: Trainer, length: int | None) -> None:
    """Print a note if another length of the run changes what its schedules give for the next iteration."""
    now, total = trainer.iteration, trainer.iterations
    for schedule, what in ((trainer.schedule, "learning rate"), (trainer.momentum_schedule, "momentum")):
        if length in (None, total) or schedule is None or schedule(now, length) == schedule(now, total):
            continue
        before, after = schedule(max(now - 1, 0), length), schedule(now, total)
        factors = trainer.base_lr if what == "learning rate" else {"all networks": 1.0}
        rates = ", ".join(f"{name} {rate * before:.3g} -> {rate * after:.3g}" for name, rate in factors.items())
        print_once(
            f"note: trainer.iterations={total} instead of {length} changes the {what} of the next iteration, which "
            f"the schedule derives from it: {rates}"
        )


def _load(trainer: Trainer, state: dict[str, Any], path: Path) -> None:
    with explained_mismatch(path):
        trainer.load_state_dict(state)
        for name, optimizer in trainer.optimizers.items():
            _check_moments(name, optimizer)
    if len(state["processes"]) != distributed.world():
        print_once(
            f"note: the run was saved by {len(state['processes'])} processes and continues with {distributed.world()}, "
            "so its results will differ from those of an uninterrupted run"
        )


def _check_moments(name: str, optimizer: Optimizer) -> None:
    """Raise ValueError unless the optimizer's tensors fit its weights, which torch asks only at the next step."""
    for weight, values in optimizer.state.items():
        for key, value in values.items():
            if isinstance(value, Tensor) and value.dim() and value.shape != weight.shape:
                fits = value.dim() == weight.dim() and all(a in (1, b) for a, b in zip(value.shape, weight.shape))
                if not fits:
                    raise ValueError(f"{key} of optimizer '{name}' has shape {tuple(value.shape)}")


def _restore_best(run: RunDir, state: dict[str, Any]) -> None:
    """Write best.pt if last.pt is the best state and the process was killed between writing the two."""
    best = state.get("best")
    last_is_best = best is not None and best["iteration"] == state["iteration"]
    if last_is_best and not (run.best.exists() and checkpoint.load(run.best).get("best") == best):
        checkpoint.save(run.best, state)


def _record_resume(
    run: RunDir, prepared: Prepared, changes: list[str], iteration: int, located: DictConfig
) -> None:
    """Add this resume to the provenance."""
    facts = {"overrides": changes, "iteration": iteration, "device": _describe(prepared.device)}
    facts |= data_paths.identity(prepared.data)
    run.record_resume(prepared.cfg, facts, data_paths.describe(prepared.cfg, located))


def _describe(device: torch.device) -> dict[str, Any]:
    """Where the run is trained, for its provenance."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "type": device.type,
        "name": name,
        "threads": torch.get_num_threads(),
        "processes": distributed.world(),
    }
