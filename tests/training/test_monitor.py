"""The limits of the monitor's warnings."""

import pytest
import torch
from torch import Tensor, nn

from gan_cli.data.base import Images
from gan_cli.losses.adversarial import NonSaturating
from gan_cli.losses.objective import Objective
from gan_cli.systems.gan import GAN
from gan_cli.training.monitor import Monitor


def monitor() -> Monitor:
    return Monitor(GAN(nn.Linear(1, 1), nn.Linear(1, 1), Objective(NonSaturating()), latent_dim=1))


def pair(distance: float) -> Tensor:
    return torch.tensor([[0.0, 0.0], [distance, 0.0]])[:, :, None, None]


@pytest.mark.parametrize(("percent", "warned"), [(6, False), (5.1, False), (4.9, True), (1, True)])
def test_samples_are_alike_below_5_percent_of_the_diversity_of_real_ones(percent: float, warned: bool) -> None:
    checks = monitor()
    ratios = checks.diversity(Images(pair(10.0)), {"generated": pair(percent / 10)})
    assert ratios == {"monitor/diversity": pytest.approx(percent / 100)}
    assert bool(checks.alike(1, ratios)) is warned
