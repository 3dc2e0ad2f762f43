"""Kernels, and the maximum mean discrepancy under one (Gretton et al. 2012; formulas as in the code of Binkowski et
al. 2018, arXiv 1801.01401).

A kernel takes x (M, d) and y (N, d) to the matrix k(x_i, y_j) (M, N), in their precision. All can be differentiated
twice, and no gradient is infinite where x_i = y_j. RBF and RationalQuadratic are returned less k(x, x), a constant that
every discrepancy and the witness cancel: with it, those of codes close together would drown in its rounding error.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

Kernel = Callable[[Tensor, Tensor], Tensor]


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j|^2 (M, N) by one matrix product; what is below its rounding error is 0, without a gradient.

    Both are shifted by the mean of y first: distances stay, and |x|^2 + |y|^2 - 2xy loses fewer digits.
    """
    centre = y.detach().mean(0)
    x, y = x - centre, y - centre
    squares = x.square().sum(1)[:, None] + y.square().sum(1)
    r2 = torch.addmm(squares, x, y.T, alpha=-2)
    return torch.where(r2 > torch.finfo(r2.dtype).eps * squares, r2, 0.0)


def root(t: Tensor) -> Tensor:
    """sqrt(max(t, 0)), whose gradient at t <= 0 is 0."""
    positive = t > 0
    return torch.where(positive, torch.where(positive, t, 1.0).sqrt(), 0.0)


@dataclass(frozen=True)
class RBF:
    """sum_s exp(-|x - y|^2 / (2 s^2)), less its value at x = y. sigmas: the bandwidths s; 1, 2, 4, 8, 16 in Li et al.
    2017 (arXiv 1705.08584), 2, 5, 10, 20, 40, 80 in Binkowski et al."""

    sigmas: Sequence[float] = (1.0, 2.0, 4.0, 8.0, 16.0)

    def __post_init__(self) -> None:
        _positive("sigmas", self.sigmas)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        r2 = squared_distances(x, y)
        return reduce(torch.add, ((r2 * (-0.5 / s**2)).expm1() for s in self.sigmas))


@dataclass(frozen=True)
class RationalQuadratic:
    """sum_a (1 + |x - y|^2 / (2a))^(-a), less its value at x = y. alphas: the exponents a; .2, .5, 1, 2, 5 in the paper
    (from memory), .1, 1, 10 in the code's defaults."""

    alphas: Sequence[float] = (0.2, 0.5, 1.0, 2.0, 5.0)

    def __post_init__(self) -> None:
        _positive("alphas", self.alphas)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        r2 = squared_distances(x, y)
        return reduce(torch.add, ((-a * torch.log1p(r2 * (0.5 / a))).expm1() for a in self.alphas))


class Distance:
    """|x| + |y| - |x - y|: MMD^2 is the squared energy distance, 2 E|x - y| - E|x - x'| - E|y - y'|."""

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        norms = root(x.square().sum(1))[:, None] + root(y.square().sum(1))
        return norms - root(squared_distances(x, y))


class Dot:
    """x.y: MMD^2 is the squared distance of the means."""

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return x @ y.T


class Cubic:
    """(x.y / d + 1)^3: the kernel of KID."""

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3


@dataclass(frozen=True)
class Sum:
    """A sum of kernels; RationalQuadratic + Dot is the paper's rq*."""

    kernels: Sequence[Kernel]

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return reduce(torch.add, (kernel(x, y) for kernel in self.kernels))


def off_diagonal_mean(K: Tensor) -> Tensor:
    """Mean of k(x_i, x_j) over i != j, of a square matrix. ValueError for a single sample."""
    n = len(K)
    if n < 2:
        raise ValueError("an unbiased MMD compares pairs of samples, and there is one: raise trainer.batch_size")
    return (K.sum() - K.trace()) / (n * (n - 1))


def biased_mmd2(kernel: Kernel, x: Tensor, y: Tensor) -> Tensor:
    """MMD_b^2 = mean K_XX + mean K_YY - 2 mean K_XY, diagonals included; never negative but for rounding."""
    return kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean()


def unbiased_mmd2(kernel: Kernel, x: Tensor, y: Tensor) -> Tensor:
    """MMD_u^2: as MMD_b^2 without the diagonals of K_XX and K_YY; its mean is 0 for equal distributions, so it may be
    negative. ValueError for a single sample."""
    within = off_diagonal_mean(kernel(x, x)) + off_diagonal_mean(kernel(y, y))
    return within - 2 * kernel(x, y).mean()


def witness(kernel: Kernel, t: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """w(t) = mean_i k(t, x_i) - mean_j k(t, y_j), (T,): the function that tells the two samples apart best."""
    return kernel(t, x).mean(1) - kernel(t, y).mean(1)


def _positive(name: str, values: Sequence[float]) -> None:
    if not values or min(values) <= 0:
        raise ValueError(f"{name} are one or more positive numbers, not {list(values)}")
