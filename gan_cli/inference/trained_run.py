"""A run with its trained weights, which every verb that uses a model starts from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from gan_cli.config import schema
from gan_cli.config.resume_overrides import override_run
from gan_cli.config.targets import target
from gan_cli.data.base import Dataset, Images
from gan_cli.systems.base import DrawsNoise, Generates, System, Traversal, Traverses, noise_from, test_mode
from gan_cli.training import build, data_paths, run_facts
from gan_cli.training import checkpoint as checkpoints
from gan_cli.training.run_dir import RunDir
from gan_cli.utils import random
from gan_cli.utils.commands import command
from gan_cli.utils.errors import GanError, suggest
from gan_cli.utils.images import Range

BATCH = 500  # samples per forward pass of the generator
LEAST_THRESHOLD = 0.01  # of truncation: with less, sampling again until all are within takes too long


class TrainedRun:
    """The model of a run directory with the weights of one of its checkpoints.

    Attributes: path; iteration, that of the checkpoint; weights, "ema" or "raw"; device; system, the model itself;
    channels, depth, num_classes, value_range (None for points) of the data that it was trained on; cfg, the
    configuration, and located, the same with absolute paths of files and folders.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        checkpoint: str = "last",
        weights: str = "auto",
        device: str = "auto",
        allowed_modules: Sequence[str] = (),
        dataset_root: str | None = None,
    ) -> None:
        """Read the run in the directory `path`.

        checkpoint: "last", "best", an iteration such as "2000", or the path of a .pt file. weights: "ema", the average
        of the weights; "raw", those of the last step; "auto", the average if the run kept one. device: "auto", "cpu",
        "cuda" or "cuda:N". allowed_modules: modules of your own that its configuration may name. dataset_root: the
        folder of its data, where that has moved. Raises GanError if there is no such run, checkpoint or average.
        """
        run = RunDir(Path(path))
        cfg = run.open()
        override_run(cfg, [f"trainer.device={device}"])
        if dataset_root is not None:
            if "root" not in cfg.dataset:
                raise GanError(f"dataset.root={dataset_root}: the data of {path} have no root; omit it")
            cfg.dataset.root = dataset_root
        schema.check(cfg, allowed_modules)
        self._allowed_modules = tuple(allowed_modules)
        self._facts, self._typed = run_facts.read(run.path), [] if dataset_root is None else ["dataset.root"]
        self.located, self._moved = data_paths.located(cfg, run.path, self._facts, self._typed)
        self.path, self.cfg, self.device = run.path, cfg, build.device(device)
        self.system = build.system(self.located)
        state = read_checkpoint(run, checkpoint)
        self.iteration: int = state["iteration"]
        self.weights = _choose_weights(weights, bool(state["ema"]), run.path)
        self._load_state(state)
        self.system.iteration = self.iteration
        self.system.to(self.device)
        self.channels: int = cfg.dataset.channels
        self.depth: int = cfg.dataset.get("depth", 8)
        self.num_classes: int | None = cfg.dataset.num_classes
        self.value_range: Range = tuple(cfg.dataset.value_range) if cfg.dataset.value_range else None

    @property
    def config(self) -> dict[str, Any]:
        """The run's resolved configuration as plain nested dictionaries."""
        plain = OmegaConf.to_container(self.cfg, resolve=True)
        assert isinstance(plain, dict)
        return {str(key): value for key, value in plain.items()}

    @property
    def imported(self) -> dict[str, Any] | None:
        """For a run that `gan import` made: its files and the directions that they give; else None."""
        return RunDir(self.path).facts().get("imported")

    @cached_property
    def data(self) -> Dataset:
        """The run's data set, built at first use: sampling and translation do not need the training data."""
        dataset = build.dataset(self.located)
        data_paths.check_data(dataset, self._facts, self._moved, self._typed)
        dataset.to(self.device)
        return dataset

    @contextmanager
    def test_mode(self, seed: int) -> Iterator[System]:
        """The system without gradients, in evaluation mode, with random numbers from `seed`."""
        with test_mode(self.system, seed):
            yield self.system

    def generate(self, n: int, label: int | None = None) -> Tensor:
        """n samples (n, C, H, W) on the CPU, in the value range of the training data; to be called in `test_mode`."""
        return torch.cat([batch.image for batch in self.batches(n, label)])

    def batches(self, n: int, label: int | None = None) -> Iterator[Images]:
        """The samples of `generate`, in batches of at most BATCH, with the labels of a conditional model: `label`, or
        uniformly sampled ones.
        """
        if not isinstance(self.system, Generates):
            raise GanError(f"{self.path} holds a {self.name}, which does not generate from noise")
        for start in range(0, n, BATCH):
            size = min(BATCH, n - start)
            labels = None if label is None else torch.full((size,), label, device=self.device)
            if label is None and self.system.needs_labels:
                labels = random.randint(size, self.num_classes or 1, device=self.device)
            yield Images(self.system.generate(size, labels).cpu(), None if labels is None else labels.cpu())

    @contextmanager
    def truncated(self, threshold: float | None) -> Iterator[None]:
        """Context in which noise is sampled from TruncatedNormal(threshold); unchanged for None. GanError if the model
        has no Gaussian noise.
        """
        if threshold is None:
            yield
            return
        if not isinstance(self.system, DrawsNoise) or not random.is_normal(self.system.noise):
            raise GanError(f"truncation={threshold:g}: the noise of this {self.name} is not Gaussian; omit truncation=")
        if threshold < LEAST_THRESHOLD:
            raise GanError(f"truncation={threshold:g}: choose at least {LEAST_THRESHOLD:g}")
        with noise_from(self.system, random.TruncatedNormal(threshold)):
            yield

    def traversals(self, rows: int) -> dict[str, Traversal]:
        """The model's traversals, none if it has none, with the names of classes if the data set has such; to be called
        in `test_mode`.
        """
        tables = self.system.traverse(rows) if isinstance(self.system, Traverses) else {}
        if "class" in tables and self._own_names:
            tables["class"] = tables["class"]._replace(headings=self._own_names)
        return tables

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, or their numbers if they have none."""
        return self._own_names or tuple(map(str, range(self.num_classes or 0)))

    @cached_property
    def _own_names(self) -> tuple[str, ...]:
        """The names of the classes, if they have any: those that the run has recorded, or those of its data set."""
        kind = target(self.cfg.dataset._target_, self._allowed_modules)
        names = self._facts.get("class_names") or getattr(kind, "class_names", None) or ()
        return tuple(names) if len(names) == self.num_classes else ()

    @property
    def title(self) -> str:
        """The model's name in the configuration, or that of its class, and the iteration."""
        return f"{run_facts.model_name(self._facts, self.name)}, iteration {self.iteration}"

    @property
    def name(self) -> str:
        """The name of the model's class."""
        return type(self.system).__name__

    def label_number(self, label: int | str | None) -> int | None:
        """The number of a class by its name, or by its number, also as a text where no class has that name.

        GanError for a label that the model does not take.
        """
        if label is None:
            return None
        if not self.system.needs_labels:
            raise GanError(f"label={label}: {self.name} is not conditional on labels; omit label=")
        if label in self.class_names:
            return self.class_names.index(str(label))
        count, text = self.num_classes or 0, str(label)
        if re.fullmatch(r"\d{1,9}", text) and int(text) < count:
            return int(text)
        names = suggest(text, self._own_names) if not re.fullmatch(r"-?\d+", text) else ""
        raise GanError(f"label={label}: the labels of this run are 0 to {count - 1}{names}")

    def _load_state(self, state: Mapping[str, Any]) -> None:
        try:
            own = self.system.state_dict()
            for name, value in state["system"].items():  # torch would convert the kind of numbers without a word
                if name in own and own[name].is_floating_point() != value.is_floating_point():
                    raise KeyError(f"{name} holds {value.dtype}, not {own[name].dtype}")
            self.system.load_state_dict(state["system"])
            if self.weights == "ema":
                if set(state["ema"]) != set(self.system.sampling_networks):
                    raise KeyError(f"it has averages of {', '.join(sorted(state['ema']))}")
                for name, average in state["ema"].items():
                    self.system.get_submodule(name).load_state_dict(average)
        except (AttributeError, KeyError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise GanError(f"the checkpoint does not fit the networks of {self.path}: {reason}") from error


def read_checkpoint(run: RunDir, name: str) -> dict[str, Any]:
    """The checkpoint that an option `checkpoint=` names. GanError if there is none."""
    if name == "last" and not run.last.exists():
        raise GanError(f"{run.path} has no checkpoint yet; {command('resume', run.path)} continues the training")
    path = run.checkpoints / (f"{int(name):06d}.pt" if name.isdecimal() else f"{name}.pt")
    if not path.exists() and Path(name).suffix == ".pt":
        path = Path(name)
    if not path.exists():
        available = ", ".join(sorted(p.stem for p in run.checkpoints.glob("*.pt")))
        raise GanError(f"no checkpoint '{name}' in {run.checkpoints}; available: {available or 'none'}")
    return checkpoints.load(path)


def _choose_weights(weights: str, averaged: bool, path: Path) -> str:
    if weights not in ("auto", "ema", "raw"):
        raise GanError(f"weights={weights}: choose auto, ema or raw")
    if weights == "ema" and not averaged:
        raise GanError(f"{path} kept no average (trainer.ema_decay was 0); use weights=raw")
    return "ema" if averaged and weights != "raw" else "raw"
