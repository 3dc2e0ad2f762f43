"""The two opposite terms of the non-saturating loss (Arjovsky & Bottou 2017, arXiv 1701.04862, theorem 2.5).

Let D* = p / (p + p_g) be optimal for theta_0 and then held fixed. At theta = theta_0

    d/dtheta E_{p_g} -log D*  =  d/dtheta (KL(p_g||p) - 2 JS(p_g||p)):

the second term pushes p_g away from p.
"""

import math
from pathlib import Path

import torch
from torch import Tensor
from torch.distributions import Normal
from torch.func import vmap

from gan_cli.losses.adversarial import NonSaturating
from gan_cli.losses.divergences import JensenShannon, ReverseKL
from gan_cli.losses.fgan import Divergence
from gan_cli.tools.demos._common import label, line, panels, save, write_table
from gan_cli.tools.demos.mode_seeking import distance

TITLE = "The non-saturating generator minimizes KL(p_g||p) - 2 JS: two terms that pull in opposite directions"

P = Normal(torch.zeros((), dtype=torch.float64), 1.0)
THETAS = (0.25, 0.5, 1.0, 2.0, 3.0, 4.0)
Z, DZ = line(-12.0, 12.0, 601)
DENSITIES = (0.1, 1e-2, 1e-4, 1e-8, 1e-16)
DENSE = 0.1  # the density of p where there are data, or of p_g where there are samples


def run(folder: Path) -> str:
    """non_saturating.{csv,png}: the terms and their gradients for p = N(0, 1), p_g = N(theta, 1);
    non_saturating_penalties.csv: KL's integrand p_g log(p_g / p) for junk and for a dropped mode.
    """
    rows = [[theta, *terms(theta)] for theta in THETAS]
    head = ["theta", "KL", "-2 JS", "KL - 2 JS", "dKL", "d(-2 JS)", "d(KL - 2 JS)", "d E[-log D*]"]
    table = write_table(folder / "non_saturating.csv", head, rows)
    small = torch.tensor(DENSITIES, dtype=torch.float64)
    penalties = torch.stack([small, *junk_and_dropped(small)], 1).tolist()
    head = ["e", "junk: p_g = .1, p = e", "dropped mode: p = .1, p_g = e"]
    second = write_table(folder / "non_saturating_penalties.csv", head, penalties)
    plot(folder / "non_saturating.png")
    return (
        f"{table}\nd: derivative by theta; D* is held fixed in the last column\n\n{second}\npenalty: p_g log(p_g / p)"
    )


def terms(theta: float) -> list[float]:
    """KL(p_g||p), -2 JS(p_g||p), their sum, the derivatives of these three, and that of the generator's loss."""
    kl, d_kl = with_derivative(ReverseKL(), theta)
    js, d_js = with_derivative(JensenShannon(), theta)  # f-GAN's is twice the usual one
    return [kl, -js, kl - js, d_kl, -d_js, d_kl - d_js, generator_gradient(theta)]


def with_derivative(divergence: Divergence, theta: float) -> tuple[float, float]:
    """D_f(p||p_g) and its derivative by theta."""
    at = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
    value = distance(divergence, P, at, torch.ones_like(at))
    (slope,) = torch.autograd.grad(value, at)
    return value.item(), slope.item()


def generator_gradient(theta: float) -> float:
    """d/dtheta E_z -log D*(theta + z) at theta, by autograd through the loss and G(z) = theta + z, D* held fixed."""
    at = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
    x = at + Z
    score = P.log_prob(x) - Normal(at.detach(), 1.0).log_prob(x)  # D* = sigmoid(log p - log p_g)
    loss = (P.log_prob(Z).exp() * vmap(NonSaturating().g_loss)(score)).sum() * DZ
    return torch.autograd.grad(loss, at)[0].item()


def junk_and_dropped(e: Tensor) -> tuple[Tensor, Tensor]:
    """p_g log(p_g / p) of samples where p = e, and of data where p_g = e; the other density is DENSE."""
    f = ReverseKL().f
    return DENSE * f(e / DENSE), e * f(DENSE / e)


def plot(path: Path) -> None:
    figure, ((values, slopes, penalties),) = panels(1, 3, 3.9, 3.3)
    thetas = torch.linspace(0, 4, 81, dtype=torch.float64)
    kl, js, total, d_kl, d_js, d_total, loss = torch.tensor([terms(float(theta)) for theta in thetas]).T
    for axis, parts, d in ((values, (kl, js, total), ""), (slopes, (d_kl, d_js, d_total), "slope of ")):
        axis.axhline(0, color="k", linewidth=0.8)
        axis.plot(thetas, parts[0], "C0--", label=f"{d}KL(p_g||p)")
        axis.plot(thetas, parts[1], "C3:", linewidth=2, label=f"{d}-2 JS(p_g||p)")
        axis.plot(thetas, parts[2], "k-", label=f"{d}the sum")
    values.axhline(-math.log(4), color="0.6", linewidth=0.8)
    values.text(4, -math.log(4) - 0.1, "-log 4", fontsize=7, ha="right", va="top", color="0.4")
    values.set_ylim(-2.2, 6)
    label(
        values,
        "p_g = N(theta, 1), data p = N(0, 1): the two terms",
        "distance theta of p_g and p",
        "nats",
        "upper left",
    )
    slopes.plot(thetas[::8], loss[::8], "o", color="C1", label="gradient of G's loss E[-log D*]")
    slopes.set_ylim(-1, 4.2)
    label(
        slopes,
        "slopes of the terms: above 0 pulls p_g to p, below 0 pushes",
        "distance theta of p_g and p",
        "d / dtheta",
        "upper left",
    )
    e = torch.logspace(-16, -1, 100, dtype=torch.float64)
    junk, dropped = junk_and_dropped(e)
    penalties.plot(e, junk, "C0--", label="junk: p_g = 0.1, p = e")
    penalties.plot(e, dropped, "C3:", linewidth=2, label="dropped mode: p = 0.1, p_g = e")
    penalties.set_xscale("log")
    penalties.invert_xaxis()
    penalties.set_ylim(-0.5, 4.5)
    label(
        penalties,
        "KL(p_g||p): junk is costly, a missed mode is not",
        "e, the smaller density (0 lies at the right)",
        "p_g log(p_g / p)",
        "upper left",
    )
    title = (
        "The non-saturating generator's gradient: that of KL(p_g||p) - 2 JS(p_g||p); one term pulls, the other pushes"
    )
    figure.suptitle(title, fontsize=10)
    save(figure, path)
