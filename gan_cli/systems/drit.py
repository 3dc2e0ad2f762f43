"""DRIT (Lee et al. 2018, arXiv 1808.00948) and DRIT++ (2020, arXiv 1905.01270): content that two domains share, and
attributes of each.
"""

from typing import ClassVar, NamedTuple

from torch import Tensor, nn
from torch.nn.functional import l1_loss, softplus

from gan_cli.data.base import Domains
from gan_cli.losses.objective import Objective
from gan_cli.losses.regularizers import kl_to_normal, mode_seeking
from gan_cli.systems.base import System, Terms, Turn
from gan_cli.systems.terms import at_scales, named, total
from gan_cli.utils.random import normal

Code = tuple[Tensor, Tensor | None]
"""Mean and log variance (N, latent_dim) of an attribute; None where it is deterministic."""

ROUTES = {"x2y": ("x", "y"), "y2x": ("y", "x")}  # direction: from, to


class Swap(NamedTuple):
    """What the first translation makes of x and y: contents c (N, C, h, w), attributes z (N, latent_dim) and the codes
    they come from; u = G_X(c_y, z_x) and v = G_Y(c_x, z_y).
    """

    c_x: Tensor
    c_y: Tensor
    z_x: Tensor
    z_y: Tensor
    code_x: Code
    code_y: Code
    u: Tensor
    v: Tensor


def undecided(score: Tensor) -> Tensor:
    """Binary cross-entropy of sigmoid(score) with the target 1/2: at least ln 2, where the critic cannot tell."""
    return 0.5 * (softplus(score) + softplus(-score)).mean()


class DRIT(System):
    """Cross-cycle consistency: two images exchange attributes, and exchange them back.

    content: image, domain -> content; attribute: image, domain -> (mean, log variance | None); generator: content,
    attribute, domain -> image. A domain is "x" or "y"; each of these networks holds both domains' layers and those that
    they share, so that no layer belongs to two networks. D_X, D_Y judge images with an encoded attribute, D2_X, D2_Y
    those with a random one, all of them networks.multiscale.MultiScale; D_content tells the domain of a content. The
    first half of a batch is translated, the second is what D2_X and D2_Y take for real (the code's 1 + 1).

    An iteration is d_iter iterations of the code: D_content moves d_iter times, each on a batch of its own; then come
    the four critics, encoders and generators, and content encoder and generators again. The weights are those of
    the code; lambda_content 0: no content critic; lambda_ms 0: DRIT without the mode-seeking term of DRIT++, and a
    single random attribute. Differs: each turn draws its own attributes.
    """

    batch_type: ClassVar[type] = Domains
    sampling_networks: ClassVar[tuple[str, ...]] = ("content", "attribute", "generator")
    directions: ClassVar[tuple[str, ...]] = ("x2y", "y2x")
    multimodal: ClassVar[bool] = True
    pack_size = 2

    def __init__(
        self,
        content: nn.Module,
        attribute: nn.Module,
        generator: nn.Module,
        D_X: nn.Module,
        D_Y: nn.Module,
        D2_X: nn.Module,
        D2_Y: nn.Module,
        D_content: nn.Module,
        objective: Objective,
        latent_dim: int = 8,
        d_iter: int = 3,
        lambda_cycle: float = 10.0,
        lambda_reconstruction: float = 10.0,
        lambda_content: float = 1.0,
        lambda_latent: float = 10.0,
        lambda_attribute: float = 0.01,
        lambda_norm: float = 0.01,
        lambda_ms: float = 1.0,
    ) -> None:
        super().__init__()
        if d_iter < 1:
            raise ValueError(f"d_iter is at least 1, not {d_iter}: lambda_content=0 is the game without content critic")
        self.content, self.attribute, self.generator = content, attribute, generator
        self.D_X, self.D_Y, self.D2_X, self.D2_Y, self.D_content = D_X, D_Y, D2_X, D2_Y, D_content
        self.objective = objective
        self.latent_dim, self.d_iter = latent_dim, d_iter
        self.lambda_cycle, self.lambda_reconstruction = lambda_cycle, lambda_reconstruction
        self.lambda_content, self.lambda_latent = lambda_content, lambda_latent
        self.lambda_attribute, self.lambda_norm, self.lambda_ms = lambda_attribute, lambda_norm, lambda_ms

    def turns(self) -> list[Turn]:
        steps = self.objective.steps_at(self.iteration)
        judges = ("D_X", "D_Y", "D2_X", "D2_Y")
        d_iter = self.d_iter if self.lambda_content else 0
        return [
            Turn("D_content", ("D_content",), self.content_critic_loss, d_iter, clip_norm=5.0),
            Turn("D", judges, self.d_loss, steps, self.constrain),
            Turn("EG", ("content", "attribute", "generator"), self.eg_loss),
            Turn("G", ("content", "generator"), self.g_loss),
        ]

    def constrain(self) -> None:
        for D in (self.D_X, self.D_Y, self.D2_X, self.D2_Y):
            self.objective.constrain(D)

    def content_critic_loss(self, batch: Domains) -> Terms:
        """D^c scores content of y as real and content of x as fake."""
        x, y = _halves(batch)[0]
        c_x, c_y = self.content(x, "x"), self.content(y, "y")
        return {"adversarial": softplus(-self.D_content(c_y)).mean() + softplus(self.D_content(c_x)).mean()}

    def d_loss(self, batch: Domains) -> Terms:
        (x, y), random = _halves(batch)
        swap = self.swap(x, y)
        _, us, vs = self.randomly(swap.c_x, swap.c_y)
        return {
            **named("X", self.judged(self.D_X, x, swap.u)),
            **named("Y", self.judged(self.D_Y, y, swap.v)),
            **named("X2", total(self.judged(self.D2_X, random.x, fake) for fake in us)),
            **named("Y2", total(self.judged(self.D2_Y, random.y, fake) for fake in vs)),
        }

    def eg_loss(self, batch: Domains) -> Terms:
        """All that has to do with encoded attributes."""
        x, y = _halves(batch)[0]
        G = self.generator
        c_x, c_y, z_x, z_y, code_x, code_y, u, v = self.swap(x, y)
        back_x = G(self.content(v, "y"), self.encode(u, "x")[0], "x")
        back_y = G(self.content(u, "x"), self.encode(v, "y")[0], "y")
        terms = {
            **named("X", self.fooled(self.D_X, u, x)),
            **named("Y", self.fooled(self.D_Y, v, y)),
            "cross_cycle": self.lambda_cycle * (l1_loss(back_x, x) + l1_loss(back_y, y)),
            "reconstruction": self.lambda_reconstruction
            * (l1_loss(G(c_x, z_x, "x"), x) + l1_loss(G(c_y, z_y, "y"), y)),
            "attribute": self.lambda_attribute * (_excess(*code_x) + _excess(*code_y)),
            "content_norm": self.lambda_norm * (c_x.square().mean() + c_y.square().mean()),
        }
        if self.lambda_content:
            both = undecided(self.D_content(c_x)) + undecided(self.D_content(c_y))
            terms["content_adversarial"] = self.lambda_content * both
        return terms

    def g_loss(self, batch: Domains) -> Terms:
        """All that has to do with random attributes z: D2, latent regression, mode seeking."""
        (x, y), random = _halves(batch)
        zs, us, vs = self.randomly(self.content(x, "x"), self.content(y, "y"))
        (mean_x, _), (mean_y, _) = self.attribute(us[0], "x"), self.attribute(vs[0], "y")
        terms = {
            **named("X2", total(self.fooled(self.D2_X, fake, random.x) for fake in us)),
            **named("Y2", total(self.fooled(self.D2_Y, fake, random.y) for fake in vs)),
            "latent": self.lambda_latent * (l1_loss(mean_x, zs[0]) + l1_loss(mean_y, zs[0])),
        }
        if self.lambda_ms:
            terms["mode_seeking"] = self.lambda_ms * (
                mode_seeking(us[0], us[1], zs[0], zs[1]) + mode_seeking(vs[0], vs[1], zs[0], zs[1])
            )
        return terms

    def swap(self, x: Tensor, y: Tensor) -> Swap:
        c_x, c_y = self.content(x, "x"), self.content(y, "y")
        (z_x, code_x), (z_y, code_y) = self.encode(x, "x"), self.encode(y, "y")
        u, v = self.generator(c_y, z_x, "x"), self.generator(c_x, z_y, "y")
        return Swap(c_x, c_y, z_x, z_y, code_x, code_y, u, v)

    def encode(self, image: Tensor, domain: str) -> tuple[Tensor, Code]:
        """An attribute drawn from its posterior, or the deterministic one; and its code."""
        mean, log_variance = self.attribute(image, domain)
        if log_variance is None:
            return mean, (mean, None)
        return mean + (0.5 * log_variance).exp() * self.prior(len(image)), (mean, log_variance)

    def randomly(self, c_x: Tensor, c_y: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Random attributes z, two for the mode-seeking term or else one, with the images G_X(c_y, z), G_Y(c_x, z)."""
        zs = [self.prior(len(c_x)) for _ in range(2 if self.lambda_ms else 1)]
        return zs, [self.generator(c_y, z, "x") for z in zs], [self.generator(c_x, z, "y") for z in zs]

    def judged(self, D: nn.Module, real: Tensor, fake: Tensor) -> Terms:
        """A critic's loss, summed over its scales."""
        return total(self.objective.d_loss(critic, real, fake) for critic in at_scales(D))

    def fooled(self, D: nn.Module, fake: Tensor, real: Tensor) -> Terms:
        """A generator's loss, summed over the critic's scales."""
        return total(self.objective.g_loss(critic, fake, real) for critic in at_scales(D))

    def prior(self, n: int) -> Tensor:
        """z ~ N(0, I), (n, latent_dim)."""
        return normal(n, self.latent_dim, device=self.device)

    def translate(self, image: Tensor, direction: str = "x2y") -> Tensor:
        """The content of `image` with a random attribute of the other domain."""
        source, target = ROUTES[direction]
        return self.generator(self.content(image, source), self.prior(len(image)), target)

    def transfer(self, image: Tensor, style: Tensor, direction: str = "x2y") -> Tensor:
        """The content of `image` with the attribute of `style`, images of the target domain; as many of these, or one.

        Differs: the mean of the attribute's posterior, so that the same pictures give the same one; the code's
        test_forward_transfer draws from it.
        """
        source, target = ROUTES[direction]
        z = self.attribute(style, target)[0].expand(len(image), -1)
        return self.generator(self.content(image, source), z, target)

    def sample(self, batch: Domains) -> dict[str, Tensor]:
        """x, two images Gx and Gx2 with random attributes, x_with_y with that of y; and the same of y."""
        x, y = batch
        return {
            "x": x, "Gx": self.translate(x), "Gx2": self.translate(x), "x_with_y": self.transfer(x, y),
            "y": y, "Fy": self.translate(y, "y2x"), "Fy2": self.translate(y, "y2x"),
            "y_with_x": self.transfer(y, x, "y2x"),
        }  # fmt: skip


def _halves(batch: Domains) -> tuple[Domains, Domains]:
    (x, x2), (y, y2) = batch.x.chunk(2), batch.y.chunk(2)
    return Domains(x, y), Domains(x2, y2)


def _excess(mean: Tensor, log_variance: Tensor | None) -> Tensor:
    """What keeps attributes near the prior: the KL divergence, or mean z^2 of deterministic ones."""
    return mean.square().mean() if log_variance is None else kl_to_normal(mean, log_variance)
