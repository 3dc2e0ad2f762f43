"""CycleGAN (Zhu, Park, Isola, Efros 2017, arXiv 1703.10593): G: X -> Y and F: Y -> X from unpaired images."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import l1_loss

from gan_cli.data.base import Domains
from gan_cli.losses.critic import forward_together
from gan_cli.losses.objective import Objective
from gan_cli.systems.base import System, Terms, Turn
from gan_cli.systems.image_pool import ImagePool


class CycleGAN(System):
    """L = L_GAN(G, D_Y) + L_GAN(F, D_X) + lambda_cycle (E |F(G(x)) - x| + E |G(F(y)) - y|),  eq. 3.

    lambda_cycle: one weight, or that of the forward cycle x -> G -> F and that of the backward cycle y -> F -> G;
    lambda_adversarial: of L_GAN. A weight of 0 gives the ablations of section 5.1.4: cycle alone, GAN alone, GAN and
    one cycle.

    One turn of G and F together, then D_Y, then D_X, as in the authors' code; the D losses are halved
    (section 4), and the D's see a history of `pool_size` images. lambda_identity: weight of the identity
    term E |G(y) - y| + E |F(x) - x|, relative to lambda_cycle (section 5.2: 0.5 for paintings -> photos, 0
    elsewhere; the authors' PyTorch code defaults to 0.5 everywhere). G and F map image -> image of the same
    shape, so x and y have equally many channels. ValueError for a negative weight, or not one or two of the cycles.
    """

    batch_type: ClassVar[type] = Domains
    sampling_networks: ClassVar[tuple[str, ...]] = ("G", "F")
    directions: ClassVar[tuple[str, ...]] = ("x2y", "y2x")

    def __init__(
        self,
        G: nn.Module,
        F: nn.Module,
        D_X: nn.Module,
        D_Y: nn.Module,
        objective: Objective,
        lambda_cycle: float | Sequence[float] = 10.0,
        lambda_identity: float = 0.0,
        pool_size: int = 50,
        lambda_adversarial: float = 1.0,
    ) -> None:
        super().__init__()
        cycles = (lambda_cycle, lambda_cycle) if isinstance(lambda_cycle, (int, float)) else tuple(lambda_cycle)
        if len(cycles) != 2 or min(*cycles, lambda_identity, lambda_adversarial) < 0:
            raise ValueError(
                f"lambda_cycle is one weight, or [forward, backward], and weights are 0 or more, not {lambda_cycle}, "
                f"lambda_identity {lambda_identity} and lambda_adversarial {lambda_adversarial}"
            )
        self.G, self.F, self.D_X, self.D_Y = G, F, D_X, D_Y
        self.objective = objective
        (self.lambda_x, self.lambda_y), self.lambda_identity = cycles, lambda_identity
        self.lambda_adversarial = lambda_adversarial
        self.pool_x, self.pool_y = ImagePool(pool_size), ImagePool(pool_size)

    def turns(self) -> list[Turn]:
        steps = self.objective.steps_at(self.iteration)
        return [
            Turn("G", ("G", "F"), self.g_loss),
            Turn("D_Y", ("D_Y",), self.d_y_loss, steps, lambda: self.objective.constrain(self.D_Y)),
            Turn("D_X", ("D_X",), self.d_x_loss, steps, lambda: self.objective.constrain(self.D_X)),
        ]

    @property
    def capturable(self) -> bool:
        """Once the pools are full: until then they grow."""
        return self.pool_x.full and self.pool_y.full

    def g_loss(self, batch: Domains) -> Terms:
        """Also puts this iteration's fakes, without their graphs, through the pools, for the turns of D_Y
        and D_X.
        """
        x, y = batch
        identity = bool(self.lambda_identity)
        fake_y, *same_y = forward_together(self.G, x, *[y] * identity)
        fake_x, again_x, *same_x = forward_together(self.F, y, fake_y, *[x] * identity)
        self.shown_y, self.shown_x = self.pool_y.query(fake_y), self.pool_x.query(fake_x)
        terms = {
            "G_adversarial": self.lambda_adversarial * self.objective.g_loss(self.D_Y, fake_y, y)["adversarial"],
            "F_adversarial": self.lambda_adversarial * self.objective.g_loss(self.D_X, fake_x, x)["adversarial"],
            "cycle_x": self.lambda_x * l1_loss(again_x, x),
            "cycle_y": self.lambda_y * l1_loss(self.G(fake_x), y),
        }
        if identity:
            terms["identity_x"] = self.lambda_identity * self.lambda_x * l1_loss(same_x[0], x)
            terms["identity_y"] = self.lambda_identity * self.lambda_y * l1_loss(same_y[0], y)
        return terms

    def d_y_loss(self, batch: Domains) -> Terms:
        return _half(self.objective.d_loss(self.D_Y, batch.y, self.shown_y))

    def d_x_loss(self, batch: Domains) -> Terms:
        return _half(self.objective.d_loss(self.D_X, batch.x, self.shown_x))

    def translate(self, image: Tensor, direction: str = "x2y") -> Tensor:
        """G(image) for "x2y", F(image) for "y2x"."""
        return {"x2y": self.G, "y2x": self.F}[direction](image)

    def sample(self, batch: Domains) -> dict[str, Tensor]:
        """x, Gx = G(x), FGx = F(G(x)) and y, Fy, GFy."""
        x, y = batch
        Gx, Fy = self.G(x), self.F(y)
        return {"x": x, "Gx": Gx, "FGx": self.F(Gx), "y": y, "Fy": Fy, "GFy": self.G(Fy)}


def _half(terms: Terms) -> Terms:
    return {name: term / 2 for name, term in terms.items()}
