"""What a run shows of its samples: labeled grids of images, and plots of points with the modes that they reach."""

from collections.abc import Mapping

import torch
from torch import Tensor

from gan_cli.data.base import Batch, Dataset, Domains, HasDomainModes, HasLogDensity, HasModes
from gan_cli.metrics.modes import RADIUS, captured
from gan_cli.systems.base import System
from gan_cli.utils.labels import sample_grid
from gan_cli.utils.point_plots import Panel, point_plots


def sample_image(system: System, data: Dataset, batch: Batch, named: Mapping[str, Tensor], title: str) -> Tensor:
    """One image, uint8 (3, H, W), of `named`, the samples that `system.sample(batch)` returned."""
    if data.value_range is None:
        return points_image(system, data, batch, named, title)
    classes: list[str] = []
    if system.needs_labels and data.num_classes is not None:  # one sample per class in turn
        names = class_names(data.class_names, data.num_classes)
        classes = [names[i % len(names)] for i in range(len(next(iter(named.values()))))]
    return sample_grid(named, data.value_range, title, system.headings, classes)


def class_names(names: tuple[str, ...], count: int) -> tuple[str, ...]:
    """The names of `count` classes, or their numbers if they have none."""
    return names if len(names) == count else tuple(map(str, range(count)))


def points_image(system: System, data: Dataset, batch: Batch, named: Mapping[str, Tensor], title: str) -> Tensor:
    """One image, uint8 (3, H, W), with a plot of each batch of points over those data that it should resemble."""
    parts = [part for part in batch if part is not None]
    shown = [name for name, points in named.items() if not any(torch.equal(points, part) for part in parts)]
    panels = []
    for name in shown or named:
        # Translations and reconstructions are named by the domain where they end.
        target = int(isinstance(batch, Domains) and name.endswith("B"))
        heading = system.headings.get(name, name.replace("_", " "))
        panels.append(_panel(heading, data, named[name], parts[target], target))
    return point_plots(panels, title)


def _panel(name: str, data: Dataset, samples: Tensor, real: Tensor, target: int) -> Panel:
    """target: the number of the domain to which `real` belongs."""
    samples, real = samples.flatten(1).float().cpu(), real.flatten(1).float().cpu()
    dimensions = real.shape[1]
    name += "" if dimensions <= 2 else f" (2 of {dimensions} dimensions)"
    modes, std, factor = _modes(data, target)
    if modes is None:
        density = (lambda x: data.log_density(x).exp()) if isinstance(data, HasLogDensity) else None
        return Panel(name, samples, real, density=density)
    counts = captured(samples, modes, std, factor)
    share = 100 * int(counts.sum()) / len(samples)
    note = f"{int((counts > 0).sum())} of {len(modes)} modes captured, {share:.1f} % of samples within {factor:g} std"
    # A circle of the plane says nothing about distances in more dimensions.
    return Panel(name, samples, real, note, modes, factor * std if dimensions <= 2 else 0.0, counts == 0)


def _modes(data: Dataset, target: int) -> tuple[Tensor | None, float, float]:
    """Centers (K, d), their standard deviation, and within how many of these a sample is of high quality."""
    if isinstance(data, HasModes):
        return data.modes.cpu(), data.std, data.quality_radius
    if isinstance(data, HasDomainModes):
        return (data.modes_y if target else data.modes_x).cpu(), data.std, RADIUS
    return None, 0.0, 0.0
