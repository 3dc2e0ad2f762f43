"""Experiment files, composed: what one trains, what its paper reports, which settings make it another experiment."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gan_cli.config import composer, groups, schema
from gan_cli.config.paths import conf_dir
from gan_cli.config.targets import target
from gan_cli.evaluation.run_settings import MONITORING
from gan_cli.training import run_history
from gan_cli.utils.errors import GanError

RESERVED = ("seed", "experiment", "hydra.run.dir", "hydra.mode")  # overrides that `gan reproduce` makes itself
NOT_LEARNED = ("seed", "modules", "expect", "evaluate", "variants", "metric", "extractor", "logger", "dataset.root",
               "trainer.device", "trainer.deterministic", "trainer.prefetch", "trainer.cpu_fast_paths",
               "trainer.channels_last", "trainer.compile", *MONITORING)  # fmt: skip
"""Keys that change where a run is computed and how it is monitored, and what it learns by rounding errors at most."""


@dataclass(frozen=True)
class Experiment:
    """An experiment file composed with `changes`, or one of its variants.

    title: the first line of the file. overrides: those of the variant, then `changes`. settings: flat and resolved.
    expect, evaluate: as in the file.
    """

    name: str
    title: str
    variant: str | None
    changes: tuple[str, ...]
    overrides: tuple[str, ...]
    settings: dict[str, Any]
    expect: list[dict[str, Any]]
    evaluate: dict[str, Any]
    modules: list[str]

    @property
    def iterations(self) -> int:
        return int(self.settings["trainer.iterations"])

    def metrics(self) -> list[str]:
        """The metrics that `evaluate` asks for and those of the published numbers."""
        return list(dict.fromkeys([*(self.evaluate.get("metric") or []), *(entry["metric"] for entry in self.expect)]))

    def changed_settings(self) -> list[str]:
        """The changes that make it another experiment."""
        overrides = [c for c in self.changes if c.startswith("~") or ("=" in c and not c.startswith("-"))]
        return [change for change in overrides if not is_monitoring_key(key_of(change))]


def compose_experiment(name: str, changes: Sequence[str], variant: str | None = None) -> Experiment:
    """Compose and check an experiment. GanError for a change that `gan reproduce` makes itself."""
    for change in changes:
        if key_of(change) in RESERVED:
            raise GanError(f"{change}: `gan reproduce` sets it itself (gan reproduce --help)")
    overrides = (*(variants_of(name, changes)[variant] if variant else ()), *changes)
    args = composer.arguments([f"experiment={name}", *overrides])
    if args.multirun:
        raise GanError("gan reproduce trains one experiment; its seeds are seeds=0,1,2")
    cfg = composer.Composer(args).compose(args.overrides)
    own = OmegaConf.create({key: value for key, value in cfg.items() if key != "hydra"})
    modules = schema.command_line_modules(changes)
    schema.check(own, modules)
    plain: Any = OmegaConf.to_container(own, resolve=True)
    files = [Path(folder) / "experiment" / f"{name}.yaml" for folder in (args.config_dir, conf_dir()) if folder]
    return Experiment(
        name,
        groups.description(next(file for file in files if file.exists())),
        variant,
        tuple(changes),
        overrides,
        run_history.flat({key: value for key, value in plain.items() if key != "variants"}),
        list(plain.get("expect") or []),
        dict(plain.get("evaluate") or {}),
        modules,
    )


def variants_of(name: str, changes: Sequence[str]) -> dict[str, list[str]]:
    """Name -> overrides of the experiment's variants. GanError for one that is not a list of overrides."""
    args = composer.arguments([f"experiment={name}", *changes])
    plain: Any = OmegaConf.to_container(composer.Composer(args).compose(args.overrides))
    variants = plain.get("variants") or {}
    for variant, overrides in variants.items():
        if not isinstance(overrides, list) or not all(isinstance(o, str) and "=" in o for o in overrides):
            raise GanError(f"variants.{variant} must be a list of overrides such as loss=wgan, not {overrides!r}")
    return dict(variants)


def with_expectations() -> list[str]:
    """The experiments that have published numbers, an `expect`, in their file or in one that it inherits from."""
    names = []
    for file in groups.groups().get("experiment", []):
        cfg: Any = OmegaConf.to_container(OmegaConf.load(file))
        parents = [entry for entry in cfg.get("defaults", []) if isinstance(entry, str)]
        texts = [file.read_text(), *(file.with_name(f"{parent}.yaml").read_text() for parent in parents)]
        if any("\nexpect:" in text for text in texts):
            names.append(file.stem)
    return names


def diff_settings(run: Mapping[str, Any], experiment: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings in which a run differs from an experiment: key -> (the run's value, the experiment's).

    Monitoring keys do not count, nor does a key that one of them lacks if its value is the default: the run may have
    been made by another version.
    """
    different = {}
    for key in dict.fromkeys([*experiment, *run]):
        implied = (key not in run and _is_default(experiment, key)) or (key not in experiment and _is_default(run, key))
        if not is_monitoring_key(key) and not implied and run.get(key) != experiment.get(key):
            different[key] = (run.get(key), experiment.get(key))
    return different


def _is_default(settings: Mapping[str, Any], key: str) -> bool:
    """Whether a config without the key means the same: keys of the trainer are only added with neutral defaults."""
    if key.startswith("trainer."):
        return True
    node, _, name = key.rpartition(".")
    try:
        parameters = inspect.signature(target(settings[f"{node}._target_"])).parameters
        return bool(parameters[name].default == settings[key])
    except (GanError, KeyError):
        return False


def is_monitoring_key(key: str) -> bool:
    """Whether the key changes only where a run is computed and how it is monitored."""
    return any(key == name or key.startswith(f"{name}.") for name in NOT_LEARNED)


def key_of(override: str) -> str:
    """`+optimizer.lr=0.1` -> `optimizer.lr`."""
    return override.lstrip("+~").partition("=")[0]
