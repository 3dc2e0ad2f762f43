"""Normalization by name: layers, and spectral normalization of weights."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrize

LAYERS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "layer": lambda channels: nn.GroupNorm(1, channels),      # over channels and pixels of a sample
    "none": lambda channels: nn.Identity(),
    "spectral": lambda channels: nn.Identity(),               # acts on the weights: see normalize_weights_
    "instance": nn.InstanceNorm2d,                            # without affine parameters, as in CycleGAN
}
LAYERLESS = ("none", "spectral")
"""The norms without a layer; the layer before such a norm needs a bias of its own."""


def norm_layer(name: str, channels: int) -> nn.Module:
    """Return a normalization layer for (N, channels, H, W).

    name: batch, instance, layer (which a gradient penalty allows), none, or spectral (no layer, see
    `normalize_weights_`). Raises ValueError for another name.
    """
    if name not in LAYERS:
        raise ValueError(f"norm '{name}': choose one of {', '.join(LAYERS)}")
    return LAYERS[name](channels)


class SpectralNorm(nn.Module):
    """Spectral normalization W / sigma(W) (Miyato et al. 2018, arXiv 1802.05957, eq. 8 and Algorithm 1).

    sigma is the largest singular value of W, the weight as a matrix with one row per output (`dim` of the weight). In
    training mode each use takes one step of power iteration, v <- W^T u / |.|, u <- W v / |.|, and sigma = u^T W v,
    with gradients only in W; in evaluation mode u and v are constant. They are buffers, so checkpoints hold them. It is
    computed in float32 under autocast too. Differs: 15 steps at the start, so that sigma is right in the first
    iteration.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, dim: int = 0) -> None:
        super().__init__()
        self.dim = dim
        matrix = self.matrix(weight.detach())
        for name, size in zip("uv", matrix.shape, strict=True):
            self.register_buffer(name, normalize(torch.randn(size, dtype=weight.dtype), dim=0))
        for _ in range(15):
            self.iterate(matrix)

    def matrix(self, weight: Tensor) -> Tensor:
        """Return the weight as a matrix with one row per output."""
        return weight.movedim(self.dim, 0).flatten(1)

    @torch.no_grad()
    def iterate(self, matrix: Tensor) -> None:
        """Take one step of power iteration, without gradients as in the paper."""
        self.v.copy_(normalize(matrix.T @ self.u, dim=0))
        self.u.copy_(normalize(matrix @ self.v, dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            matrix = self.matrix(weight)
            if self.training:
                self.iterate(matrix)
            # The next use changes u and v in place, while the graph of this one may still be needed.
            u, v = self.u.clone(), self.v.clone()
            return weight / (u @ (matrix @ v))


def normalize_weights_(network: nn.Module, norm: str) -> None:
    """Apply spectral normalization to every linear and convolutional weight if `norm` is spectral.

    Call it after the initial weights are set. Raises ValueError if `norm` is not a norm of `norm_layer`.
    """
    norm_layer(norm, 1)
    if norm == "spectral":
        for layer in list(network.modules()):
            if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                dim = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
                parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight, dim))
