"""DualGAN (Yi, Zhang, Tan, Gong 2017, arXiv 1704.02510): translation between two unpaired domains U and V. U is the
batch's x, V its y.
"""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import l1_loss

from gan_cli.data.base import Domains
from gan_cli.losses.objective import Objective
from gan_cli.networks.noise import NoiseDropout
from gan_cli.systems.base import System, Terms, Turn
from gan_cli.systems.terms import named


class DualGAN(System[Domains]):
    """Generators G_A: U -> V and G_B: V -> U that are to invert each other, critics D_A of V and D_B of U; eq. 1 to 3:

        l_A = D_A(G_A(u, z)) - D_A(v),    l_B = D_B(G_B(v, z')) - D_B(u),
        l_g = lambda_U |u - G_B(G_A(u, z), z')| + lambda_V |v - G_A(G_B(v, z'), z)| - D_B(G_B(v, z')) - D_A(G_A(u, z)).

    The critics' terms are those of a Wasserstein objective; another objective replaces them. In the printed eq. 3 the
    critics of the last two terms are exchanged. |.| is the mean over all values, as in the authors' code. z and z' are
    the generators' dropout, during training and afterwards; generators without dropout have no noise. An iteration
    trains both critics for objective.critic_steps steps, then both generators for one. ValueError for negative weights.
    """

    batch_type: ClassVar[type] = Domains
    sampling_networks: ClassVar[tuple[str, ...]] = ("G_A", "G_B")
    directions: ClassVar[tuple[str, ...]] = ("AtoB", "BtoA")
    equal_channels = ""
    headings: ClassVar[Mapping[str, str]] = {
        "A": "u", "A_to_B": "G_A(u)", "A_to_B_to_A": "G_B(G_A(u))",
        "B": "v", "B_to_A": "G_B(v)", "B_to_A_to_B": "G_A(G_B(v))",
    }  # fmt: skip

    def __init__(
        self,
        G_A: nn.Module,
        G_B: nn.Module,
        D_A: nn.Module,
        D_B: nn.Module,
        objective: Objective,
        lambda_U: float = 500.0,
        lambda_V: float = 500.0,
    ) -> None:
        super().__init__()
        if min(lambda_U, lambda_V) < 0:
            raise ValueError(f"lambda_U and lambda_V are 0 or more, not {lambda_U} and {lambda_V}")
        self.G_A, self.G_B, self.D_A, self.D_B = G_A, G_B, D_A, D_B
        self.objective, self.lambda_U, self.lambda_V = objective, lambda_U, lambda_V
        self.multimodal = any(isinstance(layer, NoiseDropout) for layer in self.modules())  # type: ignore[misc]

    def turns(self) -> list[Turn[Domains]]:
        steps = self.objective.steps_at(self.iteration)
        return [
            Turn("D", ("D_A", "D_B"), self.d_loss, steps, self.constrain),
            Turn("G", ("G_A", "G_B"), self.g_loss),
        ]

    def d_loss(self, batch: Domains) -> Terms:
        u, v = batch
        return {
            **named("A", self.objective.d_loss(self.D_A, v, self.G_A(u))),
            **named("B", self.objective.d_loss(self.D_B, u, self.G_B(v))),
        }

    def g_loss(self, batch: Domains) -> Terms:
        u, v = batch
        G_A_u, G_B_v = self.G_A(u), self.G_B(v)
        return {
            "reconstruction_U": self.lambda_U * l1_loss(self.G_B(G_A_u), u),
            "reconstruction_V": self.lambda_V * l1_loss(self.G_A(G_B_v), v),
            "A_adversarial": self.objective.g_loss(self.D_A, G_A_u, v)["adversarial"],
            "B_adversarial": self.objective.g_loss(self.D_B, G_B_v, u)["adversarial"],
        }

    def constrain(self) -> None:
        for critic in (self.D_A, self.D_B):
            self.objective.constrain(critic)

    def translate(self, image: Tensor, direction: str = "AtoB") -> Tensor:
        """G_A(image) for AtoB (U -> V), G_B(image) for BtoA (V -> U)."""
        return {"AtoB": self.G_A, "BtoA": self.G_B}[direction](image)

    def sample(self, batch: Domains) -> dict[str, Tensor]:
        """u, G_A(u), G_B(G_A(u)) and v, G_B(v), G_A(G_B(v))."""
        u, v = batch
        G_A_u, G_B_v = self.G_A(u), self.G_B(v)
        return {
            "A": u, "A_to_B": G_A_u, "A_to_B_to_A": self.G_B(G_A_u),
            "B": v, "B_to_A": G_B_v, "B_to_A_to_B": self.G_A(G_B_v),
        }  # fmt: skip
