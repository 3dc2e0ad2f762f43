"""InfoGAN (Chen et al. 2016, arXiv 1606.03657): latent codes c with high mutual information with G(z, c)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from gan_cli.data.base import Images
from gan_cli.losses.critic import CachedCritic
from gan_cli.losses.objective import Objective
from gan_cli.systems.base import System, Terms, Traversal, Turn
from gan_cli.systems.interpolation import COLUMNS, interpolation
from gan_cli.utils.random import Prior, Uniform, randint, uniform


class Latent(NamedTuple):
    """z: noise (N, noise_dim) in [-1, 1]; c: class numbers (N, K) int64; u: continuous codes (N, C) in [-1, 1]."""

    z: Tensor
    c: Tensor
    u: Tensor


def categorical_information(logits: Tensor, c: Tensor) -> Tensor:
    """L_I of one categorical code, in nats:  E log Q(c|x) + H(c),  H(c) = ln K.  logits (N, K), c (N,)."""
    return -cross_entropy(logits, c) + math.log(logits.shape[1])


def continuous_information(mean: Tensor, log_variance: Tensor, u: Tensor) -> Tensor:
    """L_I of the continuous codes, summed over codes:  E log N(u; mean, variance) + H(u),  H(u) = ln 2 each; all
    (N, C).
    """
    log_q = -0.5 * (math.log(2 * math.pi) + log_variance + (u - mean).square() / log_variance.exp())
    return (log_q + math.log(2)).sum(dim=1).mean()


class InfoGAN(System[Images]):
    """min_{G,Q} max_D  V(D, G) - lambda L_I(G, Q),  eq. 6; Q(c|x) shares all layers of D but the last ones.

    generator: latent vector (N, noise_dim + sum(categorical) + continuous) -> image; trunk: image -> features;
    discriminator: features -> scores; posterior: features -> a row of sum(categorical) logits, `continuous` means and
    `continuous` log variances. categorical: number of classes of each code. lambda_categorical, lambda_continuous: the
    paper's lambda for either kind of code. fix_std: Q's standard deviation is 1, as in the authors' MNIST run;
    otherwise Q learns it. Both turns have the information term, and Q is trained in D's turn, as in the authors'
    infogan_trainer.py. ValueError without any code.
    """

    def __init__(
        self,
        generator: nn.Module,
        trunk: nn.Module,
        discriminator: nn.Module,
        posterior: nn.Module,
        objective: Objective,
        noise_dim: int = 62,
        categorical: Sequence[int] = (10,),
        continuous: int = 2,
        lambda_categorical: float = 1.0,
        lambda_continuous: float = 1.0,
        fix_std: bool = True,
    ) -> None:
        super().__init__()
        if not categorical and not continuous:
            raise ValueError("InfoGAN needs at least one code: categorical is empty and continuous is 0")
        self.generator, self.trunk = generator, trunk
        self.discriminator, self.posterior = discriminator, posterior
        self.objective = objective
        self.noise: Prior = Uniform()
        self.noise_dim, self.categorical, self.continuous = noise_dim, list(categorical), continuous
        self.lambda_categorical, self.lambda_continuous = lambda_categorical, lambda_continuous
        self.fix_std = fix_std

    def turns(self) -> list[Turn[Images]]:
        steps = self.objective.steps_at(self.iteration)
        return [
            Turn("d", ("trunk", "discriminator", "posterior"), self.d_loss, steps, self.constrain),
            Turn("g", ("generator",), self.g_loss),
        ]

    def d_loss(self, batch: Images) -> Terms:
        latent = self.prior(len(batch.image))
        fake = self.G(latent)
        trunk = CachedCritic(self.trunk, fake)  # D and Q share one forward pass of the trunk
        features = trunk(fake)
        terms = self.objective.d_loss(lambda x: self.discriminator(trunk(x)), batch.image, fake)
        return {**terms, **self.information(features, latent)}

    def g_loss(self, batch: Images) -> Terms:
        latent = self.prior(len(batch.image))
        fake = self.G(latent)
        trunk = CachedCritic(self.trunk, fake)
        features = trunk(fake)
        terms = self.objective.g_loss(lambda x: self.discriminator(trunk(x)), fake, batch.image)
        return {**terms, **self.information(features, latent)}

    def information(self, features: Tensor, latent: Latent) -> Terms:
        """-lambda L_I by kind of code, of the images that have the trunk's `features` and the codes `latent`. With
        lambda 1 and Cat(10), its minimum is -ln 10.
        """
        logits, mean, log_variance = self.Q(features)
        terms = {}
        if self.categorical:
            l_i = [categorical_information(q, c) for q, c in zip(logits, latent.c.unbind(1))]
            terms["minus_L_I"] = -self.lambda_categorical * torch.stack(l_i).sum()
        if self.continuous:
            l_i_u = continuous_information(mean, log_variance, latent.u)
            terms["minus_L_I_continuous"] = -self.lambda_continuous * l_i_u
        return terms

    def constrain(self) -> None:
        for network in (self.trunk, self.discriminator):
            self.objective.constrain(network)

    def G(self, latent: Latent) -> Tensor:
        """The latent vector is noise, one-hot categorical codes, continuous codes."""
        codes = [one_hot(c, k).float() for c, k in zip(latent.c.unbind(1), self.categorical)]
        return self.generator(torch.cat([latent.z, *codes, latent.u], dim=1))

    def Q(self, features: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Features of images -> (logits of each categorical code, means, log variances of the continuous codes)."""
        sizes = [*self.categorical, self.continuous, self.continuous]
        *logits, mean, log_variance = self.posterior(features).split(sizes, dim=1)
        return logits, mean, torch.zeros_like(log_variance) if self.fix_std else log_variance

    def prior(self, n: int) -> Latent:
        """P(c), uniform over the classes and over [-1, 1], and noise that is uniform over [-1, 1]."""
        c = [randint(n, k, device=self.device) for k in self.categorical]
        return Latent(
            z=self.noise(n, self.noise_dim, device=self.device),
            c=torch.stack(c, dim=1) if c else torch.empty(n, 0, dtype=torch.int64, device=self.device),
            u=uniform(n, self.continuous, device=self.device, low=-1.0, high=1.0),
        )

    def classify(self, image: Tensor) -> Tensor:
        """argmax_k Q(c1 = k | x), (N,) int64: the first categorical code of real images (section 7.2)."""
        logits, _, _ = self.Q(self.trunk(image))
        return logits[0].argmax(dim=1)

    def generate(self, n: int, label: Tensor | None = None) -> Tensor:
        """n images; `label` (n,) sets the first categorical code."""
        latent = self.prior(n)
        if label is not None:
            latent.c[:, 0] = label
        return self.G(latent)

    def sample(self, batch: Images) -> dict[str, Tensor]:
        return {"generated": self.generate(len(batch.image))}

    def traverse(self, rows: int) -> dict[str, Traversal]:
        """One table per code, "c1", "c2", ..., categorical codes first (figure 2), and "interpolation" of the noise.

        Noise and other codes differ by row. A categorical code has a column per class. A continuous code varies from -2
        to 2 in 10 columns, beyond its training range, as in the paper.
        """
        base = self.prior(rows)
        tables = {}
        for k, classes in enumerate(self.categorical):
            tables[f"c{k + 1}"] = self._table(base, "c", k, torch.arange(classes, device=self.device))
        for k in range(self.continuous):
            values = torch.linspace(-2, 2, COLUMNS, device=self.device)
            tables[f"c{len(self.categorical) + k + 1}"] = self._table(base, "u", k, values)
        codes = [part.repeat_interleave(COLUMNS, dim=0) for part in (base.c, base.u)]
        lines = interpolation(lambda z: self.G(Latent(z, *codes)), lambda n: self.prior(n).z, rows, ", codes fixed")
        return tables | lines

    def _table(self, base: Latent, field: str, code: int, values: Tensor) -> Traversal:
        """In column j, code `code` of `field` is values[j]."""
        rows, columns = len(base.z), len(values)
        latent = Latent(*(part.repeat_interleave(columns, dim=0) for part in base))
        getattr(latent, field)[:, code] = values.repeat(rows)
        images = self.G(latent).unflatten(0, (rows, columns))
        others = "each row has noise and other codes of its own"
        if field == "c":
            name, numbers = f"c{code + 1}", [str(value) for value in values.tolist()]
            return Traversal(images, f"categorical code {name}; {others}", tuple(f"{name} = {x}" for x in numbers))
        name, outside = f"c{len(self.categorical) + code + 1}", values.abs() > 1
        return Traversal(
            images,
            f"continuous code {name}, trained on [-1, 1], between the red lines; {others}",
            tuple(f"{name} = {value:.2f}" for value in values.tolist()),
            lines=tuple(j for j in range(1, columns) if outside[j - 1] != outside[j]),
        )
