"""What a resumed run may change."""

from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_cli.errors import GanError, suggest

# The networks, the numbers they are drawn from and the shape of what they see stay as the checkpoint knows them.
FIXED = (
    "model",
    "seed",
    "trainer.ema_decay",
    "trainer.batch_size",
    "dataset._target_",
    "dataset.image_size",
    "dataset.channels",
    "dataset.num_classes",
    "dataset.value_range",
)


def override_run(cfg: DictConfig, overrides: list[str]) -> None:
    """Apply `key=value` overrides to a run's own config, in place. GanError for a key that is unknown or fixed."""
    for override in overrides:
        key, equals, value = override.lstrip("+").partition("=")
        if not equals:
            raise GanError(
                f"'{override}' is not an override: write key=value, such as trainer.iterations=5000"
            )
        fixed = next((name for name in FIXED if key == name or key.startswith(name + ".")), None)
        old = _known(cfg, key, override)
        if fixed and str(old) != value:
            raise GanError(
                f"{override}: a resumed run keeps its {fixed} (the checkpoint was made with {key}={old}); "
                "start a new run with `gan train` to change it"
            )
        try:
            OmegaConf.update(cfg, key, OmegaConf.create(f"value: {value}").value, merge=True)
        except OmegaConfBaseException as error:
            raise GanError(f"{override}: {str(error).splitlines()[0]}") from error
        except Exception as error:  # whatever the YAML parser raises
            raise GanError(f"{override}: '{value}' is not a YAML value") from error


def _known(cfg: DictConfig, key: str, override: str) -> Any:
    node: Any = cfg
    for depth, part in enumerate(key.split(".")):
        if not isinstance(node, DictConfig) or part not in node:
            options = list(map(str, node)) if isinstance(node, DictConfig) else []
            above = ".".join(key.split(".")[:depth]) or "the run's config"
            raise GanError(f"{override}: no key '{part}' in {above}{suggest(part, options)}")
        node = node[part]
    return node
