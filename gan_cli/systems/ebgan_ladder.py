"""EBGAN-LN (Zhao, Mathieu, LeCun 2017, arXiv 1609.03126, section 4.2): a ladder network as EBGAN's discriminator
(appendix D; docs/UNVERIFIED.md).
"""

from typing import Literal

from torch import Tensor, nn

from gan_cli.data.base import Images, SemiSupervised
from gan_cli.losses.objective import Objective
from gan_cli.networks.ladder import Ladder
from gan_cli.systems.base import Terms, Turn
from gan_cli.systems.ladder import LadderClassifier
from gan_cli.utils.random import Prior, normal


class EBGANLadder(LadderClassifier):
    """L_D = -E log P(y | x + noise) + D(x) + [m - D(G(z))]_+,  L_G = D(G(z)),  with loss=ebgan_ladder.

    Once the margin m has decreased to 0, G is not trained any more, and D is trained as a ladder network without
    generated images. generator: z (N, latent_dim) -> image. Differs: the paper does not say whether m bounds the
    squared distance or, as here, the distance times its weight.
    """

    sampling_networks = ("generator",)

    def __init__(
        self,
        generator: nn.Module,
        discriminator: Ladder,
        objective: Objective,
        latent_dim: int = 100,
        noise: Prior = normal,
        statistics: Literal["labeled", "all"] = "all",
    ) -> None:
        super().__init__(discriminator, objective, statistics)
        self.generator, self.latent_dim, self.noise = generator, latent_dim, noise

    def turns(self) -> list[Turn[SemiSupervised]]:
        return [*super().turns(), Turn("g", ("generator",), self.g_loss, steps=int(self.margin > 0))]

    @property
    def margin(self) -> float:
        """m of this iteration."""
        return self.scalars()["energy/margin"]

    def d_loss(self, batch: SemiSupervised) -> Terms:
        if self.margin == 0:
            return super().d_loss(batch)
        x = batch.image
        objective = self.objective.at(self.iteration)
        return {**self.class_loss(batch), **objective.d_loss(self.score, x, self.generate(len(x)))}

    def g_loss(self, batch: SemiSupervised) -> Terms:
        x = batch.image
        return self.objective.at(self.iteration).g_loss(self.score, self.generate(len(x)), x)

    def score(self, x: Tensor) -> Tensor:
        """-D(x), (N,)."""
        return -self.discriminator.energy(x)

    def generate(self, n: int, label: Tensor | None = None) -> Tensor:
        """n images. ValueError for a label, as the generator is not conditional."""
        if label is not None:
            raise ValueError("this model is not conditional: it takes no label")
        return self.generator(self.noise(n, self.latent_dim, device=self.device))

    def sample(self, batch: Images | SemiSupervised) -> dict[str, Tensor]:
        return {"generated": self.generate(len(batch.image)), **super().sample(batch)}

    def histograms(self, batch: Images | SemiSupervised) -> dict[str, Tensor]:
        generated = self.generate(len(batch.image))
        return {**super().histograms(batch), "energy/generated": self.discriminator.energy(generated)}

    def scalars(self) -> dict[str, float]:
        return self.objective.scalars(self.iteration)
