"""The ladder network (Rasmus et al. 2015, arXiv 1507.02672): a classifier with a decoder that denoises each layer.

Batch normalization is written out, because the decoder needs the moments by which each layer was normalized. Noise
comes from torch's default generator, like that of dropout.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from gan_cli.utils.image_size import ImageSize, area

EPS = 1e-10  # added to the variance
Moments = tuple[Tensor, Tensor]


class EncoderPass(NamedTuple):
    """One pass of the encoder over N images.

    z: every layer, the image first, (N, width). moments: mean and standard deviation, (width,), by which each z was
    normalized before the noise was added. logits: (N, num_classes).
    """

    z: list[Tensor]
    moments: list[Moments]
    logits: Tensor


def moments(a: Tensor) -> Moments:
    """Return mean and standard deviation of each column of the batch (N, width); the variance divides by N."""
    return a.mean(0), (a.var(0, correction=0) + EPS).sqrt()


def normalize(a: Tensor, by: Moments) -> Tensor:
    """Batch normalization without gain and bias."""
    mean, std = by
    return (a - mean) / std


class Combinator(nn.Module):
    """Denoising function g of each unit (Rasmus et al., eq. 2; CuriousAI/ladder, ladder.py:569-591).

    From the noisy z~ and the u of the layer above, (N, width) each:

        z^ = (z~ - mu(u)) v(u) + mu(u),   mu(u) = a1 sigmoid(a2 u + a3) + a4 u + a5,
                                          v(u)  = a6 sigmoid(a7 u + a8) + a9 u + a10.

    a2 = a7 = 1 and the others are 0 at first, so that z^ = 0.
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
    """Ladder network: image -> logits (N, num_classes) of the clean pass.

    `noisy` returns the pass whose logits are trained, and `energy` the cost of denoising. The layers have `widths`
    units of ReLU, and the last one is a softmax. noise: standard deviation of the noise on the image and on every
    normalized layer; .3 for images in [0, 1]. weights: lambda of the image and of the layers above it; omitted ones
    are 0. (1000,) is the bottom-layer cost of Zhao et al. 2017; CuriousAI/ladder has (5000,) for 100 labels and
    (1000, 10, .1, .1, .1, .1, .1) for the full ladder. Only the softmax has a gain, since a ReLU needs none. W and V ~
    N(0, 1 / fan_in). The running statistics of evaluation are those of `track`; differs: the code computes them over an
    epoch afterwards.
    """

    batch_term: ClassVar[str] = "normalizes by the statistics of the batch"
    tracked: Tensor

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        num_classes: int | None,
        widths: Sequence[int] = (1000, 500, 250, 250, 250),
        noise: float = 0.3,
        weights: Sequence[float] = (1000.0,),
    ) -> None:
        super().__init__()
        if num_classes is None:
            raise ValueError("a ladder network is a classifier, and this data set has no classes")
        sizes = [channels * area(image_size), *widths, num_classes]
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
        """Classify by the statistics of the batch in training mode, and by the running ones in evaluation mode."""
        return self._encode(image, 0.0, self._batch if self.training else self._running).logits

    def noisy(self, image: Tensor) -> EncoderPass:
        """Return the noisy pass, which is trained. All methods but `forward` use the statistics of the batch."""
        return self._encode(image, self.noise, self._batch)

    def clean(self, image: Tensor) -> EncoderPass:
        """Return the pass without noise."""
        return self._encode(image, 0.0, self._batch)

    def denoise(self, path: EncoderPass) -> list[Tensor]:
        """Return z^ of every layer, the image first, (N, width), from the layer above and the noisy pass `path`."""
        # The decoder starts from the classifier's output, as in the code, and goes down layer by layer.
        u = path.logits.softmax(1)
        z_hat: list[Tensor] = []
        for l in reversed(range(len(self.g))):
            z_hat.insert(0, self.g[l](path.z[l], normalize(u, moments(u))))
            if l > 0:
                u = self.V[l - 1](z_hat[0])
        return z_hat

    def energy(self, image: Tensor) -> Tensor:
        """Return the sum over layers of lambda / width |z - BN(z^)|^2, (N,), where BN uses the clean pass's moments."""
        z_hat = self.denoise(self.noisy(image))
        if len(self.weights) == 1:  # the cost of the image alone needs no clean pass
            z, clean_moments = [image.flatten(1)], [_identity(image)]
        else:
            z, clean_moments, _ = self.clean(image)
        costs = [
            weight / z[l].shape[1] * (z[l] - normalize(z_hat[l], clean_moments[l])).square().sum(1)
            for l, weight in enumerate(self.weights)
        ]
        return torch.stack(costs).sum(0)

    def reconstruct(self, image: Tensor) -> Tensor:
        """Return the image after noise was added and removed."""
        return self.denoise(self.noisy(image))[0].view_as(image)

    @torch.no_grad()
    def track(self, image: Tensor, correction: int = 0) -> None:
        """Update the running statistics by those of the clean pass: by their mean at first, then with momentum .1.

        correction: 1 for the unbiased variance, as in CuriousAI/ladder, ladder.py:325.
        """
        self.tracked += 1
        unbiased = (len(image) / max(len(image) - correction, 1)) ** 0.5
        # A momentum of .1 alone would leave the zeros and ones of the start in the statistics for too long.
        weight = max(0.1, 1 / int(self.tracked))
        for l, (mean, std) in enumerate(self.clean(image).moments[1:]):
            getattr(self, f"mean{l}").lerp_(mean, weight)
            getattr(self, f"std{l}").lerp_(std * unbiased, weight)

    def _encode(self, image: Tensor, noise: float, statistics: Callable[[int, Tensor], Moments]) -> EncoderPass:
        h = _add_noise(image.flatten(1), noise)
        z, used = [h], [_identity(image)]
        for l, (W, beta) in enumerate(zip(self.W, self.beta, strict=True)):
            a = W(h)
            used.append(statistics(l, a))
            z.append(_add_noise(normalize(a, used[-1]), noise))
            h = relu(z[-1] + beta)
        return EncoderPass(z, used, self.gamma * (z[-1] + self.beta[-1]))

    def _batch(self, layer: int, a: Tensor) -> Moments:
        return moments(a)

    def _running(self, layer: int, a: Tensor) -> Moments:
        return getattr(self, f"mean{layer}"), getattr(self, f"std{layer}")


def _add_noise(z: Tensor, noise: float) -> Tensor:
    return z + noise * torch.randn_like(z) if noise else z


def _identity(like: Tensor) -> Moments:
    return like.new_zeros(()), like.new_ones(())
