"""Normalisation by name: layers, and spectral normalisation of the weights."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrize

LAYERS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "layer": lambda channels: nn.GroupNorm(1, channels),      # over channels and pixels of a sample
    "none": lambda channels: nn.Identity(),
    "spectral": lambda channels: nn.Identity(),               # of the weights: see normalise_weights_
    "instance": nn.InstanceNorm2d,                            # without affine parameters, as CycleGAN has it
}
LAYERLESS = ("none", "spectral")
"""The norms without layers: what comes before such a norm needs a bias."""


def norm_layer(name: str, channels: int) -> nn.Module:
    """Normalisation of (N, channels, H, W). name: batch, layer (allowed under a gradient penalty), none, spectral
    (no layer; `normalise_weights_` does it), or instance; else ValueError.
    """
    if name not in LAYERS:
        raise ValueError(f"norm '{name}': choose one of {', '.join(LAYERS)}")
    return LAYERS[name](channels)


class SpectralNorm(nn.Module):
    """W -> W / sigma(W), sigma the largest singular value (Miyato et al. 2018, arXiv 1802.05957, eq. 8, Algorithm 1).

    W is the weight as a matrix of one row per output (`dim` of the weight). In training mode each use takes one
    step of power iteration, v <- W^T u / |.|, u <- W v / |.|, and sigma = u^T W v, with gradients in W alone; in
    evaluation mode u and v stay. Both are buffers, so a checkpoint holds them. Float32 under autocast too. Differs:
    15 steps at the start, so that sigma is right in the first iteration.
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
        return weight.movedim(self.dim, 0).flatten(1)

    @torch.no_grad()
    def iterate(self, matrix: Tensor) -> None:
        self.v.copy_(normalize(matrix.T @ self.u, dim=0))
        self.u.copy_(normalize(matrix @ self.v, dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            matrix = self.matrix(weight)
            if self.training:
                self.iterate(matrix)
            u, v = self.u.clone(), self.v.clone()  # a graph of this use outlives the next step
            return weight / (u @ (matrix @ v))


def normalise_weights_(network: nn.Module, norm: str) -> None:
    """Spectral normalisation of every linear and convolutional weight if `norm` is spectral; after the initial weights
    are drawn. ValueError if it is neither that nor a norm of `norm_layer`.
    """
    norm_layer(norm, 1)
    if norm == "spectral":
        for layer in list(network.modules()):
            if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                dim = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
                parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight, dim))
