"""How well a Gaussian fits a mixture on the line, in the measure of every f-divergence (Nowozin et al. 2016, arXiv
1606.00709, section 2.4). All integrals are sums over a fine grid, in float64; no sample is drawn.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from gan_cli.losses import divergences as d
from gan_cli.metrics.base import EvaluationData, Metric

DIVERGENCES: dict[str, d.Divergence] = {
    "kl": d.KL(), "reverse_kl": d.ReverseKL(), "js": d.JensenShannon(), "jeffrey": d.Jeffrey(),
    "pearson": d.PearsonChi2(), "neyman": d.NeymanChi2(), "hellinger": d.SquaredHellinger(), "tv": d.TotalVariation(),
}
REACH, STEPS = 14.0, 6000  # the grid: standard deviations beyond every mean, and intervals
LEAST = -600.0  # log density below which it is rounded up, so that p/q stays a number


class Line:
    """The real line under the mixture p of `data` and q = N(mu, sigma^2). x: grid (N,); p, q: densities (N,).

    data: has means, stds and log_density. mu, sigma: scalars in float64; what is returned is differentiable in them.
    """

    def __init__(self, data: Any, mu: Tensor, sigma: Tensor) -> None:
        means = torch.cat([data.means.cpu().double(), mu.detach()[None]])
        reach = REACH * torch.cat([data.stds.cpu().double(), sigma.detach()[None]])
        low, high = float((means - reach).min()), float((means + reach).max())
        self.x = torch.linspace(low, high, STEPS + 1, dtype=torch.float64)
        self.dx = (high - low) / STEPS
        log_q = -((self.x - mu) / sigma).square() / 2 - (sigma * math.sqrt(2 * math.pi)).log()
        self.p = data.log_density(self.x).clamp(min=LEAST).exp()
        self.q = log_q.clamp(min=LEAST).exp()

    def divergence(self, divergence: d.Divergence) -> Tensor:
        """D_f(P||Q); inf or huge where it is infinite, as Pearson's chi2 is for a narrow q."""
        return (self.q * divergence.f(self.p / self.q)).sum() * self.dx

    def bound(self, divergence: d.Divergence, scores: Tensor) -> Tensor:
        """F of the scores V(x), (N,):  E_P g_f(V) - E_Q f*(g_f(V))."""
        gain = self.p * divergence.activation(scores) - self.q * divergence.conjugate_at(scores)
        return gain.sum() * self.dx


@dataclass
class GaussianFit(Metric):
    """mu and sigma of a generator mu + sigma z, the divergences between the data and N(mu, sigma^2), and, of an f-GAN,
    its learned bound F: at most its divergence D_f, and for the same mu and sigma the nearer the higher. GAN's
    divergence is `js` less log 4.
    """

    better: ClassVar = {"bound": "higher", "mu": None, "sigma": None, **dict.fromkeys(DIVERGENCES, "lower")}

    def check(self, system: Any, data: Any) -> None:
        if not hasattr(data, "log_density"):
            raise ValueError("the gaussian_fit metric needs data of known density on the line: dataset=mixture_1d")
        if not hasattr(getattr(system, "generator", None), "sigma"):
            raise ValueError("the gaussian_fit metric needs a generator mu + sigma z: network=fgan_gaussian")

    def __call__(self, evidence: EvaluationData) -> dict[str, float]:
        system = evidence.system
        mu, sigma = system.generator.mu.detach().double().cpu(), system.generator.sigma.detach().double().cpu().abs()
        if not (mu.isfinite() and 0 < sigma < math.inf):
            raise ValueError(f"the generator's mu is {mu:g} and its sigma {sigma:g}: there is no density to score")
        line = Line(evidence.data, mu, sigma)
        values = {"mu": mu, "sigma": sigma} | {name: line.divergence(f) for name, f in DIVERGENCES.items()}
        divergence = getattr(system.objective.adversarial, "divergence", None)
        if divergence is not None:
            points = line.x.float().to(evidence.device)[:, None, None, None]
            values = {"bound": line.bound(divergence, system.discriminator(points).double().cpu())} | values
        return {name: float(value) for name, value in values.items()}
