"""Build the objects that a configuration describes: the only module that calls instantiate."""

import copy
import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.optim import Optimizer

from gan_cli.data.base import Dataset, mean_image
from gan_cli.metrics.feature_cache import FeatureCache
from gan_cli.metrics.validation import Validator
from gan_cli.networks.init import NORMS
from gan_cli.networks.output import StartsFromMean
from gan_cli.systems.base import System
from gan_cli.training import accumulation, cpu_fast_paths, precision, warm_start
from gan_cli.training.fast_import import without_compiler
from gan_cli.training.loggers import LogService
from gan_cli.training.schedules import Schedule
from gan_cli.training.size_limits import bounded_networks
from gan_cli.training.trainer import Trainer, backward
from gan_cli.utils import distributed, random
from gan_cli.utils.errors import GanError, one_line, reading

INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d)


@contextmanager
def _explained(node: DictConfig, key: str) -> Iterator[None]:
    """Turn what a constructor of `node` refuses into a GanError that names the config key, `key` if Hydra does not know
    it.
    """
    try:
        yield
    except InstantiationException as error:
        cause = error.__cause__
        marker = "full_key: "  # Hydra puts the key on a line of its own in the message
        keys = [line.removeprefix(marker) for line in str(error).splitlines() if line.startswith(marker)]
        where = keys[0] if keys else key
        if isinstance(cause, UserWarning):
            raise GanError(f"{where}: a layer has no weights, because one of its sizes is 0") from error
        inner = OmegaConf.select(node, where.removeprefix(key).lstrip(".")) or node
        empty = [str(name) for name, value in inner.items() if value == []]
        if empty and isinstance(cause, (ValueError, IndexError)) and "[]" not in str(cause):
            raise GanError(f"{where}.{empty[0]}=[] is an empty list; give it values") from error
        if isinstance(cause, OSError) and cause.strerror:
            raise GanError(f"{where}: {cause.strerror}: {cause.filename}") from error
        if isinstance(cause, (ValueError, OSError, RuntimeError, ArithmeticError)):
            raise GanError(f"{where}: {one_line(cause)}") from error
        raise


def part(node: DictConfig, key: str, **options: Any) -> Any:
    """The object that a checked node describes. Raises GanError; `key` names the node in messages."""
    with _explained(node, key):
        return instantiate(node, _convert_="all", **options)


def device(name: str) -> torch.device:
    """The device named auto, cpu, cuda or cuda:N; auto is a GPU if there is one. GanError if this machine lacks it."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device("cpu")
    index = int(name[5:]) if name.startswith("cuda:") else distributed.local_rank()
    if index >= torch.cuda.device_count():
        raise GanError(
            f"trainer.device={name}, but torch finds {torch.cuda.device_count()} CUDA devices on this machine; "
            "use trainer.device=cpu or auto"
        )
    return torch.device("cuda", index)


def dataset(cfg: DictConfig) -> Dataset:
    built: Dataset = part(cfg.dataset, "dataset")
    return built


def system(cfg: DictConfig) -> System:
    """The model with its networks, initialized from cfg.seed, on the CPU."""
    torch.manual_seed(cfg.seed)
    objective = part(cfg.loss, "loss")
    with warnings.catch_warnings(), bounded_networks():
        # A network with a width of 0 builds without an error and cannot learn; torch only warns of it.
        warnings.filterwarnings("error", "Initializing zero-element tensors")
        # Partial, because Hydra would turn the objective, a dataclass, into a DictConfig.
        constructor = part(cfg.model, "model", _partial_=True)
        try:
            built: System = constructor(objective=objective)
        except ValueError as error:
            raise GanError(f"model: {one_line(error)}") from error
    return built


def validator(cfg: DictConfig, system: System, data: Dataset) -> Validator | None:
    """What evaluates `system` during training; None if the config has no metric. GanError if a metric does not fit."""
    settings = cfg.trainer
    if not cfg.metric:
        if settings.best_metric:
            raise GanError(f"trainer.best_metric={settings.best_metric} needs a metric to go by: metric=[NAME,...]")
        return None
    metrics = {str(name): part(node, f"metric.{name}") for name, node in cfg.metric.items()}
    extractor = part(cfg.extractor, "extractor")
    built = Validator(metrics, extractor, settings.evaluate_count, settings.best_metric, FeatureCache())
    built.check(system, data)
    return built


def loggers(cfg: DictConfig) -> dict[str, LogService]:
    """Name -> logger, not yet open, of those that the config chooses."""
    return {str(name): part(node, f"logger.{name}") for name, node in cfg.logger.items()}


def match(cfg: DictConfig, system: System, data: Dataset) -> None:
    """Raise GanError if `system` cannot be trained on the kind of batch that `data` gives, or on its channels."""
    wanted: Any = system.batch_type
    given: Any = data.batch_type
    if wanted is not given:
        raise GanError(
            f"model {cfg.model._target_} is trained on {wanted.__name__} ({', '.join(wanted._fields)}), "
            f"but dataset {cfg.dataset._target_} gives {given.__name__} ({', '.join(given._fields)}); "
            "`gan list dataset` shows the data sets there are"
        )
    if system.equal_channels and data.source_channels not in (None, data.channels):
        raise GanError(
            f"dataset.source_channels={data.source_channels}, dataset.channels={data.channels}: {system.equal_channels}"
        )


def start_from_data(system: System, data: Dataset) -> None:
    """Let networks whose initial weights depend on the training images set these."""
    networks = [network for network in system.children() if isinstance(network, StartsFromMean)]
    if networks:
        mean = mean_image(data)
        for network in networks:
            network.start_from(mean)


def dry_run(cfg: DictConfig, system: System, data: Dataset) -> None:
    """Train every turn once on a small batch; GanError if a loss, its gradient or an optimizer does not work.

    Works on a copy: weights, buffers and random numbers of `system` stay as they are.
    """
    trial = copy.deepcopy(system)
    trial.optimizers = optimizers(cfg, trial)
    refuse_shortcuts(cfg, system)
    accumulation.refuse(cfg.trainer, system)
    kept = warm_start.frozen(trial, cfg.trainer.freeze)
    share = cfg.trainer.batch_size // distributed.world()
    if share % system.pack_size:
        raise GanError(
            f"trainer.batch_size={cfg.trainer.batch_size}: this model takes samples in groups of {system.pack_size}; "
            f"choose a multiple of {system.pack_size * distributed.world()}"
        )
    # Two samples, because batch normalization needs them, or what a process will get if that is less.
    count = min(2 * system.pack_size, share)
    with reading("dataset"):
        batch = data.train_batch(cfg.seed, 0, count)
    try:
        with random.fork(cfg.seed):
            for turn in trial.turns():
                if turn.steps < 0:
                    raise ValueError(f"turn '{turn.name}' has {turn.steps} steps; see loss.critic_steps")
                for name, network in trial.named_children():
                    for weight in network.parameters():
                        weight.requires_grad_(name in turn.trains and weight not in kept)
                empty = [name for name in turn.trains if name not in trial.optimizers]
                if empty:
                    raise ValueError(f"network '{empty[0]}' has no weights")
                backward(turn, batch, trial.optimizers)
                for name in turn.trains:
                    trial.optimizers[name].step()
                if turn.after_step:
                    turn.after_step()
    except (RuntimeError, TypeError, ValueError) as error:
        raise GanError(
            f"model {cfg.model._target_} with these networks cannot be trained on a batch of {count} from "
            f"{cfg.dataset._target_}: {one_line(error).rstrip('.')}; check loss=, network=, dataset= and "
            "trainer.batch_size"
        ) from error


def warn_batchnorm_penalty(system: System) -> str | None:
    """A warning for a gradient penalty on a critic with batch normalization, or None."""
    if not _has_penalty(system):
        return None
    trained = {name for turn in system.turns() for name in turn.trains if name not in system.sampling_networks}
    mixing = [n for n in sorted(trained) if any(isinstance(m, NORMS) for m in getattr(system, n).modules())]
    if not mixing:
        return None
    return (
        "warning: loss.penalty takes the gradient of each sample alone (Gulrajani et al. 2017, section 4), but "
        f"network '{mixing[0]}' normalizes over the batch; try model.{mixing[0]}.norm=layer or none"
    )


def _has_penalty(system: System) -> bool:
    return getattr(getattr(system, "objective", None), "penalty", None) is not None


def optimizers(cfg: DictConfig, system: System) -> dict[str, Optimizer]:
    """One optimizer per network that has parameters.

    `optimizer.networks.NAME` overrides the common settings for one network. If it names another `_target_`, that takes
    over those of the common settings that it knows.
    """
    settings = OmegaConf.to_container(cfg.optimizer, resolve=True)
    assert isinstance(settings, dict)
    overrides = settings.pop("networks", None) or {}
    built: dict[str, Optimizer] = {}
    for name, network in system.named_children():
        parameters = list(network.parameters())
        if parameters:
            override = overrides.get(name, {})
            known = inspect.signature(get_class(override.get("_target_", settings["_target_"]))).parameters
            common = {key: value for key, value in settings.items() if key in known or "_target_" not in override}
            node = {**common, **override}
            if isinstance(node.get("betas"), list):  # torch refuses [0, 0.9]
                node["betas"] = [float(beta) if isinstance(beta, int) else beta for beta in node["betas"]]
            if "fused" in known:
                node.setdefault("fused", True)  # one kernel per step instead of several per weight
            built[name] = without_compiler(partial(part, OmegaConf.create(node), "optimizer", params=parameters))
    return built


def trainer(cfg: DictConfig, system: System, data: Dataset) -> Trainer:
    """The trainer of `system`, which must be on its device already."""
    settings = cfg.trainer
    _apply_fast_paths(cfg, system)
    schedule, momentum_schedule = schedules(cfg)
    built = Trainer(
        system,
        data,
        optimizers(cfg, system),
        batch_size=settings.batch_size,
        iterations=settings.iterations,
        seed=cfg.seed,
        ema_decay=settings.ema_decay,
        schedule=schedule,
        momentum_schedule=momentum_schedule,
        prefetch=system.device.type == "cuda" if settings.prefetch is None else settings.prefetch,
        frozen=warm_start.frozen(system, settings.freeze),
        backward=backward if settings.accumulate == 1 else accumulation.Accumulation(system, settings.accumulate),
    )
    if settings.precision == "bfloat16":
        # After the averages were copied: a copied network would call the forward of its original.
        averages = built.ema.copies.values() if built.ema else ()
        for network in (*system.children(), *averages):
            precision.lower(network, built.device, torch.bfloat16)
    return built


def schedules(cfg: DictConfig) -> tuple[Schedule | None, Schedule | None]:
    """The schedules of the learning rate and of the momentum. GanError for one that cannot be built."""
    nodes = {key: cfg.trainer[key] for key in ("schedule", "momentum_schedule")}
    for key, node in nodes.items():
        if isinstance(node, str):
            raise GanError(f"trainer.{key}={node}: a schedule is a group; write trainer/{key}={node}")
        if node is not None and not (isinstance(node, DictConfig) and "_target_" in node):
            raise GanError(f"trainer.{key} has no _target_; trainer.{key}=null keeps the value constant")
    rate, momentum = (part(node, f"trainer.{key}") if node else None for key, node in nodes.items())
    return rate, momentum


def _apply_fast_paths(cfg: DictConfig, system: System) -> None:
    """Prepare the networks, in place, for the ways of computing that the section `trainer` chooses."""
    settings = cfg.trainer
    if settings.cpu_fast_paths and system.device.type == "cpu" and settings.precision == "float32":
        for network in system.children():
            cpu_fast_paths.install(network)
    if settings.channels_last:
        system.to(memory_format=torch.channels_last)
    if settings.compile:
        for network in system.children():
            network.compile()


def refuse_shortcuts(cfg: DictConfig, system: System) -> None:
    """Raise GanError if a setting that speeds up training would compute wrong gradients for these networks."""
    settings = cfg.trainer
    if settings.channels_last and device(settings.device).type == "cpu":
        for name, network in system.named_children():
            if any(isinstance(layer, INSTANCE_NORMS) for layer in network.modules()):
                raise GanError(
                    "trainer.channels_last=true: on a CPU torch computes wrong gradients of instance normalization in "
                    f"this memory order, and network '{name}' has such layers; leave it false"
                )
    if settings.compile and _has_penalty(system):
        raise GanError("trainer.compile=true: compiled networks lack the second derivative that loss.penalty takes")
