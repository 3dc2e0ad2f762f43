"""`gan sample`: images of a finished or running run as PNG files, and traversals of its latent space."""

import os
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from gan_cli.inference.outputs import output_folder, sheets_folder
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.systems.base import Generates
from gan_cli.training.trainer import to_device
from gan_cli.utils import images, labels
from gan_cli.utils.commands import command
from gan_cli.utils.errors import GanError
from gan_cli.utils.progress import Progress

GRID = 100  # images of a grid, at most


def sample(
    run_dir: Path,
    *,
    n: int = 64,
    seed: int = 0,
    label: int | None = None,
    out: str | None = None,
    checkpoint: str = "last",
    weights: str = "auto",
    device: str = "auto",
    allowed_modules: Sequence[str] = (),
    dataset_root: str | None = None,
) -> None:
    """Write n samples as single images, and sheets: a grid of at most GRID of them, and the model's traversals; for a
    model on points or one that translates held-out images, only the grid.

    The images NNNNNN.png go to `out` (RUN_DIR/generated if omitted), the sheets grid.png and traverse_NAME.png to a
    folder beside it; a grid alone goes to `out`. Other options as in `TrainedRun`. Raises GanError for a label or a
    count that the model cannot take.
    """
    if n < 1:
        raise GanError(f"n={n}: ask for at least one sample")
    run = TrainedRun(
        run_dir, checkpoint=checkpoint, weights=weights, device=device, allowed_modules=allowed_modules,
        dataset_root=dataset_root,
    )  # fmt: skip
    run.check_label(label)
    folder = output_folder(run_dir, "generated", out)
    if isinstance(run.system, Generates) and run.value_range is not None:
        written = _write_images(run, folder, out, n, seed, label)
    else:
        with run.test_mode(seed):
            images.save(folder / "grid.png", images.stack(_columns(run, n, label), run.value_range))
        written = str(folder)
    print(f"{n} samples ({run.weights} weights, iteration {run.iteration}, seed {seed}) in {written}")


def _columns(run: TrainedRun, n: int, label: int | None) -> dict[str, Tensor]:
    """The batches side by side in the grid of a model on points, or of one that translates."""
    if isinstance(run.system, Generates):
        return {"generated": run.generate(n, label)}
    if n > GRID:
        translate = command("translate", run.path, "input=DIR", "output=DIR")
        raise GanError(f"n={n}: {run.name} translates images; the grid has at most {GRID} rows, {translate} writes all")
    return run.system.sample(to_device(run.data.test_batch(0, n), run.device))


def _write_images(run: TrainedRun, folder: Path, out: str | None, n: int, seed: int, label: int | None) -> str:
    """Write images and sheets batch by batch, so that the memory does not grow with n; returns where they are."""
    assert run.value_range is not None
    sheets = output_folder(run.path, "generated_sheets", None if out is None else str(sheets_folder(folder)))
    others = len(set(os.listdir(folder)) - {f"{i:06d}.png" for i in range(n)})
    progress = Progress(n, "images")
    with run.test_mode(seed):
        for batch in run.batches(n, label):
            if not progress.done:
                images.save(sheets / "grid.png", images.grid(batch[:GRID], run.value_range))
            for image in images.visible(batch, run.value_range):
                images.save(folder / f"{progress.done:06d}.png", image)
                progress.advance()
        tables = run.traversals(min(n, 10))
    for name, table in tables.items():
        cells = [list(images.visible(row, run.value_range)) for row in table.images]
        sheet = labels.labeled_grid(cells, table.headings, title=table.title, lines=table.lines)
        images.save(sheets / f"traverse_{name}.png", sheet)
    note = f"; {others} other file{'s are' if others > 1 else ' is'} in {folder}" if others else ""
    return f"{folder}, sheets in {sheets}{note}"
