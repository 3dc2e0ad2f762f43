"""Initial weights of networks, sampled from torch's default generator."""

import math

from torch import nn

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def normal_(network: nn.Module, std: float = 0.02, truncated: bool = False) -> None:
    """Set weights N(0, std), biases 0; batch normalization gamma N(1, std), beta 0 (dcgan.torch, InfoGAN, CycleGAN).

    truncated: truncate the weights of convolutions, but not of transposed ones, at two std (InfoGAN code).
    """
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, *CONVOLUTIONS)):
            if truncated and isinstance(layer, nn.Conv2d):
                nn.init.trunc_normal_(layer.weight, 0.0, std, -2 * std, 2 * std)
            else:
                nn.init.normal_(layer.weight, 0.0, std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, NORMS) and layer.affine:
            nn.init.normal_(layer.weight, 1.0, std)
            nn.init.zeros_(layer.bias)


def normal_convolutions_(network: nn.Module) -> None:
    """Set the weights of convolutions to N(0, .02); everything else, biases too, keeps torch's initial values.

    Used by the codes of MSGAN, DRIT and pix2pixHD, whose `weights_init` touches no bias.
    """
    for layer in network.modules():
        if isinstance(layer, CONVOLUTIONS):
            nn.init.normal_(layer.weight, 0.0, 0.02)


def dcgan_tensorflow_(network: nn.Module, linear: float = 0.02) -> None:
    """Set weights N(0, .02), truncated at two std in convolutions, N(0, linear) in linear layers; biases 0.

    Batch normalization keeps 1 and 0. Used by the codes that derive from DCGAN-tensorflow: ops.py of LSGAN, PacGAN and
    DualGAN, and with linear=.01 of Binkowski et al.
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
    """Set the weights of convolutions to N(0, gain^2 2 / (fan_in + fan_out)) and biases to 0 (BicycleGAN code)."""
    for layer in network.modules():
        if isinstance(layer, CONVOLUTIONS):
            nn.init.xavier_normal_(layer.weight, gain)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def uniform_(network: nn.Module, bound: float) -> None:
    """Set the weights of linear layers to U(-bound, bound) and biases to 0 (the GAN code of 2014)."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.zeros_(layer.bias)


def fan_in_normal_(network: nn.Module) -> None:
    """Set the weights of linear layers to N(0, 1 / fan_in) and biases to 0 (pynn/layer.py, which GMMN's code uses)."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, layer.in_features**-0.5)
            nn.init.zeros_(layer.bias)


def glorot_he_(network: nn.Module) -> None:
    """Set uniform weights and biases 0, as the WGAN-GP code does.

    The variance is 2 / (fan_in + fan_out) in linear layers and 4 / (fan_in + fan_out) in convolutions. A stride of 2
    divides one of the fans by 4, because each output of a transposed convolution, and each input of a convolution, has
    a quarter of the taps: fan_in of a transposed convolution, fan_out of a convolution.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            variance = 2 / (layer.in_features + layer.out_features)
        elif isinstance(layer, CONVOLUTIONS):
            taps, strides = math.prod(layer.kernel_size), math.prod(layer.stride)
            transposed = isinstance(layer, nn.ConvTranspose2d)
            # Taps that act on one output and on one input; a stride reduces the number on one of the two sides.
            fan_in = layer.in_channels * taps / (strides if transposed else 1)
            fan_out = layer.out_channels * taps / (1 if transposed else strides)
            variance = 4 / (fan_in + fan_out)
        else:
            continue
        bound = math.sqrt(3 * variance)
        nn.init.uniform_(layer.weight, -bound, bound)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
