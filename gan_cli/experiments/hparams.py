"""The settings and final scores of a trial for TensorBoard's HPARAMS tab, which shows a sweep's trials as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gan_cli.experiments.experiment import is_monitoring_key, key_of
from gan_cli.training import run_history
from gan_cli.training.run_history import SCORE, Run

SUFFIX = ".hparams"  # of the file of events


def record(folder: Path, overrides: Sequence[str]) -> None:
    """Write the settings that `overrides` name, and the last scores, into the trial's own folder.

    SummaryWriter.add_hparams would make a folder with a time for a name, which TensorBoard shows as a second run. A
    trial that did not log to TensorBoard is left alone. A full disk does not fail a trial that has been trained.
    """
    if not any(folder.glob("events.out.*")):
        return
    from torch.utils.tensorboard import FileWriter
    from torch.utils.tensorboard.summary import hparams

    run = run_history.read(folder)
    try:
        writer = FileWriter(str(folder), filename_suffix=SUFFIX)
        try:
            for summary in hparams(_settings(run, overrides), _scores(run)):
                writer.add_summary(summary)
        finally:
            writer.close()
    except OSError as error:
        print(f"note: {folder.name} has no entry in TensorBoard's HPARAMS: {error.strerror or error}", flush=True)


def _settings(run: Run, overrides: Sequence[str]) -> dict[str, bool | float | str]:
    """The choices and values of the keys that the overrides set, but for those that change nothing that is learned."""
    keys = [key for key in map(key_of, overrides) if key == "seed" or not is_monitoring_key(key)]
    values = {key: run.choices.get(key, run.settings.get(key)) for key in keys if not key.startswith("hydra")}
    return {key: value if isinstance(value, (bool, int, float)) else str(value) for key, value in values.items()}


def _scores(run: Run) -> dict[str, float]:
    """The last value of each score, by the name under which its curve is logged; of each loss if there is no score.

    Also of those that are not finite: TensorBoard takes the columns of its table from any one of the trials.
    """
    last = {name: points[-1][1] for name, points in run.curves.items()}
    scores = {name: value for name, value in last.items() if name.startswith(SCORE)}
    return scores or {name: value for name, value in last.items() if not name.startswith("monitor/")}
