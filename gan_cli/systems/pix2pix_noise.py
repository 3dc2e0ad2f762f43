"""pix2pix with noise and a mode-seeking term (MSGAN, Mao et al. 2019, arXiv 1903.05628): BicycleGAN's networks, trained
as pix2pix.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from gan_cli.data.base import Pairs
from gan_cli.losses.objective import Objective
from gan_cli.losses.regularizers import mode_seeking
from gan_cli.systems.base import System, Terms, Turn
from gan_cli.systems.shared_sample import SharedSample
from gan_cli.systems.terms import at_scales, total
from gan_cli.utils.random import normal


class Pix2PixNoise(System[Pairs]):
    """min_G max_D  L_cGAN(G, D) + lambda_L1 E |G(x, z1) - y| + lambda_ms / (d_I(G(x, z1), G(x, z2)) / d_z(z1, z2)).

    generator: source (N, C, H, W), z (N, latent_dim) -> image (N, C', H, W). discriminator: source, image, scale ->
    scores, a networks.multiscale.MultiScalePairDiscriminator. As in the authors' code, G is trained before D, and D on
    the images that G generated before its step. Both images of a pair count in the adversarial losses, the first alone
    in the L1 term. lambda_ms 0 is the baseline without mode seeking.
    """

    batch_type: ClassVar[type] = Pairs
    sampling_networks: ClassVar[tuple[str, ...]] = ("generator",)
    directions: ClassVar[tuple[str, ...]] = ("AtoB",)
    equal_channels = ""
    headings: ClassVar[Mapping[str, str]] = {f"translated_{k}": f"G(source, z{k})" for k in (1, 2, 3)}
    multimodal: ClassVar[bool] = True
    batch_term = "divides mean distances of pairs over the batch"

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        objective: Objective,
        latent_dim: int = 8,
        lambda_L1: float = 10.0,
        lambda_ms: float = 1.0,
    ) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.objective, self.shared = objective, SharedSample()
        self.latent_dim, self.lambda_L1, self.lambda_ms = latent_dim, lambda_L1, lambda_ms

    def turns(self) -> list[Turn[Pairs]]:
        steps = self.objective.steps_at(self.iteration)
        return [
            Turn("g", ("generator",), self.g_loss),
            Turn("d", ("discriminator",), self.d_loss, steps, lambda: self.objective.constrain(self.discriminator)),
        ]

    def g_loss(self, batch: Pairs) -> Terms:
        x, y = batch
        z = self.prior(2 * len(x))
        (z1, z2), (fake1, fake2) = z.chunk(2), self.shared.draw(lambda: self.generate_pair(x, z)).chunk(2)
        critics = at_scales(self.discriminator, x)
        terms = total(self.objective.g_loss(D, fake, y) for D in critics for fake in (fake1, fake2))
        terms["L1"] = self.lambda_L1 * l1_loss(fake1, y)
        if self.lambda_ms:
            terms["mode_seeking"] = self.lambda_ms * mode_seeking(fake1, fake2, z1, z2)
        return terms

    def d_loss(self, batch: Pairs) -> Terms:
        x, y = batch
        kept = self.shared.pop()  # by D's first step; further steps of the iteration generate anew
        fakes = self.generate_pair(x, self.prior(2 * len(x))) if kept is None else kept
        critics = at_scales(self.discriminator, x)
        return total(self.objective.d_loss(D, y, fake) for D in critics for fake in fakes.chunk(2))

    def generate_pair(self, x: Tensor, z: Tensor) -> Tensor:
        """G(x, z1) and G(x, z2), (2 n, C, H, W), in one pass of the sources x (n, C, H, W) and z (2 n, latent_dim)."""
        return self.generator(torch.cat([x, x]), z)

    def prior(self, n: int) -> Tensor:
        """z ~ N(0, I), (n, latent_dim)."""
        return normal(n, self.latent_dim, device=self.device)

    def translate(self, image: Tensor, direction: str = "AtoB") -> Tensor:
        """G(image, z) with another z per image. KeyError for any direction but AtoB."""
        z = {"AtoB": self.prior}[direction](len(image))
        return self.translate_from(image, z)

    def translate_from(self, image: Tensor, z: Tensor, direction: str = "AtoB") -> Tensor:
        """G(image, z)."""
        return self.generator(image, z)

    def sample(self, batch: Pairs) -> dict[str, Tensor]:
        """x, three translations of it, and the true y."""
        x, y = batch
        return {"source": x, **{f"translated_{k}": self.translate(x) for k in (1, 2, 3)}, "target": y}
