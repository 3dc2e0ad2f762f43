"""The ladder network (Rasmus et al. 2015, arXiv 1507.02672): a classifier whose layers are each denoised.

Its passes are written out, as the decoder needs what normalised each layer. Noise comes from torch's default generator,
as that of dropout does.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

EPS = 1e-10  # added to a variance
Moments = tuple[Tensor, Tensor]


class Path(NamedTuple):
    """A pass of the encoder over N images. z: of every layer, the image first, (N, width); moments: the mean and the
    standard deviation, (width,), that each z was normalised by before the noise; logits: (N, num_classes).
    """

    z: list[Tensor]
    moments: list[Moments]
    logits: Tensor


def moments(a: Tensor) -> Moments:
    """Mean and standard deviation of each column of the batch (N, width), of N values and not of N - 1."""
    return a.mean(0), (a.var(0, correction=0) + EPS).sqrt()


def normalised(a: Tensor, of: Moments) -> Tensor:
    """Batch normalisation without gain and bias."""
    mean, std = of
    return (a - mean) / std


class Combinator(nn.Module):
    """g of Rasmus et al., eq. 2, for every unit by itself: z~ (noisy), u (from above), (N, width) -> z^
    (CuriousAI/ladder, ladder.py:569-591):

        z^ = (z~ - mu(u)) v(u) + mu(u),   mu(u) = a1 sigmoid(a2 u + a3) + a4 u + a5,
                                          v(u)  = a6 sigmoid(a7 u + a8) + a9 u + a10.

    At first a2 = a7 = 1 and the others 0, so z^ = 0.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        start = torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
        self.a = nn.Parameter(start[:, None].repeat(1, width))

    def forward(self, z: Tensor, u: Tensor) -> Tensor:
        a1, a2, a3, a4, a5, a6, a7, a8, a9, a10 = self.a
        mu = a1 * torch.sigmoid(a2 * u + a3) + a4 * u + a5
        v = a6 * torch.sigmoid(a7 * u + a8) + a9 * u + a10
        return (z - mu) * v + mu


class Ladder(nn.Module):
    """image -> logits (N, num_classes) of the clean pass; `noisy` -> those that are trained; `energy`, the cost of
    denoising.

    Layers of `widths` ReLU and a softmax. noise: standard deviation of what is added to the image and to every
    normalised layer; .3 for images in [0, 1]. weights: lambda of the image and of the layers above it; omitted ones
    are 0. (1000,) is the bottom-layer cost of Zhao et al. 2017; CuriousAI/ladder has (5000,) for 100 labels, and
    (1000, 10, .1, .1, .1, .1, .1) for its whole ladder. Only the softmax has a gain: a ReLU needs none. W and V ~
    N(0, 1 / fan_in). Running statistics, for evaluation, are those of `track`; differs: the code takes them of the
    whole training set afterwards.
    """

    tracked: Tensor

    def __init__(
        self,
        image_size: int,
        channels: int,
        num_classes: int | None,
        widths: Sequence[int] = (1000, 500, 250, 250, 250),
        noise: float = 0.3,
        weights: Sequence[float] = (1000.0,),
    ) -> None:
        super().__init__()
        if num_classes is None:
            raise ValueError("a ladder network names classes, and this data set has none")
        sizes = [channels * image_size**2, *widths, num_classes]
        if not 1 <= len(weights) <= len(sizes):
            raise ValueError(f"weights are those of the image and of at most {len(sizes) - 1} layers, not {weights}")
        pairs = list(itertools.pairwise(sizes))
        self.noise, self.weights = noise, tuple(weights)
        self.W = nn.ModuleList(nn.Linear(below, above, bias=False) for below, above in pairs)
        self.beta = nn.ParameterList(torch.zeros(above) for _, above in pairs)
        self.gamma = nn.Parameter(torch.ones(num_classes))
        self.V = nn.ModuleList(nn.Linear(above, below, bias=False) for below, above in pairs)
        self.g = nn.ModuleList(Combinator(size) for size in sizes)
        for layer in (*self.W, *self.V):
            nn.init.normal_(layer.weight, 0.0, layer.in_features**-0.5)
        self.register_buffer("tracked", torch.zeros((), dtype=torch.int64))
        for l, size in enumerate(sizes[1:]):
            self.register_buffer(f"mean{l}", torch.zeros(size))
            self.register_buffer(f"std{l}", torch.ones(size))

    def forward(self, image: Tensor) -> Tensor:
        """By the statistics of the batch in training mode, by the running ones in evaluation mode."""
        return self._encode(image, 0.0, self._batch if self.training else self._running).logits

    def noisy(self, image: Tensor) -> Path:
        """The pass that learns. Like all but `forward`, by the statistics of the batch."""
        return self._encode(image, self.noise, self._batch)

    def clean(self, image: Tensor) -> Path:
        return self._encode(image, 0.0, self._batch)

    def denoise(self, path: Path) -> list[Tensor]:
        """z^ of every layer, the image first, (N, width), each from the layer above and from `path`, a noisy pass."""
        u = path.logits.softmax(1)
        z_hat: list[Tensor] = []
        for l in reversed(range(len(self.g))):
            z_hat.insert(0, self.g[l](path.z[l], normalised(u, moments(u))))
            if l > 0:
                u = self.V[l - 1](z_hat[0])
        return z_hat

    def energy(self, image: Tensor) -> Tensor:
        """Sum over layers of lambda / width |z - BN(z^)|^2, (N,), where BN takes the clean pass's mean and std."""
        z_hat = self.denoise(self.noisy(image))
        if len(self.weights) == 1:
            z, of = [image.flatten(1)], [_identity(image)]
        else:
            z, of, _ = self.clean(image)
        costs = [
            weight / z[l].shape[1] * (z[l] - normalised(z_hat[l], of[l])).square().sum(1)
            for l, weight in enumerate(self.weights)
        ]
        return torch.stack(costs).sum(0)

    def reconstruct(self, image: Tensor) -> Tensor:
        """The image, noise added and taken away again."""
        return self.denoise(self.noisy(image))[0].view_as(image)

    @torch.no_grad()
    def track(self, image: Tensor) -> None:
        """Let the running statistics follow those of the clean pass: their mean at first, then with momentum .1."""
        self.tracked += 1
        weight = max(0.1, 1 / int(self.tracked))
        for l, (mean, std) in enumerate(self.clean(image).moments[1:]):
            getattr(self, f"mean{l}").lerp_(mean, weight)
            getattr(self, f"std{l}").lerp_(std, weight)

    def _encode(self, image: Tensor, noise: float, statistics: Callable[[int, Tensor], Moments]) -> Path:
        h = _noised(image.flatten(1), noise)
        z, of = [h], [_identity(image)]
        for l, (W, beta) in enumerate(zip(self.W, self.beta, strict=True)):
            a = W(h)
            of.append(statistics(l, a))
            z.append(_noised(normalised(a, of[-1]), noise))
            h = relu(z[-1] + beta)
        return Path(z, of, self.gamma * (z[-1] + self.beta[-1]))

    def _batch(self, layer: int, a: Tensor) -> Moments:
        return moments(a)

    def _running(self, layer: int, a: Tensor) -> Moments:
        return getattr(self, f"mean{layer}"), getattr(self, f"std{layer}")


def _noised(z: Tensor, noise: float) -> Tensor:
    return z + noise * torch.randn_like(z) if noise else z


def _identity(like: Tensor) -> Moments:
    return like.new_zeros(()), like.new_ones(())
