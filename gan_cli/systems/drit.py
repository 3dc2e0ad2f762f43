"""DRIT (Lee et al. 2018, arXiv 1808.00948) and DRIT++ (Lee et al. 2020, arXiv 1905.01270): diverse translation between
two unpaired domains by a content space that both share and an attribute space of each.
"""

from collections.abc import Mapping
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
"""Mean and log variance (N, latent_dim) of an attribute's posterior; without log variance it is deterministic."""

ROUTES = {"AtoB": ("x", "y"), "BtoA": ("y", "x")}  # direction: source domain, target domain


class Swap(NamedTuple):
    """The first translation, in which x and y exchange their attributes: u = G_X(c_y, z_x) and v = G_Y(c_x, z_y) with
    contents c (N, C, h, w), attributes z (N, latent_dim) and the codes that z was sampled from.
    """

    c_x: Tensor
    c_y: Tensor
    z_x: Tensor
    z_y: Tensor
    code_x: Code
    code_y: Code
    u: Tensor
    v: Tensor


def content_confusion(score: Tensor) -> Tensor:
    """Binary cross-entropy of sigmoid(score) with the target 1/2; its minimum ln 2 is a critic that cannot decide."""
    return 0.5 * (softplus(score) + softplus(-score)).mean()


class DRIT(System[Domains]):
    """Disentangled representation with cross-cycle consistency: two images exchange attributes, and exchange them back.

    content: image, domain -> content. attribute: image, domain -> (mean, log variance | None). generator: content,
    attribute, domain -> image. A domain is "x" (A) or "y" (B); each of these networks holds the layers of both domains
    and those that they share, so that no layer belongs to two networks. D_X and D_Y score images with an encoded
    attribute, D2_X and D2_Y those with a random one; all are networks.multiscale.MultiScale. D_content scores a content
    by its domain. The first half of a batch is translated, the second half are the real images of D2_X and D2_Y, as in
    the authors' code (one of each).

    An iteration is d_iter iterations of the code: D_content is trained d_iter times, on another batch each time, then
    the four image critics, then encoders and generator, then content encoder and generator. The weights are those of
    the code. lambda_content 0: no content critic. lambda_ms 0: DRIT, without the mode-seeking term of DRIT++ and with a
    single random attribute per image. ValueError for a d_iter below 1.

    Differs: each turn samples attributes and computes its forward passes anew. The code's second step of the generator
    goes back through the graph from before the first (model.py:301, 341), which changes the gradient of the content
    encoder by half.
    """

    batch_type: ClassVar[type] = Domains
    sampling_networks: ClassVar[tuple[str, ...]] = ("content", "attribute", "generator")
    directions: ClassVar[tuple[str, ...]] = ("AtoB", "BtoA")
    headings: ClassVar[Mapping[str, str]] = {
        "A": "x", "A_to_B_random_1": "x to y, z1", "A_to_B_random_2": "x to y, z2", "A_to_B_style_of_B": "style of y",
        "B": "y", "B_to_A_random_1": "y to x, z1", "B_to_A_random_2": "y to x, z2", "B_to_A_style_of_A": "style of x",
    }  # fmt: skip
    multimodal: ClassVar[bool] = True
    pack_size = 2
    batch_term = "uses the two halves of the batch for different terms"

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
            raise ValueError(f"d_iter is at least 1, not {d_iter}: lambda_content=0 removes the content critic")
        self.content, self.attribute, self.generator = content, attribute, generator
        self.D_X, self.D_Y, self.D2_X, self.D2_Y, self.D_content = D_X, D_Y, D2_X, D2_Y, D_content
        self.objective = objective
        self.latent_dim, self.d_iter = latent_dim, d_iter
        self.lambda_cycle, self.lambda_reconstruction = lambda_cycle, lambda_reconstruction
        self.lambda_content, self.lambda_latent = lambda_content, lambda_latent
        self.lambda_attribute, self.lambda_norm, self.lambda_ms = lambda_attribute, lambda_norm, lambda_ms

    def turns(self) -> list[Turn[Domains]]:
        steps = self.objective.steps_at(self.iteration)
        content_steps = self.d_iter if self.lambda_content else 0
        return [
            Turn("D_content", ("D_content",), self.content_critic_loss, content_steps, clip_norm=5.0),
            Turn("D", ("D_X", "D_Y", "D2_X", "D2_Y"), self.d_loss, steps, self.constrain),
            Turn("EG", ("content", "attribute", "generator"), self.eg_loss),
            Turn("G", ("content", "generator"), self.g_loss),
        ]

    def constrain(self) -> None:
        for D in (self.D_X, self.D_Y, self.D2_X, self.D2_Y):
            self.objective.constrain(D)

    def content_critic_loss(self, batch: Domains) -> Terms:
        """Loss of D^c, which is to score contents of y as real and contents of x as fake."""
        x, y = _halves(batch)[0]
        c_x, c_y = self.content(x, "x"), self.content(y, "y")
        return {"adversarial": softplus(-self.D_content(c_y)).mean() + softplus(self.D_content(c_x)).mean()}

    def d_loss(self, batch: Domains) -> Terms:
        (x, y), real = _halves(batch)
        swap = self.swap(x, y)
        _, us, vs = self.translate_randomly(swap.c_x, swap.c_y)
        return {
            **named("X", self.critic_terms(self.D_X, x, swap.u)),
            **named("Y", self.critic_terms(self.D_Y, y, swap.v)),
            **named("X2", total(self.critic_terms(self.D2_X, real.x, u) for u in us)),
            **named("Y2", total(self.critic_terms(self.D2_Y, real.y, v) for v in vs)),
        }

    def eg_loss(self, batch: Domains) -> Terms:
        """All terms of encoded attributes: D, cross-cycle, reconstruction, prior of the attributes, content critic."""
        x, y = _halves(batch)[0]
        G = self.generator
        c_x, c_y, z_x, z_y, code_x, code_y, u, v = self.swap(x, y)
        back_x = G(self.content(v, "y"), self.encode(u, "x")[0], "x")
        back_y = G(self.content(u, "x"), self.encode(v, "y")[0], "y")
        terms = {
            **named("X", self.generator_terms(self.D_X, u, x)),
            **named("Y", self.generator_terms(self.D_Y, v, y)),
            "cross_cycle": self.lambda_cycle * (l1_loss(back_x, x) + l1_loss(back_y, y)),
            "reconstruction": self.lambda_reconstruction
            * (l1_loss(G(c_x, z_x, "x"), x) + l1_loss(G(c_y, z_y, "y"), y)),
            "attribute": self.lambda_attribute * (_distance_to_prior(*code_x) + _distance_to_prior(*code_y)),
            "content_norm": self.lambda_norm * (c_x.square().mean() + c_y.square().mean()),
        }
        if self.lambda_content:
            confusion = content_confusion(self.D_content(c_x)) + content_confusion(self.D_content(c_y))
            terms["content_adversarial"] = self.lambda_content * confusion
        return terms

    def g_loss(self, batch: Domains) -> Terms:
        """All terms of random attributes z: D2, latent regression, mode seeking."""
        (x, y), real = _halves(batch)
        zs, us, vs = self.translate_randomly(self.content(x, "x"), self.content(y, "y"))
        (mean_x, _), (mean_y, _) = self.attribute(us[0], "x"), self.attribute(vs[0], "y")
        terms = {
            **named("X2", total(self.generator_terms(self.D2_X, u, real.x) for u in us)),
            **named("Y2", total(self.generator_terms(self.D2_Y, v, real.y) for v in vs)),
            "latent": self.lambda_latent * (l1_loss(mean_x, zs[0]) + l1_loss(mean_y, zs[0])),
        }
        if self.lambda_ms:
            terms["mode_seeking"] = self.lambda_ms * (
                mode_seeking(us[0], us[1], zs[0], zs[1]) + mode_seeking(vs[0], vs[1], zs[0], zs[1])
            )
        return terms

    def swap(self, x: Tensor, y: Tensor) -> Swap:
        """The images after the exchange of attributes, with all that they were made of."""
        c_x, c_y = self.content(x, "x"), self.content(y, "y")
        (z_x, code_x), (z_y, code_y) = self.encode(x, "x"), self.encode(y, "y")
        u, v = self.generator(c_y, z_x, "x"), self.generator(c_x, z_y, "y")
        return Swap(c_x, c_y, z_x, z_y, code_x, code_y, u, v)

    def encode(self, image: Tensor, domain: str) -> tuple[Tensor, Code]:
        """An attribute (N, latent_dim) sampled from its posterior, or the deterministic one, and its code."""
        mean, log_variance = self.attribute(image, domain)
        if log_variance is None:
            return mean, (mean, None)
        return mean + (0.5 * log_variance).exp() * self.prior(len(image)), (mean, log_variance)

    def translate_randomly(self, c_x: Tensor, c_y: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Random attributes z with the images G_X(c_y, z) and G_Y(c_x, z): two of each with the mode-seeking term, else
        one.
        """
        zs = [self.prior(len(c_x)) for _ in range(2 if self.lambda_ms else 1)]
        return zs, [self.generator(c_y, z, "x") for z in zs], [self.generator(c_x, z, "y") for z in zs]

    def critic_terms(self, D: nn.Module, real: Tensor, fake: Tensor) -> Terms:
        """The loss of an image critic, summed over its scales."""
        return total(self.objective.d_loss(critic, real, fake) for critic in at_scales(D))

    def generator_terms(self, D: nn.Module, fake: Tensor, real: Tensor) -> Terms:
        """The generator's adversarial loss, summed over the scales of D."""
        return total(self.objective.g_loss(critic, fake, real) for critic in at_scales(D))

    def prior(self, n: int) -> Tensor:
        """z ~ N(0, I), (n, latent_dim)."""
        return normal(n, self.latent_dim, device=self.device)

    def translate(self, image: Tensor, direction: str = "AtoB") -> Tensor:
        """Images with the contents of `image` and random attributes of the target domain."""
        return self.translate_from(image, self.prior(len(image)), direction)

    def translate_from(self, image: Tensor, z: Tensor, direction: str = "AtoB") -> Tensor:
        """Images with the contents of `image` and the attributes z (N, latent_dim) of the target domain."""
        source, target = ROUTES[direction]
        return self.generator(self.content(image, source), z, target)

    def transfer(self, image: Tensor, style: Tensor, direction: str = "AtoB") -> Tensor:
        """Images with the contents of `image` and the attributes of `style`: target images, as many as `image` or one.

        Differs: the attribute is the mean of its posterior, so that the output is deterministic; the code's
        test_forward_transfer samples from the posterior.
        """
        source, target = ROUTES[direction]
        z = self.attribute(style, target)[0].expand(len(image), -1)
        return self.generator(self.content(image, source), z, target)

    def sample(self, batch: Domains) -> dict[str, Tensor]:
        """Of each domain: images, two translations with random attributes, one with the other image's attribute."""
        x, y = batch
        return {
            "A": x, "A_to_B_random_1": self.translate(x), "A_to_B_random_2": self.translate(x),
            "A_to_B_style_of_B": self.transfer(x, y),
            "B": y, "B_to_A_random_1": self.translate(y, "BtoA"), "B_to_A_random_2": self.translate(y, "BtoA"),
            "B_to_A_style_of_A": self.transfer(y, x, "BtoA"),
        }  # fmt: skip


def _halves(batch: Domains) -> tuple[Domains, Domains]:
    """The images to translate, and the real ones for D2."""
    (x, x2), (y, y2) = batch.x.chunk(2), batch.y.chunk(2)
    return Domains(x, y), Domains(x2, y2)


def _distance_to_prior(mean: Tensor, log_variance: Tensor | None) -> Tensor:
    """KL divergence of the posterior from N(0, I); of a deterministic attribute the mean of z^2."""
    return mean.square().mean() if log_variance is None else kl_to_normal(mean, log_variance)
