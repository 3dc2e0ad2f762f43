"""What can go wrong around a run, as errors that name the remedy."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig

from gan_cli.training import checkpoint
from gan_cli.training.run_dir import RunDir
from gan_cli.utils.distributed import print_once
from gan_cli.utils.errors import Diverged, GanError, Interrupted, one_line, out_of_memory


class NoMemory(GanError):
    """Memory, of a CPU or a GPU, is exhausted. Exit status 2."""


@contextmanager
def explained_errors(run: RunDir, settings: DictConfig) -> Iterator[None]:
    """Say after an error during training from where the run can be resumed. settings: the section `trainer`.

    A full disk, exhausted memory and what the data or a metric raises become a GanError.
    """
    try:
        with explained_memory(settings):
            yield
    except (Diverged, Interrupted, checkpoint.NotWritten):
        raise  # they say it themselves
    except NoMemory as error:
        # A resumed run keeps its batch size and its networks.
        remedy = _continuation(run) if run.last.exists() else f"then remove {run.path} and start again"
        raise GanError(f"{error}; {remedy}") from error
    except GanError as error:
        raise GanError(f"{error}; {_continuation(run)} once that is fixed") from error
    except OSError as error:
        raise GanError(
            f"cannot write into {run.path}: {error.strerror or error}; {_continuation(run)} once that is fixed"
        ) from error
    except BaseException:
        print_once(f"note: {_continuation(run)}")
        raise


@contextmanager
def explained_memory(settings: DictConfig) -> Iterator[None]:
    """Turn exhausted memory into a GanError. settings: the section `trainer`."""
    try:
        yield
    except Exception as error:  # of any type: what builds a network wraps the errors of its layers
        if not any(map(out_of_memory, (error, error.__cause__ or error))):
            raise
        raise NoMemory(
            f"no memory for trainer.batch_size={settings.batch_size}, trainer.sample_count={settings.sample_count} and "
            "these networks: choose smaller ones"
        ) from error


def _continuation(run: RunDir) -> str:
    """How the run can be resumed from what is on the disk."""
    if not run.path.exists():
        return f"{run.path} is gone: if it was renamed, `gan resume` with its new name continues it"
    command = f"`gan resume {shlex.quote(str(run.path))}`"
    if not run.last.exists():
        return f"no checkpoint exists yet: {command} starts it again"
    try:
        return f"the state after iteration {checkpoint.iteration(run.last)} is saved: {command} continues"
    except GanError:
        return f"{run.last} cannot be read"


@contextmanager
def explained_mismatch(path: Path) -> Iterator[None]:
    """Turn the errors of loading the state of other networks or optimizers into a GanError. path: the checkpoint."""
    try:
        yield
    except (KeyError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise GanError(f"{path} does not fit this run's networks: {one_line(error)[:200]}") from error
