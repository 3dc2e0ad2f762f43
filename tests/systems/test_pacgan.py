"""Packs: what the discriminator of PacGAN sees."""

import json
import math
from pathlib import Path

import pytest
import torch
from helpers import TINY
from torch import Tensor, nn

from gan_cli.cli.main import main
from gan_cli.data.base import Images
from gan_cli.losses.adversarial import Relativistic, Wasserstein
from gan_cli.losses.objective import Objective
from gan_cli.networks.pacgan import Discriminator, Generator
from gan_cli.systems.pacgan import PacGAN


class Spy(nn.Module):
    """Keeps the packs; a pack's score is the mean of its values."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self.w = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return self.w * x.flatten(1).mean(1)


def pacgan(packing: int = 3, share_fakes: bool = False, **parts: object) -> PacGAN:
    generator = nn.Sequential(nn.Linear(4, 2), nn.Unflatten(1, (2, 1, 1)))
    objective = Objective(Wasserstein(), **parts)  # type: ignore[arg-type]
    return PacGAN(generator, Spy(), objective, latent_dim=4, share_fakes=share_fakes, packing=packing)


def test_a_pack_holds_samples_that_follow_one_another_channel_on_channel() -> None:
    x = torch.arange(12.0).view(6, 2, 1, 1)
    assert pacgan(3).pack(x).flatten(1).tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    images = torch.arange(16.0).view(2, 2, 2, 2)
    assert torch.equal(pacgan(2).pack(images)[0, 2:], images[1])


def test_a_pack_is_all_real_or_all_generated() -> None:
    system = pacgan(2)
    batch = Images(torch.full((4, 2, 1, 1), 100.0))
    terms = system.d_loss(batch)
    real, fake = system.discriminator.seen
    assert real.shape == fake.shape == (2, 4, 1, 1)
    assert (real == 100).all() and (fake < 50).all()
    assert terms["adversarial"].item() == pytest.approx(fake.mean().item() - 100, abs=1e-4)
    g = system.g_loss(batch)
    fake = system.discriminator.seen[-1]
    assert fake.shape == (2, 4, 1, 1) and (fake < 50).all()
    assert g["adversarial"].item() == pytest.approx(-fake.mean().item(), abs=1e-4)


def test_both_turns_see_the_same_packs_if_asked_to() -> None:
    batch = Images(torch.ones(4, 2, 1, 1))
    for shared in (True, False):
        system = pacgan(2, share_fakes=shared)
        system.d_loss(batch)
        g = system.g_loss(batch)
        _, first, second = system.discriminator.seen
        assert torch.equal(first, second) == shared
        g["adversarial"].backward()
        assert system.generator[0].weight.grad.abs().sum() > 0


def test_a_loss_of_g_that_compares_sees_packs_of_reals() -> None:
    """Scores are means of packs, so unpacked reals would give twice as many scores, each of one sample."""
    generator = nn.Sequential(nn.Linear(4, 2), nn.Unflatten(1, (2, 1, 1)))
    system = PacGAN(generator, Spy(), Objective(Relativistic()), latent_dim=4, share_fakes=False, packing=2)
    batch = Images(torch.tensor([0.0, 2.0, 4.0, 8.0]).view(4, 1, 1, 1).expand(4, 2, 1, 1))
    loss = system.g_loss(batch)["adversarial"]
    fake, real = system.discriminator.seen
    assert real.flatten(1).tolist() == [[0, 0, 2, 2], [4, 4, 8, 8]] and fake.shape == real.shape
    expected = nn.functional.softplus(torch.tensor([1.0, 6.0]) - fake.flatten(1).mean(1)).mean()
    torch.testing.assert_close(loss, expected)


def test_a_penalty_sees_packs() -> None:
    seen = []
    system = pacgan(2, penalty=lambda f, real, fake: seen.append((real.shape, fake.shape)) or real.sum())
    system.d_loss(Images(torch.ones(4, 2, 1, 1)))
    assert seen == [((2, 4, 1, 1), (2, 4, 1, 1))]


def test_packs_of_one_are_the_plain_gan() -> None:
    x = torch.randn(5, 2, 3, 3)
    assert torch.equal(pacgan(1).pack(x), x)


def test_what_does_not_divide(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="packs of 3"):
        pacgan(3).pack(torch.zeros(4, 2, 1, 1))
    with pytest.raises(ValueError, match="at least 1"):
        pacgan(0)
    monkeypatch.chdir(tmp_path)
    words = ["train", "dataset=ring", "model=pacgan", "network=mlp_points", "model.packing=3", "hydra.run.dir=run"]
    assert main([*words, "trainer.batch_size=64"]) == 2
    assert "takes samples in groups of 3; choose a multiple of 3" in capsys.readouterr().err


def test_networks_for_points_of_the_authors_code() -> None:
    G, D = Generator(1, 2), Discriminator(1, 6)
    linear = 2 * 400 + 3 * 400**2 + 401 * 2
    assert sum(p.numel() for p in G.parameters()) == linear + 4 * 800
    assert sum(p.numel() for p in D.parameters()) == 7 * 1000 + 2 * 201 * 1000 + 201
    weights = [layer.weight for net in (G, D) for layer in net.modules() if isinstance(layer, nn.Linear)]
    assert all(abs(w.std().item() / 0.02 - 1) < 0.15 for w in weights if w.numel() > 500)
    z = torch.randn(64, 2)
    assert G(z).shape == (64, 2, 1, 1)
    hidden = G.layers[:3](z)
    assert hidden.min() == 0 and 0.2 < (hidden > 0).float().mean() < 0.8  # normalized, then cut at 0
    assert D(torch.randn(3, 6, 1, 1)).shape == (3,)


@pytest.mark.parametrize(
    ("words", "channels"),
    [
        (["network=mlp_points", "dataset=ring"], 2),
        (["network=dcgan", "dataset=shapes", "model.generator.width=4", "model.discriminator.width=4"], 3),
    ],
)
def test_trains_from_the_command_line(
    words: list[str], channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The discriminator has three times the channels, and its loss starts near 2 ln 2, since it cannot tell yet."""
    monkeypatch.chdir(tmp_path)
    words = ["train", "model=pacgan", "model.packing=3", *words, *TINY, "trainer.batch_size=6", "hydra.run.dir=run"]
    assert main(words) == 0
    state = torch.load("run/checkpoints/last.pt", weights_only=True)["system"]
    first = next(weight for name, weight in state.items() if name.startswith("discriminator"))
    assert first.shape[1] == 3 * channels
    line = json.loads(Path("run/metrics.jsonl").read_text().splitlines()[0])
    assert line["d/adversarial"] == pytest.approx(2 * math.log(2), abs=0.4)
