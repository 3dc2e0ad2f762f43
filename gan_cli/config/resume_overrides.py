"""Overrides of a resumed run: which keys may change, and how they are applied."""

import re
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from gan_cli.config import override_text
from gan_cli.config.paths import conf_dir
from gan_cli.utils.errors import GanError, suggest

# The checkpoint holds the networks, the random states and the averaged weights, all of which depend on these keys.
FIXED = (
    "model",
    "seed",
    "trainer.ema_decay",
    "trainer.batch_size",
    "trainer.init_from",
    "trainer.init_networks",
    "dataset._target_",
    "dataset.image_size",
    "dataset.channels",
    "dataset.source_channels",
    "dataset.num_classes",
    "dataset.value_range",
)
GROUPS = ("metric", "extractor", "logger")  # groups that a resumed run may choose again


def override_run(cfg: DictConfig, overrides: list[str]) -> None:
    """Apply `key=value` overrides to the config of a run, in place. GanError for an unknown key and for a fixed one."""
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        if "=" in override and key in _groups() and not value.startswith("{"):
            raise GanError(
                f"{override}: groups such as {key} cannot change in a resumed run, but single values can, such as "
                "trainer.iterations=5000; `gan train` starts a new run"
            )
        fixed = next((name for name in FIXED if key == name or key.startswith(name + ".")), None)
        if fixed and "=" in override:
            old = _known(cfg, key, override)
            if str(old) != value:
                raise GanError(
                    f"{override}: a resumed run keeps its {fixed} (its checkpoint was written with {key}={old}); "
                    "to change it, start a new run with `gan train`"
                )
        if key in GROUPS and "=" in override:
            _choose(cfg, key, re.findall(r"[^\s,\[\]]+", value), override)
        else:
            change(cfg, override)


def _groups() -> set[str]:
    """The groups whose choice is fixed in a resumed run."""
    return {path.name for path in conf_dir().iterdir() if path.is_dir()} - {*GROUPS, "hydra", "sweep"}


def change(cfg: DictConfig, override: str) -> None:
    """Set one `key=value` of a configuration, in place. GanError for an unknown key."""
    override_text.refuse_nameless(override)
    key = override.lstrip("+").partition("=")[0]
    new = override_text.value(override.lstrip("+"), _known(cfg, key, override))
    try:
        OmegaConf.update(cfg, key, new, merge=True)
    except OmegaConfBaseException as error:
        raise GanError(f"{override}: {str(error).splitlines()[0]}") from error


def _choose(cfg: DictConfig, group: str, names: list[str], override: str) -> None:
    """Apply `metric=[a,b]`, `logger=[a,b]` or `extractor=a` from the files of the group. A metric or a logger that the
    run has keeps its values.
    """
    files = {file.stem: file for file in (conf_dir() / group).glob("*.yaml")}
    for name in names:
        if name not in files:
            raise GanError(f"{override}: no {group} '{name}'{suggest(name, files)}")
    if group == "extractor" and len(names) != 1:
        raise GanError(f"{override}: choose one{suggest('', files)}")
    with open_dict(cfg):
        if group == "extractor":
            cfg.extractor = OmegaConf.load(files[names[0]])
        else:
            before = cfg.get(group) or {}
            cfg[group] = {name: before.get(name) or OmegaConf.load(files[name]) for name in names}


def _known(cfg: DictConfig, key: str, override: str) -> Any:
    """The value at the dotted `key`. GanError, which quotes `override`, if there is none."""
    node: Any = cfg
    for depth, part in enumerate(key.split(".")):
        if not isinstance(node, DictConfig) or part not in node:
            options = list(map(str, node)) if isinstance(node, DictConfig) else []
            above = ".".join(key.split(".")[:depth]) or "the run's config"
            raise GanError(f"{override}: no key '{part}' in {above}{suggest(part, options)}")
        node = node[part]
    return node
