"""Types of the fixed sections of the configuration, and the check of a configuration before anything is built."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from gan_cli.config import numbers, slots
from gan_cli.config.groups import choice
from gan_cli.config.module_names import module_names
from gan_cli.config.paths import conf_dir
from gan_cli.config.slots import NODE_KEYS, Node
from gan_cli.config.targets import bind, import_allowed, is_trusted, target
from gan_cli.utils.errors import GanError, one_line, suggest
from gan_cli.utils.time_limit import seconds

REQUIRED = ("model", "loss", "dataset", "optimizer")
LARGEST_BATCH = 2**20
POSITIVE = (
    "iterations", "batch_size", "log_every", "sample_every", "checkpoint_every", "sample_count", "evaluate_every",
    "evaluate_count", "accumulate",
)  # fmt: skip
INJECTED = {"model": ("objective",), "optimizer": ("params",)}  # arguments that training/build.py adds


@dataclasses.dataclass(frozen=True)
class TrainerSettings:
    """The section `trainer`. Raises ValueError if a number is out of range."""

    iterations: int
    batch_size: int
    device: str
    precision: Literal["float32", "bfloat16"]
    ema_decay: float
    schedule: Any
    log_every: int
    sample_every: int
    checkpoint_every: int
    sample_count: int
    keep_checkpoints: int
    deterministic: bool
    keep_every: int = 0
    evaluate_every: int = 1000
    evaluate_count: int = 5000
    best_metric: str | None = None
    momentum_schedule: Any = None
    cpu_fast_paths: bool = True
    prefetch: bool | None = None
    channels_last: bool = False
    compile: bool = False
    max_time: float | str | None = None
    init_from: str | None = None
    init_networks: list[str] | None = None
    freeze: list[str] | None = None
    accumulate: int = 1

    def __post_init__(self) -> None:
        for key in POSITIVE:
            if getattr(self, key) < 1:
                raise ValueError(f"trainer.{key} must be at least 1, not {getattr(self, key)}")
        for key in ("batch_size", "sample_count"):
            if getattr(self, key) > LARGEST_BATCH:
                raise ValueError(f"trainer.{key} must be at most {LARGEST_BATCH}, not {getattr(self, key)}")
        for key in ("keep_checkpoints", "keep_every"):
            if getattr(self, key) < 0:
                raise ValueError(f"trainer.{key} must be 0 or more, not {getattr(self, key)}")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"trainer.ema_decay must lie in [0, 1), not {self.ema_decay}")
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"trainer.device must be auto, cpu or cuda, not '{self.device}'")
        if self.init_networks is not None and self.init_from is None:
            raise ValueError("trainer.init_networks chooses from trainer.init_from=RUN, which is not set")
        if self.max_time is not None:
            try:
                seconds(self.max_time)
            except ValueError as error:
                raise ValueError(f"trainer.max_time: {error}") from error


@dataclasses.dataclass(frozen=True)
class Settings:
    """The top level. The nodes within are checked against the signatures of the classes that they name."""

    seed: int
    modules: list[str] | str
    trainer: dict
    dataset: dict
    optimizer: dict
    model: dict
    loss: dict
    metric: dict = dataclasses.field(default_factory=dict)
    extractor: dict = dataclasses.field(default_factory=dict)
    logger: dict = dataclasses.field(default_factory=dict)
    expect: list = dataclasses.field(default_factory=list)  # the paper's numbers, for `gan reproduce`
    evaluate: dict = dataclasses.field(default_factory=dict)  # defaults of `gan evaluate`
    variants: dict = dataclasses.field(default_factory=dict)  # name -> overrides, for `gan reproduce`

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must lie in [0, 2**63), not {self.seed}")


def command_line_modules(overrides: Sequence[str]) -> list[str]:
    """The module names in `modules=[a,b]` or `modules=a` among command-line overrides. GanError for other words."""
    found = [value for key, _, value in (o.partition("=") for o in overrides) if key == "modules"]
    return module_names(found[-1]) if found else []


def check(cfg: DictConfig, allowed_modules: Sequence[str] = (), *, look_at_data: bool = False) -> None:
    """Check a composed configuration without building or writing anything.

    allowed_modules: the modules that this command line names (`command_line_modules`). look_at_data: whether an error
    may count the subfolders of dataset.root; False for the configuration of a run, which may be a stranger's. Raises
    GanError with the path of the wrong key, the reason, and the most similar valid word.
    """
    import_allowed(allowed_modules)
    plain = _resolved(cfg)
    modules = plain.get("modules") or []
    for name in [modules] if isinstance(modules, str) else modules:
        if name not in allowed_modules:
            raise GanError(f"the config asks for module '{name}': modules=[{name}] in the command allows it")
    _check_section("", Settings, plain)
    _check_section("trainer", TrainerSettings, plain["trainer"])
    numbers.check_range(plain)
    for group in ("metric", "logger"):
        for name, node in (plain.get(group) or {}).items():
            if not isinstance(node, dict) or "_target_" not in node:
                raise GanError(f"{group}.{name} has no _target_: {group}=[NAME,...] chooses from `gan list {group}`")
    if plain.get("extractor") and "_target_" not in plain["extractor"]:
        raise GanError("extractor has no _target_: extractor=NAME chooses from `gan list extractor`")
    for section in REQUIRED:
        if "_target_" not in plain[section]:
            raise GanError(f"{section} has no _target_: {section}=NAME chooses from `gan list {section}`")
    _check_model(plain["model"], plain["dataset"], allowed_modules, look_at_data)
    for node in slots.nodes(plain, allowed=allowed_modules):
        _check_node(node, allowed_modules)
    _check_optimizer(plain["optimizer"], plain["model"], allowed_modules)
    _check_momentum(plain["trainer"], plain["optimizer"], allowed_modules)


def complete(cfg: DictConfig) -> None:
    """Add the optional keys that a user's own config file omits, with their defaults, in place."""
    optional = {f.name: f.default for f in dataclasses.fields(TrainerSettings) if f.default is not dataclasses.MISSING}
    with open_dict(cfg):
        for key, value in optional.items():
            if isinstance(cfg.get("trainer"), DictConfig) and key not in cfg.trainer:
                cfg.trainer[key] = value
        cfg.metric = cfg.get("metric") or {}
        cfg.extractor = cfg.get("extractor") or OmegaConf.load(conf_dir() / "extractor" / "auto.yaml")
        if cfg.get("logger") is None:
            cfg.logger = {"tensorboard": OmegaConf.load(conf_dir() / "logger" / "tensorboard.yaml")}


def check_node(path: str, node: DictConfig, allowed_modules: Sequence[str] = ()) -> None:
    """Check one node and the nodes within it, as `check` does. path: its path in error messages."""
    import_allowed(allowed_modules)
    for inner in slots.nodes(_resolved(node), path, allowed_modules):
        _check_node(inner, allowed_modules)


def _resolved(cfg: DictConfig) -> dict[str, Any]:
    try:
        plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = error.full_key or ""
        raise GanError(f"{key} has no value: give {key}=VALUE") from error
    except OmegaConfBaseException as error:
        raise GanError(f"{error.full_key}: {str(error.msg or error).splitlines()[0]}") from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _check_section(where: str, schema: Callable[..., Any], section: dict[str, Any]) -> None:
    try:
        bind(where, schema, section)
        schema(**section)
    except ValueError as error:
        raise GanError(one_line(error)) from error


def _check_model(model: dict[str, Any], dataset: dict[str, Any], allowed: Sequence[str], look_at_data: bool) -> None:
    """Check that the data set has the labels that a model needs, and that the networks are those of the model."""
    call = _target_of("model", model, allowed)
    name = model["_target_"]
    if getattr(call, "needs_labels", False) and dataset.get("num_classes") is None:
        remedy = _labels_of_folder(dataset, look_at_data)
        raise GanError(
            f"{choice('model', name)} needs labels, but {choice('dataset', dataset['_target_'])} has none "
            f"(dataset.num_classes is null); {remedy}"
        )
    parameters = inspect.signature(call).parameters
    needed = [p.name for p in parameters.values() if p.default is p.empty and p.name not in INJECTED["model"]]
    missing = [key for key in needed if key not in model]
    strange = [key for key in model if key not in parameters and key not in NODE_KEYS]
    if missing and strange:
        raise GanError(
            f"model {name} needs {', '.join(missing)}, but these networks provide {', '.join(strange)}: "
            "omit network=..., so that the model chooses its own"
        )


def _labels_of_folder(dataset: dict[str, Any], look_at_data: bool) -> str:
    """How to take the subfolders of a data set of folders as classes, or which other data set has labels."""
    if not {"root", "num_classes"} <= dataset.keys() or dataset["_target_"] != "gan_cli.data.folders.ImageFolder":
        return "choose a labeled data set, such as dataset=mnist or shapes"
    generic = "dataset.num_classes=K makes the K subfolders of dataset.root the classes"
    if not look_at_data:
        return generic
    from gan_cli.data.folders import find_folder  # imports torch, which takes seconds
    from gan_cli.data.layouts import recognize

    try:
        layout = recognize(find_folder(str(dataset["root"]), "root"))
    except (ValueError, OSError):  # which is reported when the data set is built
        return generic
    if layout.labeled:
        return "dataset.num_classes=K uses the labels of its dataset.json"
    if len(layout.classes) > 1:
        return f"dataset.num_classes={len(layout.classes)} makes the {len(layout.classes)} subfolders the classes"
    return f"{dataset['root']} has no subfolders for classes; or choose a labeled data set, such as dataset=mnist"


def _check_node(node: Node, allowed: Sequence[str]) -> None:
    path, given = node.path, node.arguments
    for key in given:
        if key.startswith("_"):
            raise GanError(f"no key '{path}.{key}'{suggest(key, NODE_KEYS)}")
    if path == "optimizer":
        given.pop("networks", None)
    injected = INJECTED.get("optimizer" if path.startswith("optimizer.networks.") else path, ())
    if "_partial_" in node.content:
        if not is_trusted(node.call, allowed) or node.content["_partial_"] is not True:
            raise GanError(f"{path}._partial_: only true is allowed, and only for a function of your own module")
        # The rest is passed when it is called.
        injected = (*injected, *(set(inspect.signature(node.call).parameters) - set(given)))
    bind(path, node.call, given, injected)
    numbers.check_arguments(path, given, node.call.__module__)


def _target_of(path: str, node: dict[str, Any], allowed: Sequence[str]) -> Callable[..., Any]:
    try:
        return target(node.get("_target_", ""), allowed)
    except GanError as error:
        raise GanError(f"{path}: {error}") from error


def _check_optimizer(optimizer: dict[str, Any], model: dict[str, Any], allowed: Sequence[str]) -> None:
    """Check the learning rates and the settings of single networks (`optimizer.networks.generator.lr`)."""
    call = _target_of("optimizer", optimizer, allowed)
    nodes = {name: value for name, value in model.items() if isinstance(value, dict) and "_target_" in value}
    networks = [name for name, node in nodes.items() if hasattr(target(node["_target_"], allowed), "forward")]
    _check_rate("optimizer", optimizer)
    overrides = optimizer.get("networks") or {}
    if not isinstance(overrides, dict):
        raise GanError(f"optimizer.networks must be a mapping of networks to settings, not {overrides!r}")
    for name, override in overrides.items():
        if name not in networks:
            guess = suggest(name, networks)
            raise GanError(f"no key 'optimizer.networks.{name}': the model has no such network{guess}")
        where = f"optimizer.networks.{name}"
        if not isinstance(override, dict):
            raise GanError(f"{where} must be a mapping such as {{lr: 0.001}}, not {override!r}")
        own = _target_of(where, override, allowed) if "_target_" in override else call
        bind(where, own, {key: value for key, value in override.items() if key != "_target_"}, ("params",))
        _check_rate(where, override)


def _check_rate(where: str, node: dict[str, Any]) -> None:
    rate = node.get("lr")
    if rate is not None and not (isinstance(rate, (int, float)) and 0 < rate < math.inf):
        raise GanError(f"{where}.lr must be a positive number, not {rate!r}")


def _check_momentum(trainer: dict[str, Any], optimizer: dict[str, Any], allowed: Sequence[str]) -> None:
    """Check that the optimizer has a momentum if a schedule sets it."""
    call = _target_of("optimizer", optimizer, allowed)
    if trainer.get("momentum_schedule") is not None and "momentum" not in inspect.signature(call).parameters:
        raise GanError(
            f"trainer.momentum_schedule is set, and {optimizer['_target_']} has no momentum: "
            "optimizer=sgd has one; trainer.momentum_schedule=null drops the schedule"
        )
