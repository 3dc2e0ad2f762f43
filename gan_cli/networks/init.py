"""Initial weights, from torch's default generator."""

import math

from torch import nn

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def normal_(network: nn.Module, std: float = 0.02, cut: bool = False) -> None:
    """Weights N(0, std), biases 0; batch normalisation gamma N(1, std), beta 0 (dcgan.torch, InfoGAN, CycleGAN code).

    cut: weights of convolutions, but not of transposed ones, are drawn again beyond two std (InfoGAN code).
    """
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, *CONVOLUTIONS)):
            if cut and isinstance(layer, nn.Conv2d):
                nn.init.trunc_normal_(layer.weight, 0.0, std, -2 * std, 2 * std)
            else:
                nn.init.normal_(layer.weight, 0.0, std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, NORMS):
            nn.init.normal_(layer.weight, 1.0, std)
            nn.init.zeros_(layer.bias)


def dcgan_tensorflow_(network: nn.Module, linear: float = 0.02) -> None:
    """Weights N(0, .02), of convolutions cut at two deviations, of linear layers N(0, linear); biases 0, batch
    normalisation 1 and 0 (ops.py of LSGAN and of PacGAN, and with linear .01 of Binkowski et al., all after
    DCGAN-tensorflow).
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.trunc_normal_(layer.weight, 0.0, 0.02, -0.04, 0.04)
        elif isinstance(layer, nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, linear)
        if isinstance(layer, (nn.Linear, *CONVOLUTIONS)) and layer.bias is not None:
            nn.init.zeros_(layer.bias)


def xavier_(network: nn.Module, gain: float = 0.02) -> None:
    """Convolutions: weights N(0, gain^2 2 / (fan_in + fan_out)), biases 0 (BicycleGAN code)."""
    for layer in network.modules():
        if isinstance(layer, CONVOLUTIONS):
            nn.init.xavier_normal_(layer.weight, gain)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def uniform_(network: nn.Module, bound: float) -> None:
    """Linear weights U(-bound, bound), biases 0 (the 2014 GAN code)."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.zeros_(layer.bias)


def glorot_he_(network: nn.Module) -> None:
    """As the WGAN-GP code: uniform weights, biases 0.

    Linear layers have variance 2 / (fan_in + fan_out), convolutions 4 / (fan_in + fan_out), where a stride
    of 2 divides by 4 the fan of the side with fewer taps: out for a convolution, in for a transposed one.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            variance = 2 / (layer.in_features + layer.out_features)
        elif isinstance(layer, CONVOLUTIONS):
            taps, strides = math.prod(layer.kernel_size), math.prod(layer.stride)
            transposed = isinstance(layer, nn.ConvTranspose2d)
            fan_in = layer.in_channels * taps / (strides if transposed else 1)
            fan_out = layer.out_channels * taps / (1 if transposed else strides)
            variance = 4 / (fan_in + fan_out)
        else:
            continue
        bound = math.sqrt(3 * variance)
        nn.init.uniform_(layer.weight, -bound, bound)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
