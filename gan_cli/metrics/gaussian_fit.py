"""Fit of a Gaussian generator to a mixture on the real line, by every f-divergence.

The example of f-GAN (Nowozin et al. 2016, arXiv 1606.00709, section 2.4). All integrals are sums over a fine grid, in
float64, without sampling.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.data.base import Dataset, HasLogDensity
from gan_cli.losses import divergences as d
from gan_cli.losses.fgan import FGAN, Divergence
from gan_cli.metrics.base import Better, EvaluationData, Metric, System
from gan_cli.networks.fgan import GaussianGenerator
from gan_cli.systems.gan import GAN

DIVERGENCES: dict[str, Divergence] = {
    "kl": d.KL(), "reverse_kl": d.ReverseKL(), "js": d.JensenShannon(), "jeffrey": d.Jeffrey(),
    "pearson": d.PearsonChi2(), "neyman": d.NeymanChi2(), "hellinger": d.SquaredHellinger(), "tv": d.TotalVariation(),
}
REACH = 14.0  # standard deviations by which the grid extends beyond every mean
STEPS = 6000  # intervals of the grid
LEAST = -600.0  # lower bound of log densities: p/q must not become 0/0


class Line:
    """A grid on the real line with the density p of `data` and q = N(mu, sigma^2).

    x: grid (N,); p, q: densities (N,). mu, sigma: scalars in float64; all results are differentiable in them.
    """

    def __init__(self, data: HasLogDensity, mu: Tensor, sigma: Tensor) -> None:
        means = torch.cat([data.means.cpu().double(), mu.detach()[None]])
        reach = REACH * torch.cat([data.stds.cpu().double(), sigma.detach()[None]])
        low, high = float((means - reach).min()), float((means + reach).max())
        self.x = torch.linspace(low, high, STEPS + 1, dtype=torch.float64)
        self.dx = (high - low) / STEPS
        log_q = -((self.x - mu) / sigma).square() / 2 - (sigma * math.sqrt(2 * math.pi)).log()
        self.p = data.log_density(self.x).clamp(min=LEAST).exp()
        self.q = log_q.clamp(min=LEAST).exp()

    def divergence(self, divergence: Divergence) -> Tensor:
        """D_f(P||Q); infinite or very large where the true value is infinite, as Pearson's chi2 for a narrow q."""
        return (self.q * divergence.f(self.p / self.q)).sum() * self.dx

    def bound(self, divergence: Divergence, scores: Tensor) -> Tensor:
        """F = E_P g_f(V) - E_Q f*(g_f(V)), eq. 6, of the scores V(x), (N,): a lower bound of D_f(P||Q)."""
        gain = self.p * divergence.activation(scores) - self.q * divergence.conjugate_at(scores)
        return gain.sum() * self.dx


@dataclass
class GaussianFit(Metric):
    """mu and sigma of a generator mu + sigma z, and the divergences of the data from N(mu, sigma^2).

    bound: for an f-GAN, the learned bound F, at most its divergence D_f; for the same mu and sigma, higher is closer.
    The divergence of the GAN loss is `js` minus log 4.
    """

    better: ClassVar[Better] = {"bound": "higher", "mu": None, "sigma": None, **dict.fromkeys(DIVERGENCES, "lower")}

    def check(self, system: System | None, data: Dataset | None) -> None:
        if not isinstance(data, HasLogDensity):
            raise ValueError("the gaussian_fit metric needs data of known density on the line: dataset=mixture_1d")
        if not isinstance(system, GAN) or not isinstance(system.generator, GaussianGenerator):
            raise ValueError("the gaussian_fit metric needs a generator mu + sigma z: network=fgan_gaussian")

    def __call__(self, evaluation: EvaluationData) -> dict[str, float]:
        system, data = evaluation.system, evaluation.data
        assert isinstance(system, GAN) and isinstance(system.generator, GaussianGenerator)
        assert isinstance(data, HasLogDensity)
        mu, sigma = system.generator.mu.detach().double().cpu(), system.generator.sigma.detach().double().cpu().abs()
        if not (mu.isfinite() and 0 < sigma < math.inf):
            raise ValueError(f"the generator's mu is {mu:g} and its sigma {sigma:g}: there is no density to score")
        line = Line(data, mu, sigma)
        values = {"mu": mu, "sigma": sigma} | {name: line.divergence(f) for name, f in DIVERGENCES.items()}
        loss = system.objective.adversarial
        if isinstance(loss, FGAN):
            points = line.x.float().to(evaluation.device)[:, None, None, None]
            values = {"bound": line.bound(loss.divergence, system.discriminator(points).double().cpu())} | values
        return {name: float(value) for name, value in values.items()}
