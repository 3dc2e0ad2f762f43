"""An experiment file as composed: what it trains, what it expects, and which settings make it another one."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gan_cli.config import composer, groups, schema
from gan_cli.config.paths import conf_dir
from gan_cli.config.targets import target
from gan_cli.training import run_history
from gan_cli.utils.errors import GanError

OURS = ("seed", "experiment", "hydra.run.dir", "hydra.mode")  # what `changes` may not say
# Keys that change where a run is computed and how it is watched, and nothing that it learns but for rounding.
HARMLESS = ("seed", "modules", "expect", "evaluate", "variants", "metric", "extractor", "dataset.root",
            "trainer.device", "trainer.log_every", "trainer.sample_every", "trainer.sample_count",
            "trainer.checkpoint_every", "trainer.keep_checkpoints", "trainer.keep_every", "trainer.evaluate_every",
            "trainer.evaluate_count", "trainer.best_metric", "trainer.deterministic",
            "trainer.prefetch", "trainer.cpu_fast_paths", "trainer.channels_last", "trainer.compile")  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """An experiment file, composed with `changes`, or a variant of it. title: its description; settings: flat,
    resolved; overrides: what makes the variant, and the changes after it.
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
        """What `evaluate` asks for, and what the claims need."""
        asked = [*(self.evaluate.get("metric") or []), *(claim["metric"] for claim in self.expect)]
        return list(dict.fromkeys(asked))

    def changed_settings(self) -> list[str]:
        """The changes after which it is another experiment."""
        overrides = [c for c in self.changes if c.startswith("~") or ("=" in c and not c.startswith("-"))]
        return [change for change in overrides if not is_monitoring_key(key_of(change))]


def compose_experiment(name: str, changes: Sequence[str], variant: str | None = None) -> Experiment:
    """GanError for a change that `gan reproduce` makes itself, and for a variant that there is not."""
    for change in changes:
        if key_of(change) in OURS:
            raise GanError(f"{change}: `gan reproduce` chooses it itself (gan reproduce --help)")
    overrides = (*(variants_of(name, changes)[variant] if variant else ()), *changes)
    args = composer.arguments([f"experiment={name}", *overrides])
    if args.multirun:
        raise GanError("gan reproduce trains one experiment; its seeds are seeds=0,1,2")
    cfg = composer.Composer(args).compose(args.overrides)
    plain = OmegaConf.create({key: value for key, value in cfg.items() if key != "hydra"})
    modules = schema.command_line_modules(changes)
    schema.check(plain, modules)
    found: Any = OmegaConf.to_container(plain, resolve=True)
    files = [Path(folder) / "experiment" / f"{name}.yaml" for folder in (args.config_dir, conf_dir()) if folder]
    title = groups.description(next(file for file in files if file.exists()))
    expect, evaluate = list(found.get("expect") or []), dict(found.get("evaluate") or {})
    settings = run_history.flat({key: value for key, value in found.items() if key != "variants"})
    return Experiment(name, title, variant, tuple(changes), overrides, settings, expect, evaluate, modules)


def variants_of(name: str, changes: Sequence[str]) -> dict[str, list[str]]:
    """Name -> overrides, as the experiment's `variants` has them; GanError where they are not lists of overrides."""
    args = composer.arguments([f"experiment={name}", *changes])
    plain: Any = OmegaConf.to_container(composer.Composer(args).compose(args.overrides))
    found = plain.get("variants") or {}
    for variant, overrides in found.items():
        if not isinstance(overrides, list) or not all(isinstance(o, str) and "=" in o for o in overrides):
            raise GanError(f"variants.{variant} must be a list of overrides such as loss=wgan, not {overrides!r}")
    return dict(found)


def with_expectations() -> list[str]:
    """The experiments whose files, or the files that these inherit from, have an `expect`."""
    found = []
    for file in groups.groups().get("experiment", []):
        cfg: Any = OmegaConf.to_container(OmegaConf.load(file))
        parents = [entry for entry in cfg.get("defaults", []) if isinstance(entry, str)]
        texts = [file.read_text(), *(file.with_name(f"{parent}.yaml").read_text() for parent in parents)]
        if any("\nexpect:" in text for text in texts):
            found.append(file.stem)
    return found


def diff_settings(ours: dict[str, Any], wanted: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings in which a run differs from the experiment: key -> (the run's, the experiment's)."""
    found = {}
    for key in dict.fromkeys([*wanted, *ours]):
        implied = (key not in ours and _default(wanted, key)) or (key not in wanted and _default(ours, key))
        if is_monitoring_key(key) or implied:
            continue
        if ours.get(key) != wanted.get(key):
            found[key] = (ours.get(key), wanted.get(key))
    return found


def _default(settings: dict[str, Any], key: str) -> bool:
    """Whether a key that the config of another version lacks says what is so without it."""
    if key.startswith("trainer."):
        return True
    node, _, name = key.rpartition(".")
    try:
        parameters = inspect.signature(target(settings[f"{node}._target_"])).parameters
        return bool(parameters[name].default == settings[key])
    except (GanError, KeyError):
        return False


def is_monitoring_key(key: str) -> bool:
    """Whether the key changes only where and how a run is watched."""
    return any(key == name or key.startswith(f"{name}.") for name in HARMLESS)


def key_of(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]
