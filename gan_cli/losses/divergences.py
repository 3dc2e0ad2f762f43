"""The divergences of f-GAN (Nowozin, Cseke & Tomioka 2016, arXiv 1606.00709): the rows of its tables 1 to 3 and 6.

Each is a `Divergence` of gan_cli.losses.fgan, which says what the functions are. Every g_f here increases (some
printings of the paper's table have -v for v), so a larger score always means "more real". Every function is
elementwise, on tensors of any floating type.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from gan_cli.losses.fgan import Divergence
from gan_cli.utils.autograd import log_w


def _within(domain: Tensor, value: Tensor) -> Tensor:
    return torch.where(domain, value, math.inf)


@dataclass(frozen=True)
class KL(Divergence):
    """int p log(p/q)."""

    threshold = 1.0

    def f(self, u: Tensor) -> Tensor:
        return torch.xlogy(u, u)

    def f_prime(self, u: Tensor) -> Tensor:
        return 1 + u.log()

    def activation(self, v: Tensor) -> Tensor:
        return v

    def conjugate(self, t: Tensor) -> Tensor:
        return (t - 1).exp()

    def conjugate_at(self, v: Tensor) -> Tensor:
        return (v - 1).exp()


@dataclass(frozen=True)
class ReverseKL(Divergence):
    """int q log(q/p)."""

    threshold = -1.0

    def f(self, u: Tensor) -> Tensor:
        return -u.log()

    def f_prime(self, u: Tensor) -> Tensor:
        return -1 / u

    def activation(self, v: Tensor) -> Tensor:
        return -(-v).exp()

    def conjugate(self, t: Tensor) -> Tensor:
        return _within(t < 0, -1 - (-t).log())

    def conjugate_at(self, v: Tensor) -> Tensor:
        return v - 1


@dataclass(frozen=True)
class PearsonChi2(Divergence):
    """int (p - q)^2 / q. The paper's column D_f has this and Neyman's integral the other way round; the names here
    go by f.

    The paper's f* = t^2/4 + t holds for t >= -2; below, the supremum lies at u = 0 and f* = -1: the tighter bound.
    """

    threshold = 0.0

    def f(self, u: Tensor) -> Tensor:
        return (u - 1).square()

    def f_prime(self, u: Tensor) -> Tensor:
        return 2 * (u - 1)

    def activation(self, v: Tensor) -> Tensor:
        return v

    def conjugate(self, t: Tensor) -> Tensor:
        t = t.clamp(min=-2)
        return t.square() / 4 + t

    def conjugate_at(self, v: Tensor) -> Tensor:
        return self.conjugate(v)


@dataclass(frozen=True)
class NeymanChi2(Divergence):
    """int (p - q)^2 / p; see PearsonChi2 for the paper's column D_f."""

    threshold = 0.0

    def f(self, u: Tensor) -> Tensor:
        return (1 - u).square() / u

    def f_prime(self, u: Tensor) -> Tensor:
        return 1 - u.pow(-2)

    def activation(self, v: Tensor) -> Tensor:
        return -torch.expm1(-v)

    def conjugate(self, t: Tensor) -> Tensor:
        return _within(t <= 1, 2 - 2 * (1 - t).sqrt())

    def conjugate_at(self, v: Tensor) -> Tensor:
        return -2 * torch.expm1(-v / 2)


@dataclass(frozen=True)
class SquaredHellinger(Divergence):
    """int (sqrt p - sqrt q)^2."""

    threshold = 0.0

    def f(self, u: Tensor) -> Tensor:
        return (u.sqrt() - 1).square()

    def f_prime(self, u: Tensor) -> Tensor:
        return 1 - u.rsqrt()

    def activation(self, v: Tensor) -> Tensor:
        return -torch.expm1(-v)

    def conjugate(self, t: Tensor) -> Tensor:
        return _within(t < 1, t / (1 - t))

    def conjugate_at(self, v: Tensor) -> Tensor:
        return torch.expm1(v)


@dataclass(frozen=True)
class Jeffrey(Divergence):
    """int (p - q) log(p/q), the sum of KL and reverse KL."""

    threshold = 0.0

    def f(self, u: Tensor) -> Tensor:
        return (u - 1) * u.log()

    def f_prime(self, u: Tensor) -> Tensor:
        return 1 + u.log() - 1 / u

    def activation(self, v: Tensor) -> Tensor:
        return v

    def conjugate(self, t: Tensor) -> Tensor:
        """W + 1/W + t - 2 with W = W(e^(1-t)) = 1/u*; as log W = 1 - t - W, that is 1/W - log W - 1."""
        s = log_w(1 - t)
        return (-s).exp() - s - 1

    def conjugate_at(self, v: Tensor) -> Tensor:
        return self.conjugate(v)


@dataclass(frozen=True)
class JensenShannon(Divergence):
    """int p log(2p/(p+q)) + q log(2q/(p+q)).

    That is what the paper's f gives, twice the usual divergence; its column D_f has the usual 1/2.
    """

    threshold = 0.0

    def f(self, u: Tensor) -> Tensor:
        return torch.xlogy(u, u) - (u + 1) * ((1 + u) / 2).log()

    def f_prime(self, u: Tensor) -> Tensor:
        return (2 * u / (1 + u)).log()

    def activation(self, v: Tensor) -> Tensor:
        return math.log(2) + logsigmoid(v)

    def conjugate(self, t: Tensor) -> Tensor:
        return _within(t < math.log(2), -(2 - t.exp()).log())

    def conjugate_at(self, v: Tensor) -> Tensor:
        return softplus(v) - math.log(2)


@dataclass(frozen=True)
class GANDivergence(Divergence):
    """int p log(2p/(p+q)) + q log(2q/(p+q)) - log 4: the value function of Goodfellow et al. 2014, eq. 1."""

    threshold = -math.log(2)

    def f(self, u: Tensor) -> Tensor:
        return torch.xlogy(u, u) - (u + 1) * torch.log1p(u)

    def f_prime(self, u: Tensor) -> Tensor:
        return -torch.log1p(1 / u)

    def activation(self, v: Tensor) -> Tensor:
        return logsigmoid(v)

    def conjugate(self, t: Tensor) -> Tensor:
        return _within(t < 0, -(-torch.expm1(t)).log())

    def conjugate_at(self, v: Tensor) -> Tensor:
        return softplus(v)


@dataclass(frozen=True)
class TotalVariation(Divergence):
    """1/2 int |p - q|; f* = t within [-1/2, 1/2] and -1/2 below."""

    threshold = 0.0

    def f(self, u: Tensor) -> Tensor:
        return (u - 1).abs() / 2

    def f_prime(self, u: Tensor) -> Tensor:
        return (u - 1).sign() / 2

    def activation(self, v: Tensor) -> Tensor:
        return v.tanh() / 2

    def conjugate(self, t: Tensor) -> Tensor:
        return _within(t <= 0.5, t.clamp(min=-0.5))

    def conjugate_at(self, v: Tensor) -> Tensor:
        return v.tanh() / 2


@dataclass(frozen=True)
class Alpha(Divergence):
    """1 / (alpha (alpha - 1)) int q ((p/q)^alpha - 1 - alpha (p/q - 1)),  alpha not 0 or 1.

    Scores up to 50 stay finite in float32 for alpha up to 0.6 and above 1: f* grows as exp(v alpha / (1 - alpha)).
    """

    alpha: float = 0.5
    threshold = 0.0

    def __post_init__(self) -> None:
        if self.alpha in (0, 1):
            raise ValueError(f"alpha must not be {self.alpha:g}: take ReverseKL for 0 and KL for 1")

    def f(self, u: Tensor) -> Tensor:
        return (u.pow(self.alpha) - 1 - self.alpha * (u - 1)) / (self.alpha * (self.alpha - 1))

    def f_prime(self, u: Tensor) -> Tensor:
        return (u.pow(self.alpha - 1) - 1) / (self.alpha - 1)

    def activation(self, v: Tensor) -> Tensor:
        return v if self.alpha > 1 else 1 / (1 - self.alpha) + logsigmoid(v)

    def conjugate(self, t: Tensor) -> Tensor:
        """(b^(alpha / (alpha - 1)) - 1) / alpha  with  b = 1 + (alpha - 1) t = u*^(alpha - 1)."""
        b = 1 + (self.alpha - 1) * t
        value = (b.clamp(min=torch.finfo(t.dtype).tiny).pow(self.alpha / (self.alpha - 1)) - 1) / self.alpha
        return value if self.alpha > 1 else _within(b > 0, value)

    def conjugate_at(self, v: Tensor) -> Tensor:
        if self.alpha > 1:
            return self.conjugate(v)
        log_b = math.log(1 - self.alpha) + _log_softplus(-v)
        return torch.expm1(self.alpha / (self.alpha - 1) * log_b) / self.alpha


def _log_softplus(x: Tensor) -> Tensor:
    """log log(1 + e^x), which is x to the last digit of float64 below -40."""
    return torch.where(x < -40, x, softplus(x.clamp(min=-40)).log())
