"""Where a run's values, samples and histograms go while it trains: TensorBoard, Weights & Biases, trackio."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Mapping
from types import ModuleType
from typing import Any, ClassVar, Protocol

import numpy as np
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from gan_cli.training.run_dir import RunDir
from gan_cli.utils import images
from gan_cli.utils.errors import GanError


class ServiceRun(Protocol):
    """A run as wandb and trackio have it."""

    def log(self, metrics: dict[str, Any], *, step: int) -> None: ...

    def finish(self) -> None: ...


class LogService:
    """The base of all loggers, written for services with wandb's interface: `module` is the library, `run` the run.

    package: what pip installs; also the extra. local: it writes into the run directory only, where it is rewound when
    a run is resumed, and its errors end the training; those of other services do not.
    """

    package: ClassVar[str]
    local: ClassVar[bool] = False
    module: ModuleType
    run: ServiceRun

    def check(self) -> None:
        """Raise GanError if its library is missing. Imports nothing: these libraries take seconds."""
        if importlib.util.find_spec(self.package) is None:
            raise GanError(f"logger={self.package} needs: pip install 'gan-cli[{self.package}]'")

    def open(self, run: RunDir, iteration: int, cfg: DictConfig, identity: str) -> None:
        """Begin, or continue after `iteration`, the record of the run that this service knows by `identity`."""
        raise NotImplementedError

    def scalars(self, iteration: int, values: Mapping[str, float]) -> None:
        """Record one point per name (`turn/term`)."""
        self.run.log(dict(values), step=iteration)

    def samples(self, iteration: int, name: str, image: Tensor) -> None:
        """Record an image, uint8 (1 or 3, H, W)."""
        self.run.log({name: self.module.Image(images.to_pil(image))}, step=iteration)

    def histograms(self, iteration: int, named: Mapping[str, Tensor]) -> None:
        """Record the histogram of each tensor of finite values."""
        for name, values in named.items():
            counts = np.histogram(values.cpu().numpy(), bins=64)
            self.run.log({name: self.module.Histogram(np_histogram=counts)}, step=iteration)

    def close(self) -> None:
        """Write or send what is buffered."""
        self.run.finish()


class TensorBoard(LogService):
    """Events in the run directory. After an error, OSError is raised by the next call."""

    package = "tensorboard"
    local = True

    def open(self, run: RunDir, iteration: int, cfg: DictConfig, identity: str) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes long to import, and only rank 0 logs

        self.excepthook, threading.excepthook = threading.excepthook, self._hook
        try:
            self.board = SummaryWriter(str(run.path), purge_step=iteration + 1 if iteration else None)
        except OSError:
            threading.excepthook = self.excepthook
            raise

    def scalars(self, iteration: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.board.add_scalar(name, value, iteration)

    def samples(self, iteration: int, name: str, image: Tensor) -> None:
        self.board.add_image(name, image, iteration)

    def histograms(self, iteration: int, named: Mapping[str, Tensor]) -> None:
        for name, values in named.items():
            self.board.add_histogram(name, values, iteration)

    def close(self) -> None:
        try:
            self.board.close()
        finally:
            threading.excepthook = self.excepthook

    def _hook(self, failure: threading.ExceptHookArgs) -> None:
        """Stay silent about an OSError of TensorBoard's thread, which raises it again in the next call here."""
        if not isinstance(failure.exc_value, OSError):
            self.excepthook(failure)


class Wandb(LogService):
    """Weights & Biases. WANDB_API_KEY, WANDB_MODE=offline and the other variables of its library count.

    entity: the user or team that owns `project`; the account's default if null. group: runs shown together.
    """

    package = "wandb"

    def __init__(self, project: str = "gan", entity: str | None = None, group: str | None = None) -> None:
        self.project, self.entity, self.group = project, entity, group

    def open(self, run: RunDir, iteration: int, cfg: DictConfig, identity: str) -> None:
        import wandb

        self.module = wandb
        # Values only: neither the terminal, nor source code, nor git. Training begins without it after a minute, and a
        # process ends a minute after its training even if the upload has not.
        settings = wandb.Settings(
            console="off", silent=True, disable_code=True, disable_git=True, disable_job_creation=True,
            init_timeout=60, login_timeout=60, finish_timeout=60, finish_timeout_raises=True,
        )  # fmt: skip
        self.run = wandb.init(
            project=self.project, entity=self.entity, group=self.group, id=identity, resume="allow",
            name=run.path.resolve().name, dir=str(run.path), config=_plain(cfg), settings=settings,
        )  # fmt: skip


class Trackio(LogService):
    """trackio: in a database on this machine, or in the Space `space_id` of the hub."""

    package = "trackio"

    def __init__(self, project: str = "gan", space_id: str | None = None, group: str | None = None) -> None:
        self.project, self.space_id, self.group = project, space_id, group

    def open(self, run: RunDir, iteration: int, cfg: DictConfig, identity: str) -> None:
        import trackio

        self.module = trackio
        self.run = trackio.init(
            project=self.project, space_id=self.space_id, group=self.group, resume="allow",
            name=f"{run.path.resolve().name}-{identity}", config=_plain(cfg),
        )  # fmt: skip

    def close(self) -> None:
        self.module.finish()  # `run.finish()` would be called once more when the process ends


def _plain(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as nested dictionaries."""
    plain = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}
