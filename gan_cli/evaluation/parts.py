"""The metrics and the extractor that `gan evaluate` names, built from conf/."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_cli.config import schema
from gan_cli.config.paths import conf_dir
from gan_cli.config.resume_overrides import change
from gan_cli.metrics.base import Extractor, Metric
from gan_cli.training import build
from gan_cli.utils.errors import GanError, suggest


def build_metrics(
    names: Sequence[str],
    extractor: str,
    settings: Sequence[str],
    configured: DictConfig | None = None,
    allowed_modules: Sequence[str] = (),
) -> tuple[dict[str, Metric], Extractor]:
    """Build the metrics `names` and an extractor from conf/, changed by `settings`.

    configured: nodes of a run's own config, which are used instead of those of conf/metric. Raises GanError.
    """
    nodes = {name: configured[name] if configured and name in configured else _load("metric", name) for name in names}
    cfg = OmegaConf.create({"metric": nodes, "extractor": _load("extractor", extractor)})
    OmegaConf.set_struct(cfg, True)
    for setting in settings:
        change(cfg, setting)
    for name in names:
        schema.check_node(f"metric.{name}", cfg.metric[name], allowed_modules)
    schema.check_node("extractor", cfg.extractor, allowed_modules)
    built = {name: build.part(cfg.metric[name], f"metric.{name}") for name in names}
    return built, build.part(cfg.extractor, "extractor")


def _load(group: str, name: str) -> Any:
    if name not in names_of(group):
        raise GanError(f"no {group} '{name}'{suggest(name, names_of(group))}")
    return OmegaConf.load(conf_dir() / group / f"{name}.yaml")


def names_of(group: str) -> list[str]:
    """The names of the files in a group of conf/."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
