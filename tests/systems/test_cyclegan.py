"""CycleGAN: losses by hand, turns and image pools, ablations by their weights, the experiments on its data sets."""

from typing import Any

import pytest
import torch
from helpers import Affine, composed, config_names

from gan_cli.data.base import Domains
from gan_cli.losses.adversarial import LeastSquares
from gan_cli.losses.objective import Objective
from gan_cli.systems.cyclegan import CycleGAN

BATCH = Domains(torch.full((1, 1, 2, 2), 1.0), torch.full((1, 1, 2, 2), 5.0))
G_GAN, F_GAN = (3 * 2.0 - 1) ** 2, (6.0 - 1) ** 2  # D_Y(G(x)) = 6 and D_X(F(y)) = 6, which G and F want to be 1
FORWARD, BACKWARD = abs(3.0 - 1), abs(12.0 - 5)    # F(G(x)) = 3 for 1, G(F(y)) = 12 for 5


def by_hand(**options: Any) -> CycleGAN:
    """G doubles, F adds one, D_X is the image itself, D_Y three times the image."""
    objective = Objective(LeastSquares(scale=1.0))
    return CycleGAN(Affine(2.0), Affine(1.0, 1.0), Affine(1.0), Affine(3.0), objective, **options)


def terms(**options: Any) -> list[float]:
    return [term.item() for term in by_hand(**options).g_loss(BATCH).values()]


def test_losses_by_hand() -> None:
    system = by_hand(lambda_identity=0.5)
    assert {name: term.item() for name, term in system.g_loss(BATCH).items()} == {
        "G_adversarial": G_GAN,
        "F_adversarial": F_GAN,
        "cycle_x": 10 * FORWARD,
        "cycle_y": 10 * BACKWARD,
        "identity_x": 5 * abs(2.0 - 1),           # F(x) = 2
        "identity_y": 5 * abs(10.0 - 5),          # G(y) = 10
    }
    assert system.d_y_loss(BATCH)["adversarial"].item() == ((15.0 - 1) ** 2 + 6.0**2) / 2
    assert system.d_x_loss(BATCH)["adversarial"].item() == ((1.0 - 1) ** 2 + 6.0**2) / 2


def test_no_identity_term_by_default() -> None:
    assert list(by_hand().g_loss(BATCH)) == ["G_adversarial", "F_adversarial", "cycle_x", "cycle_y"]


def test_turns() -> None:
    assert [(turn.name, turn.trains) for turn in by_hand().turns()] == [
        ("G", ("G", "F")), ("D_Y", ("D_Y",)), ("D_X", ("D_X",)),
    ]  # fmt: skip


def test_each_pool_gets_one_batch_per_iteration() -> None:
    system = by_hand(pool_size=3)
    for i in range(2):
        batch = Domains(torch.full((1, 1, 2, 2), float(i)), torch.full((1, 1, 2, 2), 10.0 + i))
        for turn in system.turns():
            turn.loss(batch)
    assert system.pool_y.images[:, 0, 0, 0].tolist() == [0.0, 2.0]          # G(x)
    assert system.pool_x.images[:, 0, 0, 0].tolist() == [11.0, 12.0]        # F(y)
    assert not system.history_Gx.requires_grad and not system.history_Fy.requires_grad


def test_discriminators_are_trained_on_the_history() -> None:
    """Pools of one image: D's loss on a fake is that of the new image or of the stored one, and both occur."""
    system = by_hand(pool_size=1)
    system.g_loss(Domains(torch.zeros(1, 1, 2, 2), BATCH.y))                # G(0) = 0 is stored
    losses = set()
    for _ in range(40):
        system.pool_y.images = torch.zeros(1, 1, 2, 2)
        system.g_loss(BATCH)
        losses.add(system.d_y_loss(BATCH)["adversarial"].item())
    assert losses == {((15.0 - 1) ** 2 + 6.0**2) / 2, (15.0 - 1) ** 2 / 2}


def test_pools_reach_the_checkpoint() -> None:
    system, other = by_hand(), by_hand()
    system.g_loss(Domains(*torch.rand(2, 3, 1, 4, 4)))
    other.load_state_dict(system.state_dict())
    assert len(other.pool_x.images) == 3 and torch.equal(other.pool_y.images, system.pool_y.images)


def test_translate() -> None:
    system, x = by_hand(), torch.ones(1, 1, 2, 2)
    assert system.directions == ("AtoB", "BtoA")
    assert torch.equal(system.translate(x, "AtoB"), 2 * x) and torch.equal(system.translate(5 * x, "BtoA"), 6 * x)
    images = system.sample(Domains(x, 5 * x))
    assert {name: image[0, 0, 0, 0].item() for name, image in images.items()} == {
        "A": 1, "A_to_B": 2, "A_to_B_to_A": 3, "B": 5, "B_to_A": 6, "B_to_A_to_B": 12,
    }  # fmt: skip


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
    names = [name for name in config_names("experiment") if name.startswith("cyclegan_")]
    names = [name for name in names if name not in ("cyclegan_stripes", "cyclegan_horse2zebra_small")]
    paintings = {f"cyclegan_{name}2photo" for name in ("monet", "cezanne", "ukiyoe", "vangogh")}
    assert len(names) == 12 and paintings <= set(names)
    for name in names:
        cfg = composed(f"experiment={name}")
        assert cfg.trainer.iterations % 200 == 0 and cfg.trainer.batch_size == 1
        assert cfg.model.lambda_identity == (0.5 if name in paintings else 0.0)
        assert cfg.model.G.blocks == cfg.model.F.blocks == (9 if cfg.dataset.image_size == 256 else 6)
