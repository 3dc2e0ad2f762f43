"""pix2pix (Isola, Zhu, Zhou, Efros 2017, arXiv 1611.07004): translation x -> y learned from pairs of images."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import l1_loss

from gan_cli.data.base import Pairs
from gan_cli.data.lab_color import LabToRGB
from gan_cli.losses.objective import Objective
from gan_cli.losses.penalties import Critic
from gan_cli.systems.base import System, Terms, Turn
from gan_cli.systems.shared_sample import SharedSample


class Pix2Pix(System[Pairs]):
    """G* = arg min_G max_D  L_cGAN(G, D) + lambda_L1 E |y - G(x, z)|,  eq. 4;

    L_cGAN = E log D(x, y) + E log(1 - D(x, G(x, z))), eq. 1. The noise z is the dropout in G, in testing too. D is
    trained before G, on half of its loss (section 3.3; the authors' Lua code halves only the value that it prints).
    Direction AtoB is x -> y, the batch's source -> target.

    generator: x -> y. discriminator: x, y -> scores. lambda_GAN: weight of the adversarial term; 0 is the ablation
    "L1", in which D is not trained. lambda_L1 0 is the ablation "cGAN". share_fakes: in an iteration with one step of
    D, both turns use the same G(x, z), as in the authors' code; otherwise each turn generates anew (Goodfellow et al.
    2014, Algorithm 1). show: (x, y) -> image of y for the sample grid, for a y that is not an image by itself.
    ValueError if both weights are 0 or one is negative.
    """

    batch_type: ClassVar[type] = Pairs
    directions: ClassVar[tuple[str, ...]] = ("AtoB",)
    equal_channels = ""
    headings: ClassVar[Mapping[str, str]] = {"translated": "G(source)"}
    multimodal: ClassVar[bool] = True
    carried = ("shared",)

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        objective: Objective,
        lambda_L1: float = 100.0,
        lambda_GAN: float = 1.0,
        show: LabToRGB | None = None,
        share_fakes: bool = False,
    ) -> None:
        super().__init__()
        if min(lambda_L1, lambda_GAN) < 0 or lambda_L1 + lambda_GAN == 0:
            raise ValueError(
                f"lambda_L1 {lambda_L1} and lambda_GAN {lambda_GAN}: none is negative and one at least is not 0"
            )
        self.generator, self.discriminator = generator, discriminator
        self.objective, self.lambda_L1, self.lambda_GAN = objective, lambda_L1, lambda_GAN
        self.show = show or (lambda x, y: y)
        self.share_fakes, self.shared = share_fakes, SharedSample()

    def turns(self) -> list[Turn[Pairs]]:
        steps = self.objective.steps_at(self.iteration) if self.lambda_GAN else 0
        return [
            Turn("d", ("discriminator",), self.d_loss, steps, self.constrain),
            Turn("g", ("generator",), self.g_loss),
        ]

    def d_loss(self, batch: Pairs) -> Terms:
        x, y = batch
        terms = self.objective.d_loss(self.critic(x), y, self.detached_fakes(x))
        return {name: term / 2 for name, term in terms.items()}

    def g_loss(self, batch: Pairs) -> Terms:
        x, y = batch
        Gx = self.fakes(x)
        terms: Terms = {}
        if self.lambda_GAN:
            terms["adversarial"] = self.lambda_GAN * self.objective.g_loss(self.critic(x), Gx, y)["adversarial"]
        if self.lambda_L1:
            terms["L1"] = self.lambda_L1 * l1_loss(Gx, y)
        return terms

    def detached_fakes(self, x: Tensor) -> Tensor:
        """G(x, z) for D's turn, kept with its graph for G's turn if the turns share it."""
        if self.share_fakes and self.objective.steps_at(self.iteration) == 1:
            return self.shared.draw_detached(self.generator, lambda: self.generator(x))
        return self.generator(x)

    def fakes(self, x: Tensor) -> Tensor:
        """G(x, z) for G's turn: that of D's turn if it was kept."""
        kept = self.shared.pop()
        return self.generator(x) if kept is None else kept

    def critic(self, x: Tensor) -> Critic:
        """y -> D(x, y)."""
        return lambda y: self.discriminator(x, y)

    def constrain(self) -> None:
        self.objective.constrain(self.discriminator)

    def translate(self, image: Tensor, direction: str = "AtoB") -> Tensor:
        """G(image, z)."""
        return self.generator(image)

    def sample(self, batch: Pairs) -> dict[str, Tensor]:
        """x, G(x, z) and the true y."""
        x, y = batch
        return {"source": x, "translated": self.show(x, self.generator(x)), "target": self.show(x, y)}
