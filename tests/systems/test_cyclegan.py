"""CycleGAN's ablations by their weights (Zhu et al. 2017, section 5.1.4), and the experiments on its data sets."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_cli.config.composer import Composer, arguments
from gan_cli.config.schema import conf_dir
from gan_cli.data.base import Domains
from gan_cli.losses.adversarial import LeastSquares
from gan_cli.losses.objective import Objective
from gan_cli.systems.cyclegan import CycleGAN


class Affine(nn.Module):
    def __init__(self, scale: float, shift: float = 0.0) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.tensor(scale)), shift

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x + self.shift


BATCH = Domains(torch.full((1, 1, 2, 2), 1.0), torch.full((1, 1, 2, 2), 5.0))
G_GAN, F_GAN = (3 * 2.0 - 1) ** 2, (6.0 - 1) ** 2  # D_Y(G(x)) = 6 and D_X(F(y)) = 6 want 1
FORWARD, BACKWARD = abs(3.0 - 1), abs(12.0 - 5)    # F(G(x)) = 3 for 1, G(F(y)) = 12 for 5


def terms(**options: Any) -> list[float]:
    """G doubles, F adds one, D_X is the image itself, D_Y thrice the image."""
    objective = Objective(LeastSquares(scale=1.0))
    system = CycleGAN(Affine(2.0), Affine(1.0, 1.0), Affine(1.0), Affine(3.0), objective, **options)
    return [term.item() for term in system.g_loss(BATCH).values()]


def test_ablations() -> None:
    assert terms() == [G_GAN, F_GAN, 10 * FORWARD, 10 * BACKWARD]
    assert terms(lambda_adversarial=0.0) == [0, 0, 10 * FORWARD, 10 * BACKWARD]
    assert terms(lambda_cycle=0.0) == [G_GAN, F_GAN, 0, 0]
    assert terms(lambda_cycle=[10.0, 0.0]) == [G_GAN, F_GAN, 10 * FORWARD, 0]
    assert terms(lambda_cycle=[0.0, 10.0]) == [G_GAN, F_GAN, 0, 10 * BACKWARD]


def test_identity_takes_the_weight_of_its_cycle() -> None:
    """|F(x) - x| = 1 goes with the forward cycle, |G(y) - y| = 5 with the backward one, as in the authors' code."""
    assert terms(lambda_cycle=[10.0, 4.0], lambda_identity=0.5)[2:] == [10 * FORWARD, 4 * BACKWARD, 5 * 1, 2 * 5]


@pytest.mark.parametrize("wrong", [{"lambda_cycle": [1.0]}, {"lambda_cycle": -1.0}, {"lambda_adversarial": -0.1}])
def test_weights_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"one weight, or \[forward, backward\]"):
        terms(**wrong)


def test_experiments_are_two_hundred_epochs_with_identity_on_paintings_only() -> None:
    names = sorted(path.stem for path in (conf_dir() / "experiment").glob("cyclegan_*.yaml"))
    names.remove("cyclegan_stripes")
    paintings = {f"cyclegan_{name}2photo" for name in ("monet", "cezanne", "ukiyoe", "vangogh")}
    assert len(names) == 12 and paintings <= set(names)
    composer = Composer(arguments([f"experiment={names[0]}"]))
    for name in names:
        cfg = composer.compose([f"experiment={name}"])
        assert cfg.trainer.iterations % 200 == 0 and cfg.trainer.batch_size == 1
        assert cfg.model.lambda_identity == (0.5 if name in paintings else 0.0)
        assert cfg.model.G.blocks == cfg.model.F.blocks == (9 if cfg.dataset.image_size == 256 else 6)
