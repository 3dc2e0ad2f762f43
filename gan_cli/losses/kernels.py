"""Kernels, and the maximum mean discrepancy under one (Gretton et al. 2012; formulas as in the code of Binkowski et
al. 2018, arXiv 1801.01401).

A kernel takes x (M, d) and y (N, d) to the matrix k(x_i, y_j) (M, N), in their precision. All can be differentiated
twice, and no gradient is infinite where x_i = y_j. RBF and RationalQuadratic return k(x, y) - k(x, x): the constant
k(x, x) cancels in every discrepancy and in the witness, and its rounding error would exceed the differences between
codes that lie close together.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from math import prod
from typing import Any, Protocol

import torch
from torch import Tensor

Orders = Callable[[Tensor, range], list[Tensor]]


class Kernel(Protocol):
    """k, for x (M, d) and y (N, d)."""

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """The matrix k(x_i, y_j), (M, N)."""


def centered_squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j|^2 (M, N) by one matrix product; values below its rounding error are 0, without a gradient.

    Both are shifted by the mean of y first, with which |x|^2 + |y|^2 - 2xy loses fewer digits.
    """
    center = y.detach().mean(0)
    x, y = x - center, y - center
    squares = x.square().sum(1)[:, None] + y.square().sum(1)
    r2 = torch.addmm(squares, x, y.T, alpha=-2)
    return torch.where(r2 > torch.finfo(r2.dtype).eps * squares, r2, 0.0)


def root(t: Tensor) -> Tensor:
    """sqrt(max(t, 0)), whose gradient at t <= 0 is 0."""
    positive = t > 0
    return torch.where(positive, torch.where(positive, t, 1.0).sqrt(), 0.0)


class _Radial(torch.autograd.Function):
    """Derivative n, elementwise, of a kernel that is a function of r2 alone: `orders` computes a range of derivatives.

    All orders share the same exponentials, so three are computed at once: the value, the one that the loss's gradient
    needs and the one that the gradient of a gradient penalty needs. `known` are the derivatives n, n + 1, ... that were
    computed before.
    """

    @staticmethod
    def forward(ctx: Any, r2: Tensor, orders: Orders, n: int, *known: Tensor) -> Tensor:
        value, *slopes = known or orders(r2, range(n, n + 3 if ctx.needs_input_grad[0] else n + 1))
        ctx.orders, ctx.n = orders, n
        ctx.save_for_backward(r2, *slopes)
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        r2, *slopes = ctx.saved_tensors
        return gradient * _Radial.apply(r2, ctx.orders, ctx.n + 1, *slopes), *[None] * (len(ctx.needs_input_grad) - 1)


def _sums(scales: Iterable[tuple[Tensor, Tensor | float, Callable[[int], float]]], orders: range) -> list[Tensor]:
    """Derivatives of a sum over scales (v, q, c): a scale's are  c(n) (v + 1) q^n  for n > 0, and v for n = 0."""
    sums: list[Tensor] = []
    for v, q, c in scales:
        sums = sums or [torch.zeros_like(v) for _ in orders]
        for n in range(orders.stop):
            if n:
                v = (v.add_(1) if n == 1 else v).mul_(q)
            if n in orders:
                sums[n - orders.start].add_(v, alpha=c(n))
    return sums


@dataclass(frozen=True)
class RBF(Kernel):
    """sum_s exp(-|x - y|^2 / (2 s^2)), minus its value at x = y.

    sigmas: the bandwidths s; 1, 2, 4, 8, 16 in Li et al. 2017 (arXiv 1705.08584), 2, 5, 10, 20, 40, 80 in Binkowski et
    al.
    """

    sigmas: Sequence[float] = (1.0, 2.0, 4.0, 8.0, 16.0)

    def __post_init__(self) -> None:
        _positive("sigmas", self.sigmas)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return _Radial.apply(centered_squared_distances(x, y), self.derivatives, 0)

    def derivatives(self, r2: Tensor, orders: range) -> list[Tensor]:
        """By r2: sum_s (-1 / (2 s^2))^n exp(-r2 / (2 s^2)), minus 1 per scale for n = 0."""
        rates = [-0.5 / s**2 for s in self.sigmas]
        return _sums((((r2 * rate).expm1_(), rate, lambda n: 1.0) for rate in rates), orders)


@dataclass(frozen=True)
class RationalQuadratic(Kernel):
    """sum_a (1 + |x - y|^2 / (2a))^(-a), less its value at x = y. alphas: the exponents a; .2, .5, 1, 2, 5 in
    section 5 of Binkowski et al. 2018, .1, 1, 10 by default in their code (gan/core/mmd.py:110)."""

    alphas: Sequence[float] = (0.2, 0.5, 1.0, 2.0, 5.0)

    def __post_init__(self) -> None:
        _positive("alphas", self.alphas)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return _Radial.apply(centered_squared_distances(x, y), self.derivatives, 0)

    def derivatives(self, r2: Tensor, orders: range) -> list[Tensor]:
        """By r2: sum_a prod_{k<n} (-(a + k) / (2a)) (1 + r2 / (2a))^(-a - n), minus 1 per scale for n = 0."""

        def scale(a: float) -> tuple[Tensor, Tensor, Callable[[int], float]]:
            u = r2 * (0.5 / a)
            coefficient = partial(self._coefficient, a)
            return u.log1p().mul_(-a).expm1_(), u.add_(1).reciprocal_(), coefficient

        return _sums(map(scale, self.alphas), orders)

    @staticmethod
    def _coefficient(a: float, n: int) -> float:
        return prod(-(a + k) / (2 * a) for k in range(n))


class Distance(Kernel):
    """|x| + |y| - |x - y|: MMD^2 is the squared energy distance, 2 E|x - y| - E|x - x'| - E|y - y'|."""

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        norms = root(x.square().sum(1))[:, None] + root(y.square().sum(1))
        return norms - root(centered_squared_distances(x, y))


class Dot(Kernel):
    """x.y: MMD^2 is the squared distance of the means."""

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return x @ y.T


class Cubic(Kernel):
    """(x.y / d + 1)^3: the kernel of KID."""

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3


@dataclass(frozen=True)
class SumKernel(Kernel):
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
    """MMD_b^2 = mean K_XX + mean K_YY - 2 mean K_XY, diagonals included; never negative up to rounding."""
    return kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean()


def unbiased_mmd2(kernel: Kernel, x: Tensor, y: Tensor) -> Tensor:
    """MMD_u^2: MMD_b^2 without the diagonals of K_XX and K_YY. Its mean is 0 for equal distributions, so it may be
    negative. ValueError for a single sample.
    """
    within = off_diagonal_mean(kernel(x, x)) + off_diagonal_mean(kernel(y, y))
    return within - 2 * kernel(x, y).mean()


def witness(kernel: Kernel, t: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """w(t) = mean_i k(t, x_i) - mean_j k(t, y_j), (T,): the function that separates the two samples best."""
    k = kernel(t, torch.cat([x, y]))
    return k[:, : len(x)].mean(1) - k[:, len(x) :].mean(1)


def _positive(name: str, values: Sequence[float]) -> None:
    if not values or min(values) <= 0:
        raise ValueError(f"{name} are one or more positive numbers, not {list(values)}")
