"""pix2pix (Isola, Zhu, Zhou, Efros 2017, arXiv 1611.07004): G: x -> y from pairs of images."""

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import l1_loss

from gan_cli.data.base import Pairs
from gan_cli.losses.objective import Objective
from gan_cli.losses.penalties import Critic
from gan_cli.systems.base import System, Terms, Turn
from gan_cli.systems.shared_sample import SharedSample


class Pix2Pix(System):
    """G* = arg min_G max_D  L_cGAN(G, D) + lambda_L1 E |y - G(x, z)|,  eq. 4;

    L_cGAN = E log D(x, y) + E log(1 - D(x, G(x, z))), eq. 1. z is the dropout in G, at test too. D moves first, and
    its loss is halved (section 3.3; in the authors' Lua code only the printed one is). one_fake: in an iteration with
    one step of D both turns play on the same G(x, z), as the authors' code does; Algorithm 1 of Goodfellow et al. 2014
    draws z anew.

    generator: x -> y; discriminator: x, y -> scores. lambda_GAN: weight of the adversarial term; 0 is the ablation
    "L1", in which D never moves, and lambda_L1 0 the ablation "cGAN". show: (x, y) -> the picture of y for the sample
    grid, where y is none by itself. ValueError if both weights are 0, or one is negative.
    """

    batch_type: ClassVar[type] = Pairs
    directions: ClassVar[tuple[str, ...]] = ("x2y",)
    multimodal: ClassVar[bool] = True

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        objective: Objective,
        lambda_L1: float = 100.0,
        lambda_GAN: float = 1.0,
        show: Callable[[Tensor, Tensor], Tensor] | None = None,
        one_fake: bool = False,
    ) -> None:
        super().__init__()
        if min(lambda_L1, lambda_GAN) < 0 or lambda_L1 + lambda_GAN == 0:
            raise ValueError(
                f"lambda_L1 {lambda_L1} and lambda_GAN {lambda_GAN}: none is negative and one at least is not 0"
            )
        self.generator, self.discriminator = generator, discriminator
        self.objective, self.lambda_L1, self.lambda_GAN = objective, lambda_L1, lambda_GAN
        self.show = show or (lambda x, y: y)
        self.one_fake, self.shared = one_fake, SharedSample()

    def turns(self) -> list[Turn]:
        steps = self.objective.steps_at(self.iteration) if self.lambda_GAN else 0
        return [
            Turn("d", ("discriminator",), self.d_loss, steps, self.constrain),
            Turn("g", ("generator",), self.g_loss),
        ]

    def d_loss(self, batch: Pairs) -> Terms:
        x, y = batch
        if self.one_fake and self.objective.steps_at(self.iteration) == 1:
            Gx = self.shared.draw_detached(self.generator, lambda: self.generator(x))
        else:
            Gx = self.generator(x)
        terms = self.objective.d_loss(self.critic(x), y, Gx)
        return {name: term / 2 for name, term in terms.items()}

    def g_loss(self, batch: Pairs) -> Terms:
        x, y = batch
        Gx = self.shared.pop()
        if Gx is None:
            Gx = self.generator(x)
        terms: Terms = {}
        if self.lambda_GAN:
            terms["adversarial"] = self.lambda_GAN * self.objective.g_loss(self.critic(x), Gx, y)["adversarial"]
        if self.lambda_L1:
            terms["L1"] = self.lambda_L1 * l1_loss(Gx, y)
        return terms

    def critic(self, x: Tensor) -> Critic:
        """y -> D(x, y)."""
        return lambda y: self.discriminator(x, y)

    def constrain(self) -> None:
        self.objective.constrain(self.discriminator)

    def translate(self, image: Tensor, direction: str = "x2y") -> Tensor:
        """G(image, z)."""
        return self.generator(image)

    def sample(self, batch: Pairs) -> dict[str, Tensor]:
        """x, Gx = G(x, z) and the truth y."""
        x, y = batch
        return {"x": x, "Gx": self.show(x, self.generator(x)), "y": self.show(x, y)}
