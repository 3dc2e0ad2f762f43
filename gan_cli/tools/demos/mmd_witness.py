"""The witness function of MMD: where two densities of equal mean and variance differ (Gretton et al. 2012, A Kernel
Two-Sample Test, section 2.3 and figure 1).

    w(t) = E_p k(t, x) - E_q k(t, y),        MMD^2 = E_p w - E_q w
"""

from pathlib import Path

import torch
from torch import Tensor
from torch.distributions import Distribution, Laplace, Normal

from gan_cli.losses.kernels import RBF, Kernel, witness
from gan_cli.losses.mmd import MMD
from gan_cli.tools.demos._common import label, line, panels, save, write_table
from gan_cli.utils import random

TITLE = "The witness function of MMD shows where a Gaussian and a Laplace density of equal variance differ"

ZERO = torch.zeros((), dtype=torch.float64)
P, Q = Normal(ZERO, 1.0), Laplace(ZERO, 0.5**0.5)  # both have mean 0 and variance 1
X, DX = line(-15.0, 15.0, 1201)
SIGMAS = (0.25, 0.5, 2.0)
SEED, N, REPEATS = 0, 1000, 20


def run(folder: Path) -> str:
    """mmd_witness.{csv,png}: MMD^2 by quadrature, and its unbiased estimates from samples, for each bandwidth."""
    with random.fork(SEED):
        pairs = [(P.sample((N, 1)), Q.sample((N, 1))) for _ in range(REPEATS)]
    rows = []
    for sigma in SIGMAS:
        loss = MMD(RBF([sigma]), unbiased=True)
        estimates = torch.stack([loss.discrepancy(x, y) for x, y in pairs])
        w = exact(RBF([sigma]))
        rows.append([sigma, squared(RBF([sigma])), estimates.mean().item(), estimates.std().item(), w.max().item()])
        rows[-1] += [w.min().item()]
    plot(folder / "mmd_witness.png", pairs[0])
    head = ["sigma", "MMD^2", "mean of estimates", "their std", "largest w", "least w"]
    table = write_table(folder / "mmd_witness.csv", head, rows)
    return f"{table}\nestimates: unbiased, {REPEATS} times from {N} samples of each density"


def density(distribution: Distribution) -> Tensor:
    """Probabilities of the points X, which sum to 1."""
    weights = distribution.log_prob(X).exp()
    return weights / weights.sum()


def exact(kernel: Kernel) -> Tensor:
    """The witness function on X, by quadrature."""
    return kernel(X[:, None], X[:, None]) @ (density(P) - density(Q))


def squared(kernel: Kernel) -> float:
    """MMD^2 = E_p w - E_q w, by quadrature."""
    return float((density(P) - density(Q)) @ exact(kernel))


def plot(path: Path, samples: tuple[Tensor, Tensor]) -> None:
    """The densities, and the witness for each bandwidth: exact, and of one pair of samples."""
    figure, (axes,) = panels(1, 1 + len(SIGMAS), 3.1, 3.1)
    axes[0].plot(X, P.log_prob(X).exp(), "C0-", label="p: Gaussian")
    axes[0].plot(X, Q.log_prob(X).exp(), "C1--", label="q: Laplace")
    label(axes[0], "two densities, mean 0 and variance 1", "x", "density", "upper right")
    for axis, sigma in zip(axes[1:], SIGMAS):
        kernel = RBF([sigma])
        axis.fill_between(X, 0.1 * (P.log_prob(X).exp() - Q.log_prob(X).exp()), color="0.85", label="(p - q) / 10")
        axis.plot(X, exact(kernel), "k-", label="witness w")
        axis.plot(X, witness(kernel, X[:, None], *samples), "C2--", linewidth=1, label=f"w of {N} + {N} samples")
        axis.set_ylim(-0.11, 0.12)
        label(axis, f"bandwidth {sigma:g}: MMD^2 = {squared(kernel):.2g}", "x", "w(x)", "upper right")
    for axis in axes:
        axis.set_xlim(-4, 4)
    figure.suptitle(
        "MMD's witness function: positive where p has more mass than q nearby, within the bandwidth of the kernel",
        fontsize=10,
    )
    save(figure, path)
