"""Output of a run while it trains: metrics.jsonl, sample images, loggers, progress on the terminal."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from omegaconf import DictConfig
from torch import Tensor

from gan_cli.training import logger_consent, run_history
from gan_cli.training.loggers import LogService
from gan_cli.training.run_dir import RunDir
from gan_cli.utils import images
from gan_cli.utils.errors import one_line
from gan_cli.utils.files import append_json
from gan_cli.utils.progress import Progress


class Logger:
    """Writes metrics.jsonl and samples/ in the directory of `run`, and whatever `services` (name -> logger) record.

    Begins after `iteration`; drops what an earlier process logged after it. A service that fails is not used any more,
    and `say` prints a note; an error of a local one is raised.
    """

    say: Callable[[str], None] = staticmethod(print)

    def __init__(self, run: RunDir, iteration: int, services: Mapping[str, LogService], cfg: DictConfig) -> None:
        logged = max((line["iteration"] for line in run_history.logged(run.path)), default=-1)
        run.rewind_metrics(iteration)
        # Local ones last: the error of one is raised, and the others are to be closed before it.
        self.run, self.services = run, dict(sorted(services.items(), key=lambda item: item[1].local))
        others = [name for name, service in self.services.items() if not service.local]
        identity, self.sent = logger_consent.begin(run, cfg, others, logged)
        self._each(lambda service: service.open(run, iteration, cfg, identity))
        if self.sent > iteration and others:
            self.say(
                f"note: {', '.join(others)} cannot be rewound to iteration {iteration} and will have the values that "
                f"were logged up to iteration {self.sent} before the interruption"
            )
        else:
            self.sent = -1

    def scalars(self, iteration: int, values: Mapping[str, float]) -> None:
        """Write one line of metrics.jsonl, and one point per name (`turn/term`)."""
        append_json(self.run.metrics, {"iteration": iteration, **values})
        self._each(lambda service: service.scalars(iteration, values), iteration)

    def samples(self, iteration: int, name: str, image: Tensor) -> None:
        """Write samples/NNNNNN.png, and the same image, uint8 (3, H, W), to the services as `name`."""
        images.save(self.run.samples / f"{iteration:06d}.png", image)
        self._each(lambda service: service.samples(iteration, f"samples/{name}", image), iteration)

    def histograms(self, iteration: int, named: Mapping[str, Tensor]) -> None:
        """Record the histogram of each tensor's finite values."""
        finite = {name: values[values.isfinite()].float() for name, values in named.items()}
        finite = {name: values for name, values in finite.items() if len(values)}
        self._each(lambda service: service.histograms(iteration, finite), iteration)

    def close(self) -> None:
        """Let the services write what they have buffered. OSError if the disk is full."""
        self._each(lambda service: service.close())

    def _each(self, call: Callable[[LogService], None], iteration: int | None = None) -> None:
        """Call every service; for an `iteration` that others than local ones have already, only these."""
        for name, service in list(self.services.items()):
            if not service.local and iteration is not None and iteration <= self.sent:
                continue
            try:
                call(service)
            except Exception as error:  # of every kind: a service that cannot be reached must not end a training
                if service.local:
                    raise
                del self.services[name]
                self.say(f"note: {name} has failed and gets nothing more of this run: {one_line(error)[:200]}")


class TrainingProgress(Progress):
    """Progress of a run of `batch_size` images per iteration, from iteration `begin` to `end`, with its losses."""

    def __init__(self, begin: int, end: int, batch_size: int) -> None:
        super().__init__(end, "iterations", done=begin)
        self.batch_size = batch_size
        self.last_iteration, self.last_time = begin, self.start
        self.printed -= 60  # so that the first state is printed at once

    def rate(self, iteration: int) -> float:
        """Iterations per second since the last call."""
        now = time.perf_counter()
        rate = (iteration - self.last_iteration) / max(now - self.last_time, 1e-9)
        self.last_iteration, self.last_time = iteration, now
        return rate

    def show(self, iteration: int, rate: float, values: Mapping[str, float]) -> None:
        """Print the state of `iteration`, at its `rate`, from time to time and after the last one."""
        self.done = iteration
        if self.is_due() or iteration == self.total:
            losses = "  ".join(f"{name} {value:.4g}" for name, value in values.items() if "grad_norm" not in name)
            self.rewrite(
                f"iteration {iteration}/{self.total}  {rate:.3g} it/s  {rate * self.batch_size:.3g} images/s  "
                f"left {self.left()}  {losses}"
            )

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude the time that the block takes from the next `rate`."""
        begin = time.perf_counter()
        yield
        self.last_time += time.perf_counter() - begin
