"""Hydra's own settings in a folder of configurations that the command line names, which may be untrusted.

Callbacks, loggers, launchers and environment variables can run any program. So they must be those of this program or of
Hydra, or be typed in the command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_cli.utils.errors import GanError

HARMLESS = ("run", "sweep", "overrides", "runtime", "mode", "verbose", "help", "hydra_help")
CHECKED = {"job": ("env_set", "env_copy", "config"), "sweeper": ("_target_",)}  # the keys that matter, if not all do

Compose = Callable[[Sequence[str]], DictConfig]


def check(cfg: DictConfig, overrides: Sequence[str], references: Sequence[Compose]) -> None:
    """Raise GanError if a file of the folder sets what can run a program.

    cfg: the composed configuration. overrides: those of the command line. references: functions that compose overrides
    without the folder.
    """
    typed: dict[str, list[str]] = {}
    for word in overrides:
        bare = word.lstrip("+~").replace("hydra/", "hydra.")
        if bare.startswith("hydra."):
            typed.setdefault(bare.split("=")[0].split(".")[1], []).append(word)
    plain = [_settings(compose([])) for compose in references]
    for key, value in _settings(cfg).items():
        known = plain
        if key in typed:
            try:
                known = [_settings(compose(typed[key])) for compose in references]
            except GanError:  # the command chooses a file by a name that only the folder has
                continue
        if not any(value == settings.get(key) for settings in known):
            raise GanError(
                f"a file in the folder of configurations sets hydra.{key}, which can run any program: "
                f"type hydra.{key}... or hydra/{key}=NAME in the command instead"
            )


def _settings(cfg: DictConfig) -> dict[str, Any]:
    """The settings of Hydra that matter, as they are written: an interpolation may be a call."""
    plain = OmegaConf.to_container(cfg.hydra, resolve=False)
    assert isinstance(plain, dict)
    found = {str(key): value for key, value in plain.items() if key not in HARMLESS}
    return found | {key: {name: found[key].get(name) for name in names} for key, names in CHECKED.items()}
