"""DualGAN (Yi, Zhang, Tan, Gong 2017, arXiv 1704.02510): G_A: U -> V and G_B: V -> U from unpaired images. U is the
batch's x, V its y.
"""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import l1_loss

from gan_cli.data.base import Domains
from gan_cli.losses.objective import Objective
from gan_cli.networks.noise import NoiseDropout
from gan_cli.systems.base import System, Terms, Turn


class DualGAN(System):
    """l_g = lambda_U |u - G_B(G_A(u, z), z')| + lambda_V |v - G_A(G_B(v, z'), z)| - D_B(G_B(v, z')) - D_A(G_A(u, z)),
    eq. 3, and  l_A = D_A(G_A(u, z)) - D_A(v),  l_B = D_B(G_B(v, z')) - D_B(u)  of the critics.

    That is with loss=dualgan or dualgan_gp; any other goes in the place of the critics' scores. D_A judges V and D_B
    judges U (the printed eq. 3 has them exchanged). z and z' are the dropout of the generators, in training and after
    it; networks without it draw nothing. |.| is the mean over all values, as in the code. One turn of both critics,
    objective.critic_steps times, then one of both generators. ValueError for a negative weight.
    """

    batch_type: ClassVar[type] = Domains
    sampling_networks: ClassVar[tuple[str, ...]] = ("G_A", "G_B")
    directions: ClassVar[tuple[str, ...]] = ("x2y", "y2x")

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

    def turns(self) -> list[Turn]:
        steps = self.objective.steps_at(self.iteration)
        return [
            Turn("D", ("D_A", "D_B"), self.d_loss, steps, self.constrain),
            Turn("G", ("G_A", "G_B"), self.g_loss),
        ]

    def d_loss(self, batch: Domains) -> Terms:
        u, v = batch
        terms_A = self.objective.d_loss(self.D_A, v, self.G_A(u))
        terms_B = self.objective.d_loss(self.D_B, u, self.G_B(v))
        return {f"A_{name}": term for name, term in terms_A.items()} | {
            f"B_{name}": term for name, term in terms_B.items()
        }

    def g_loss(self, batch: Domains) -> Terms:
        u, v = batch
        fake_v, fake_u = self.G_A(u), self.G_B(v)
        return {
            "reconstruction_U": self.lambda_U * l1_loss(self.G_B(fake_v), u),
            "reconstruction_V": self.lambda_V * l1_loss(self.G_A(fake_u), v),
            "A_adversarial": self.objective.g_loss(self.D_A, fake_v, v)["adversarial"],
            "B_adversarial": self.objective.g_loss(self.D_B, fake_u, u)["adversarial"],
        }

    def constrain(self) -> None:
        for critic in (self.D_A, self.D_B):
            self.objective.constrain(critic)

    def translate(self, image: Tensor, direction: str = "x2y") -> Tensor:
        """G_A(image) for "x2y", G_B(image) for "y2x"."""
        return {"x2y": self.G_A, "y2x": self.G_B}[direction](image)

    def sample(self, batch: Domains) -> dict[str, Tensor]:
        """u, G_A(u), G_B(G_A(u)) and v, G_B(v), G_A(G_B(v))."""
        u, v = batch
        fake_v, fake_u = self.G_A(u), self.G_B(v)
        return {"u": u, "G_A": fake_v, "G_BG_A": self.G_B(fake_v), "v": v, "G_B": fake_u, "G_AG_B": self.G_A(fake_u)}
