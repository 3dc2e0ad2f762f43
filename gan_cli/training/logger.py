"""Output of a run while it trains: metrics.jsonl, TensorBoard, sample images, progress on the terminal."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor

from gan_cli.training.run_dir import RunDir
from gan_cli.utils import images
from gan_cli.utils.files import append_json
from gan_cli.utils.progress import Progress


class Logger:
    """Writes into the directory of `run` from `iteration` on; drops what an earlier process logged after it."""

    def __init__(self, run: RunDir, iteration: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes long to import, and only rank 0 logs

        run.rewind_metrics(iteration)
        self.run = run
        self.excepthook, threading.excepthook = threading.excepthook, self._hook
        try:
            self.board = SummaryWriter(str(run.path), purge_step=iteration + 1 if iteration else None)
        except OSError:
            threading.excepthook = self.excepthook
            raise

    def scalars(self, iteration: int, values: Mapping[str, float]) -> None:
        """Write one line of metrics.jsonl, and one TensorBoard point per name (`turn/term`)."""
        append_json(self.run.metrics, {"iteration": iteration, **values})
        for name, value in values.items():
            self.board.add_scalar(name, value, iteration)

    def samples(self, iteration: int, named: dict[str, Tensor], value_range: images.Range) -> None:
        """Write samples/NNNNNN.png, and the same image to TensorBoard."""
        image = images.stack(named, value_range)
        images.save(self.run.samples / f"{iteration:06d}.png", image)
        self.board.add_image("samples/" + ",".join(named), image, iteration)

    def histograms(self, iteration: int, named: Mapping[str, Tensor]) -> None:
        """Write the histogram of each tensor's finite values to TensorBoard."""
        for name, values in named.items():
            finite = values[values.isfinite()].float()
            if len(finite):
                self.board.add_histogram(name, finite, iteration)

    def close(self) -> None:
        """Write what TensorBoard has buffered. OSError if the disk is full."""
        try:
            self.board.close()
        finally:
            threading.excepthook = self.excepthook

    def _hook(self, failure: threading.ExceptHookArgs) -> None:
        """Stay silent about an OSError of TensorBoard's thread, which raises it again in the next call here."""
        if not isinstance(failure.exc_value, OSError):
            self.excepthook(failure)


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
