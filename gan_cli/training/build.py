"""Config to objects: the only file that calls instantiate."""

import copy
import inspect
import warnings
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.optim import Optimizer

from gan_cli.data.base import Dataset
from gan_cli.metrics.feature_cache import Store
from gan_cli.metrics.validation import Validator
from gan_cli.networks.init import NORMS
from gan_cli.systems.base import System
from gan_cli.training import cpu_fast_paths, precision
from gan_cli.training.cuda_graphs import GraphedTrainer
from gan_cli.training.fast_import import without_dynamo
from gan_cli.training.trainer import Trainer
from gan_cli.utils import distributed, random
from gan_cli.utils.errors import GanError, reading

INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d)


def _instantiate(node: DictConfig, key: str, **options: Any) -> Any:
    """Build `node`; what a constructor refuses becomes one line that names the config key."""
    try:
        return instantiate(node, _convert_="all", **options)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserWarning):
            raise GanError(f"{_key(error, key)}: a layer has no weights, as one of its sizes is 0") from error
        if isinstance(cause, (ValueError, OSError, RuntimeError, ArithmeticError)):
            raise GanError(f"{_key(error, key)}: {_line(cause)}") from error
        raise


def _key(error: Exception, default: str) -> str:
    found = [
        line.removeprefix("full_key: ") for line in str(error).splitlines() if line.startswith("full_key: ")
    ]
    return found[0] if found else default


def _line(cause: BaseException) -> str:
    if isinstance(cause, OSError) and cause.strerror:
        return f"{cause.strerror}: {cause.filename}"
    return " ".join(str(cause).split())


def device(name: str) -> torch.device:
    """auto: the GPU if there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device("cpu")
    index = int(name[5:]) if name.startswith("cuda:") else distributed.local_rank()
    if index >= torch.cuda.device_count():
        raise GanError(
            f"trainer.device={name}, but torch sees {torch.cuda.device_count()} CUDA devices here; "
            "use trainer.device=cpu or auto"
        )
    return torch.device("cuda", index)


def metric(file: Path) -> Any:
    """The metric that a file of conf/metric describes: (game, data, n) -> named numbers."""
    return _instantiate(DictConfig(OmegaConf.load(file)), "metric")


def part(node: DictConfig, key: str) -> Any:
    """What a checked node such as a metric describes; `key` names it in messages."""
    return _instantiate(node, key)


def dataset(cfg: DictConfig) -> Dataset:
    built: Dataset = _instantiate(cfg.dataset, "dataset")
    return built


def system(cfg: DictConfig) -> System:
    """The game with its networks, initialised from cfg.seed, on the CPU."""
    torch.manual_seed(cfg.seed)
    objective = _instantiate(cfg.loss, "loss")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Initializing zero-element tensors")  # a width of 0
        partial = _instantiate(cfg.model, "model", _partial_=True)
    try:
        built: System = partial(objective=objective)
    except ValueError as error:
        raise GanError(f"model: {_line(error)}") from error
    return built


def scoring(cfg: DictConfig, system: System, data: Dataset) -> Validator | None:
    """What is evaluated while `game` trains; None if no metric was chosen. GanError if one does not fit."""
    if not cfg.metric:
        if cfg.trainer.best_by:
            raise GanError(f"trainer.best_by={cfg.trainer.best_by} needs a metric to go by: metric=[NAME,...]")
        return None
    metrics = {str(name): part(node, f"metric.{name}") for name, node in cfg.metric.items()}
    settings = cfg.trainer
    built = Validator(metrics, part(cfg.extractor, "extractor"), settings.evaluate_count, settings.best_by, Store())
    built.check(system, data)
    return built


def match(cfg: DictConfig, system: System, data: Dataset) -> None:
    """GanError if `game` cannot be played on the batches of `data`."""
    wants: Any = system.batch_type
    gives: Any = data.batch_type
    if wants is not gives:
        raise GanError(
            f"model {cfg.model._target_} plays on {wants.__name__} ({', '.join(wants._fields)}), "
            f"but dataset {cfg.dataset._target_} gives {gives.__name__} ({', '.join(gives._fields)}); "
            "`gan list dataset` says which sets there are"
        )


def dry_run(cfg: DictConfig, system: System, data: Dataset) -> None:
    """GanError if the optimisers cannot be built, or a loss of `game` cannot be computed on the data.

    A copy of the game plays its first turns on two samples, or one where a process gets no more; on two packs where the
    game takes samples together.
    """
    trial = copy.deepcopy(system)
    trial.optimizers = optimizers(cfg, trial)
    refuse_shortcuts(cfg, system)
    share = cfg.trainer.batch_size // distributed.world()
    if share % system.pack_size:
        raise GanError(
            f"trainer.batch_size={cfg.trainer.batch_size}: this game takes samples by {system.pack_size}; "
            f"choose a multiple of {system.pack_size * distributed.world()}"
        )
    count = min(2 * system.pack_size, share)
    with reading("dataset"):
        batch = data.train_batch(cfg.seed, 0, count)
    try:
        with random.fork(cfg.seed):
            for turn in trial.turns():
                if turn.steps < 0:
                    raise ValueError(f"turn '{turn.name}' is played {turn.steps} times; see loss.critic_steps")
                turn.loss(batch)
    except (RuntimeError, TypeError, ValueError) as error:
        raise GanError(
            f"model {cfg.model._target_} with these networks cannot play on a batch of {count} from "
            f"{cfg.dataset._target_}: {_line(error)}; check network=, dataset= and trainer.batch_size"
        ) from error


def warn_batchnorm_penalty(system: System) -> str | None:
    """What is allowed but seldom meant: a gradient penalty on a critic whose samples mix."""
    if getattr(getattr(system, "objective", None), "penalty", None) is None:
        return None
    moving = {name for turn in system.turns() for name in turn.trains if name not in system.sampling_networks}
    mixing = [n for n in sorted(moving) if any(isinstance(m, NORMS) for m in getattr(system, n).modules())]
    if not mixing:
        return None
    return (
        "warning: loss.penalty takes the gradient of each sample alone (Gulrajani et al. 2017, section 4), but "
        f"network '{mixing[0]}' normalises over the batch; try model.{mixing[0]}.norm=layer or none"
    )


def optimizers(cfg: DictConfig, system: System) -> dict[str, Optimizer]:
    """One optimiser per network that has parameters; `optimizer.networks.NAME` overrides its settings. If it names
    another `_target_`, that takes of the common settings those that it knows."""
    settings = OmegaConf.to_container(cfg.optimizer, resolve=True)
    assert isinstance(settings, dict)
    by_network = settings.pop("networks", None) or {}
    built: dict[str, Optimizer] = {}
    for name, network in system.named_children():
        parameters = list(network.parameters())
        if parameters:
            own = by_network.get(name, {})
            known = inspect.signature(get_class(own.get("_target_", settings["_target_"]))).parameters
            shared = {key: value for key, value in settings.items() if key in known or "_target_" not in own}
            own = {**shared, **own}
            if "fused" in known:
                own.setdefault("fused", True)
            if cfg.trainer.cuda_graphs and "capturable" in known:
                own.setdefault("capturable", True)
            with without_dynamo():
                built[name] = _instantiate(OmegaConf.create(own), "optimizer", params=parameters)
    return built


def trainer(cfg: DictConfig, system: System, data: Dataset) -> Trainer:
    """The trainer of `game`, which must be on its device already."""
    settings = cfg.trainer
    _quicken(cfg, system)
    schedule, momentum = schedules(cfg)
    built = (GraphedTrainer if settings.cuda_graphs else Trainer)(
        system,
        data,
        optimizers(cfg, system),
        batch_size=settings.batch_size,
        iterations=settings.iterations,
        seed=cfg.seed,
        ema_decay=settings.ema_decay,
        schedule=schedule,
        momentum=momentum,
        prefetch=system.device.type == "cuda" if settings.prefetch is None else settings.prefetch,
    )
    if settings.precision == "bfloat16":
        averages = built.ema.copies.values() if built.ema else ()
        for network in (*system.children(), *averages):
            precision.lower(network, built.device, torch.bfloat16)
    return built


def schedules(cfg: DictConfig) -> tuple[Any, Any]:
    """Those of the learning rate and of the momentum, or None. GanError for one that cannot be built."""
    found = {key: cfg.trainer[key] for key in ("schedule", "momentum")}
    for key, value in found.items():
        if isinstance(value, str):
            raise GanError(f"trainer.{key}={value}: a schedule is a group; write trainer/{key}={value}")
    first, second = (_instantiate(value, f"trainer.{key}") if value else None for key, value in found.items())
    return first, second


def _quicken(cfg: DictConfig, system: System) -> None:
    """The networks as the section `trainer` wants them computed, in place."""
    settings = cfg.trainer
    if settings.cpu_kernels and system.device.type == "cpu" and settings.precision == "float32":
        for network in system.children():
            cpu_fast_paths.install(network)
    if settings.channels_last:
        system.to(memory_format=torch.channels_last)
    if settings.compile:
        for network in system.children():
            network.compile()


def refuse_shortcuts(cfg: DictConfig, system: System) -> None:
    """GanError where a way to compute would be wrong for the networks of `game`."""
    settings = cfg.trainer
    if settings.channels_last and device(settings.device).type == "cpu":
        for name, network in system.named_children():
            if any(isinstance(layer, INSTANCE_NORMS) for layer in network.modules()):
                raise GanError(
                    "trainer.channels_last=true: on a CPU torch gives instance normalisation, which network "
                    f"'{name}' has, wrong gradients in that order; leave it false"
                )
    if settings.cuda_graphs and device(settings.device).type == "cpu":
        raise GanError("trainer.cuda_graphs=true: a graph is recorded on a GPU, and this is the CPU; leave it false")
    if settings.cuda_graphs and settings.compile:
        raise GanError("trainer.cuda_graphs=true: compiled networks are not recorded; leave trainer.compile false")
    if settings.compile and getattr(getattr(system, "objective", None), "penalty", None) is not None:
        raise GanError("trainer.compile=true: compiled networks lack the second derivative that loss.penalty takes")
