"""Terms of a generator's loss besides the adversarial one."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import l1_loss


def mode_seeking(i1: Tensor, i2: Tensor, z1: Tensor, z2: Tensor, eps: float = 1e-5) -> Tensor:
    """Mao et al. 2019 (arXiv 1903.05628), to be minimized:  1 / (mean |i1 - i2| / mean |z1 - z2| + eps).

    i1, i2: images (N, C, H, W) generated from the noise z1, z2 (N, d) under the same conditions. Both means are over
    the whole batch, as in the authors' code; with N = 1 this is the paper's ratio of a pair. At most 1 / eps.
    """
    return 1 / ((i1 - i2).abs().mean() / (z1 - z2).abs().mean() + eps)


def kl_to_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, I)) in nats, *summed* over batch and dimensions:
    -1/2 sum (1 + log variance - mean^2 - variance).
    """
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()


def feature_matching_l1(real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]) -> Tensor:
    """L_FM of Wang et al. 2018 (arXiv 1711.11585), with the weights of pix2pixHD_model.py:

    sum_k (1 / num_D) sum_i (4 / T) mean |D_k^(i)(s, x) - D_k^(i)(s, G(s))|

    over the scales k and over the T layers i of D_k before its scores, which are the last entry of each list. The real
    features have no gradient.
    """
    terms = [
        4 / (len(of_fake) - 1) * l1_loss(b, a.detach())
        for of_real, of_fake in zip(real, fake, strict=True)
        for a, b in zip(of_real[:-1], of_fake[:-1], strict=True)
    ]
    return torch.stack(terms).sum() / len(real)
