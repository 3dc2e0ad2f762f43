"""What can go wrong around a run, as errors that name the remedy."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig

from gan_cli.training.run_dir import RunDir
from gan_cli.utils.errors import GanError, one_line, out_of_memory


@contextmanager
def explained_errors(run: RunDir, settings: DictConfig) -> Iterator[None]:
    """Turn a full disk or exhausted memory during training into a GanError. settings: the section `trainer`."""
    try:
        yield
    except OSError as error:
        raise GanError(
            f"cannot write into {run.path}: {error.strerror or error}; its last checkpoint is kept: "
            f"`gan resume {run.path}` continues once that is fixed"
        ) from error
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        remedy = f"`gan resume {run.path}` continues" if run.last.exists() else f"remove {run.path} and start again"
        raise GanError(
            f"no memory for trainer.batch_size={settings.batch_size}, trainer.sample_count={settings.sample_count} and "
            f"these networks: choose smaller ones, then {remedy}"
        ) from error


@contextmanager
def explained_mismatch(checkpoint: Path) -> Iterator[None]:
    """Turn the errors of loading the state of other networks or optimizers into a GanError."""
    try:
        yield
    except (KeyError, RuntimeError, ValueError) as error:
        raise GanError(f"{checkpoint} does not fit this run's networks: {one_line(error)[:200]}") from error
