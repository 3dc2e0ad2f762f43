"""`gan sample`: images of a finished or running run as PNG files, and traversals of its latent space."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from gan_cli.inference.trained_run import TrainedRun
from gan_cli.systems.base import Generates, Traverses
from gan_cli.training.trainer import to_device
from gan_cli.utils import images
from gan_cli.utils.errors import GanError
from gan_cli.utils.files import make_folder


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
) -> None:
    """Write n samples as one grid and as single images, and the model's traversals; translations of held-out images
    for a model that translates.

    Files go to `out` (RUN_DIR/generated if omitted): grid.png, NNNNNN.png, traverse_NAME.png. Other options as in
    `TrainedRun`. Raises GanError for a label or a count that the model cannot take.
    """
    if n < 1:
        raise GanError(f"n={n}: ask for at least one sample")
    run = TrainedRun(
        run_dir, checkpoint=checkpoint, weights=weights, device=device, allowed_modules=allowed_modules
    )
    run.check_label(label)
    folder = make_folder(Path(out) if out else run_dir / "generated")
    if isinstance(run.system, Generates):
        _write_samples(run, folder, n, seed, label)
    else:
        with run.test_mode(seed) as system:
            columns = system.sample(to_device(run.data.test_batch(0, n), run.device))
        images.save(folder / "grid.png", images.stack(columns, run.value_range))
    print(f"{n} samples ({run.weights} weights, iteration {run.iteration}, seed {seed}) in {folder}")


def _write_samples(run: TrainedRun, folder: Path, n: int, seed: int, label: int | None) -> None:
    tables: dict[str, Tensor] = {}
    with run.test_mode(seed):
        samples = run.generate(n, label)
        if isinstance(run.system, Traverses):
            tables = run.system.traverse(rows=min(n, 10))
    images.save(folder / "grid.png", images.grid(samples, run.value_range))
    if run.value_range is None:  # points: the grid is a scatter plot, and a single point is no image
        return
    for index, image in enumerate(images.to_uint8(samples, run.value_range)):
        images.save(folder / f"{index:06d}.png", image if len(image) in (1, 3) else image[:1])
    for name, table in tables.items():
        sheet = images.grid(table.flatten(0, 1), run.value_range, columns=table.shape[1])
        images.save(folder / f"traverse_{name}.png", sheet)
