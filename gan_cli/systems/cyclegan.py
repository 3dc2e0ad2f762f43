"""CycleGAN (Zhu, Park, Isola, Efros 2017, arXiv 1703.10593): translation learned from two unpaired sets of images."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import l1_loss

from gan_cli.data.base import Domains
from gan_cli.losses.critic import forward_together
from gan_cli.losses.objective import Objective
from gan_cli.systems.base import System, Terms, Turn
from gan_cli.systems.image_pool import ImagePool


class CycleGAN(System[Domains]):
    """Two generators G: X -> Y and F: Y -> X that are to invert each other, and a discriminator per domain; eq. 3:

        L(G, F, D_X, D_Y) = L_GAN(G, D_Y) + L_GAN(F, D_X) + lambda_cycle (E |F(G(x)) - x| + E |G(F(y)) - y|).

    As in the authors' code, an iteration trains G and F together, then D_Y, then D_X. Direction AtoB is G, BtoA is F.

    G, F: image (N, C, H, W) -> image of the same shape. D_X, D_Y: image -> scores of any shape.
    lambda_cycle: weight of both cycles, or the weights of the forward cycle (x) and of the backward cycle (y).
    lambda_identity: weight of E |F(x) - x| + E |G(y) - y| relative to lambda_cycle; 0.5 for paintings -> photographs
    and 0 elsewhere (section 5.2). pool_size: number of generated images in each discriminator's history (section 4).
    lambda_adversarial: weight of L_GAN. Weights of 0 give the ablations of section 5.1.4. ValueError for a negative
    weight, or for other than one or two weights of the cycles.
    """

    batch_type: ClassVar[type] = Domains
    sampling_networks: ClassVar[tuple[str, ...]] = ("G", "F")
    directions: ClassVar[tuple[str, ...]] = ("AtoB", "BtoA")
    carried = ("history_Gx", "history_Fy")
    headings: ClassVar[Mapping[str, str]] = {
        "A": "x", "A_to_B": "G(x)", "A_to_B_to_A": "F(G(x))", "B": "y", "B_to_A": "F(y)", "B_to_A_to_B": "G(F(y))",
    }  # fmt: skip

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
        compared = "the identity term |G(y) - y| compares images of both sides; set model.lambda_identity=0"
        self.equal_channels = compared if lambda_identity else ""
        self.pool_x, self.pool_y = ImagePool(pool_size), ImagePool(pool_size)

    def turns(self) -> list[Turn[Domains]]:
        steps = self.objective.steps_at(self.iteration)
        return [
            Turn("G", ("G", "F"), self.g_loss),
            Turn("D_Y", ("D_Y",), self.d_y_loss, steps, lambda: self.objective.constrain(self.D_Y)),
            Turn("D_X", ("D_X",), self.d_x_loss, steps, lambda: self.objective.constrain(self.D_X)),
        ]

    def g_loss(self, batch: Domains) -> Terms:
        """Eq. 3 as G and F minimize it, with the identity term of section 5.2 if it has a weight."""
        x, y = batch
        with_identity = self.lambda_identity > 0
        # Passes of the same network are joined where its layers allow it: faster, and equal up to rounding.
        Gx, *Gy = forward_together(self.G, x, *([y] if with_identity else []))
        Fy, FGx, *Fx = forward_together(self.F, y, Gx, *([x] if with_identity else []))
        # The discriminators' turns follow in this iteration and are trained on images from the history.
        self.history_Gx, self.history_Fy = self.pool_y.query(Gx), self.pool_x.query(Fy)
        terms = {
            "G_adversarial": self.lambda_adversarial * self.objective.g_loss(self.D_Y, Gx, y)["adversarial"],
            "F_adversarial": self.lambda_adversarial * self.objective.g_loss(self.D_X, Fy, x)["adversarial"],
            "cycle_x": self.lambda_x * l1_loss(FGx, x),
            "cycle_y": self.lambda_y * l1_loss(self.G(Fy), y),
        }
        if with_identity:
            terms["identity_x"] = self.lambda_identity * self.lambda_x * l1_loss(Fx[0], x)
            terms["identity_y"] = self.lambda_identity * self.lambda_y * l1_loss(Gy[0], y)
        return terms

    def d_y_loss(self, batch: Domains) -> Terms:
        return halved(self.objective.d_loss(self.D_Y, batch.y, self.history_Gx))

    def d_x_loss(self, batch: Domains) -> Terms:
        return halved(self.objective.d_loss(self.D_X, batch.x, self.history_Fy))

    def translate(self, image: Tensor, direction: str = "AtoB") -> Tensor:
        """G(image) for AtoB, F(image) for BtoA."""
        return {"AtoB": self.G, "BtoA": self.F}[direction](image)

    def sample(self, batch: Domains) -> dict[str, Tensor]:
        """x, G(x), F(G(x)) and y, F(y), G(F(y))."""
        x, y = batch
        Gx, Fy = self.G(x), self.F(y)
        return {
            "A": x, "A_to_B": Gx, "A_to_B_to_A": self.F(Gx),
            "B": y, "B_to_A": Fy, "B_to_A_to_B": self.G(Fy),
        }  # fmt: skip


def halved(terms: Terms) -> Terms:
    """Half of each term: D's objective is divided by 2 to slow D's learning relative to G's (section 4)."""
    return {name: term / 2 for name, term in terms.items()}
