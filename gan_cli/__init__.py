"""Generative adversarial networks of the literature: train, reproduce, compare and use them.

The Python API; docs/LIBRARY.md shows it at work. Importing this package is cheap: torch is imported by the first call
of `load`, or by the modules that you import from gan_cli.losses, gan_cli.metrics, gan_cli.networks, ...

    import gan_cli

    run = gan_cli.load("outputs/2026-11-28/12-00-00-dcgan-a1b2c3")
    images = run.sample(16, seed=0)          # float32 (16, C, H, W) in [0, 1]
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

from gan_cli.utils.errors import GanError

if TYPE_CHECKING:
    from gan_cli.inference.library import Run

__version__ = "0.2.0"
__all__ = ["GanError", "list", "load"]


def load(
    run: str | PathLike[str],
    *,
    checkpoint: str = "last",
    weights: str = "auto",
    device: str = "auto",
    allowed_modules: Sequence[str] = (),
) -> Run:
    """Load the model of the run directory `run`, with `.sample`, `.traverse`, `.translate` and `.config`.

    checkpoint: "last", "best", an iteration such as "2000", or the path of a .pt file. weights: "ema", the average of
    the weights; "raw", those of the last step; "auto", the average if the run kept one. device: "auto", "cpu", "cuda"
    or "cuda:N". allowed_modules: modules of your own that the run's configuration may name. Raises GanError if there is
    no such run, checkpoint or average.
    """
    from gan_cli.inference.library import Run

    return Run(run, checkpoint=checkpoint, weights=weights, device=device, allowed_modules=allowed_modules)


def list(group: str = "model") -> dict[str, str]:
    """Name -> description of what a config group offers: model, loss, dataset, optimizer, experiment, metric, ...

    Raises GanError for a group that does not exist.
    """
    from gan_cli.config.groups import descriptions

    return descriptions(group)
