"""One Gaussian fitted to two modes by three divergences (Goodfellow 2016, arXiv 1701.00160, figure 14)."""

from pathlib import Path

import torch
from torch import Tensor
from torch.distributions import Distribution, Normal

from gan_cli.evaluation.charts import STYLES
from gan_cli.losses.divergences import KL, JensenShannon, ReverseKL
from gan_cli.losses.fgan import Divergence
from gan_cli.tools.demos._common import label, line, minimize, mixture, panels, save, write_table

TITLE = "One Gaussian fitted to two modes: KL covers both, reverse KL fits one, Jensen-Shannon does either"

TARGETS = {weight: mixture([weight, 1 - weight], [-2.0, 2.0], [0.7, 0.7]) for weight in (0.6, 0.7)}
X, DX = line(-12.0, 12.0, 601)
DIVERGENCES: dict[str, Divergence] = {"KL": KL(), "reverse KL": ReverseKL(), "Jensen-Shannon": JensenShannon()}
STARTS, STEPS = ((-2.0, 0.7), (0.0, 2.0), (2.0, 0.7)), 200

Fits = dict[str, tuple[float, float]]


def run(folder: Path) -> str:
    """mode_seeking.{csv,png}: mu and sigma of each fit, its divergences from the target, and its mass beyond 0."""
    all_fits = {weight: {name: fit(d, target) for name, d in DIVERGENCES.items()} for weight, target in TARGETS.items()}
    rows = [
        [weight, name, *q, *(float(distance(d, TARGETS[weight], *map(X.new_tensor, q))) for d in DIVERGENCES.values()),
         1 - Normal(*q).cdf(torch.tensor(0.0)).item()]
        for weight, fits in all_fits.items() for name, q in fits.items()
    ]  # fmt: skip
    plot(folder / "mode_seeking.png", all_fits)
    head = ["weight", "fitted by", "mu", "sigma", *DIVERGENCES, "Q(x > 0)"]
    table = write_table(folder / "mode_seeking.csv", head, rows)
    return f"{table}\ntarget: weight N(-2, 0.7^2) + (1 - weight) N(2, 0.7^2); Jensen-Shannon: twice the usual (f-GAN)"


def distance(divergence: Divergence, target: Distribution, mu: Tensor, sigma: Tensor) -> Tensor:
    """D_f(P || N(mu, sigma^2)) = int q f(p / q) by quadrature on X; mu and sigma are single values or (N, 1)."""
    log_q = Normal(mu, sigma).log_prob(X)
    return (log_q.exp() * divergence.f((target.log_prob(X) - log_q).exp())).sum(-1) * DX


def fit(divergence: Divergence, target: Distribution) -> tuple[float, float]:
    """(mu, sigma) of the least divergence: Adam in (mu, log sigma) from each mode and from between them."""
    mu, sigma = torch.tensor(STARTS, dtype=torch.float64)[:, :, None].unbind(1)
    theta = [mu.clone().requires_grad_(), sigma.log().requires_grad_()]
    for _ in minimize(theta, lambda: distance(divergence, target, theta[0], theta[1].exp()).sum(), STEPS, lr=0.05):
        pass
    with torch.no_grad():
        mu, sigma = theta[0], theta[1].exp()
        best = int(distance(divergence, target, mu, sigma).argmin())
    return mu[best].item(), sigma[best].item()


def plot(path: Path, all_fits: dict[float, Fits]) -> None:
    """The target density and the fits, for each weight of the modes."""
    figure, (axes,) = panels(1, 2, 4.4, 3.4)
    for axis, (weight, fits) in zip(axes, all_fits.items()):
        axis.fill_between(X, TARGETS[weight].log_prob(X).exp(), color="0.8", label="target")
        for (name, q), style, width in zip(fits.items(), STYLES, (1.5, 1.5, 3.0)):
            text = "{}: mu {:.2f}, sigma {:.2f}".format(name, *q)
            axis.plot(X, Normal(*q).log_prob(X).exp(), style, linewidth=width, label=text)
        axis.set_xlim(-6, 6)
        axis.set_ylim(0, 0.8)
        label(axis, f"target: modes of weight {weight:g} and {1 - weight:g}", "x", "density", "upper right")
    save(figure, path)
