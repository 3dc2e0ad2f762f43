"""Feature matching: G's pictures should look to D's layers as real ones do."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import l1_loss


def feature_matching(real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]) -> Tensor:
    """L_FM of Wang et al. 2018 (arXiv 1711.11585), with the weights of pix2pixHD_model.py:

    sum_k (1 / num_D) sum_i (4 / T) mean |D_k^(i)(s, x) - D_k^(i)(s, G(s))|

    over the scales k and over D_k's T layers i before the scores, which each list ends with and which do not count. The
    real side gives no gradient.
    """
    terms = [
        4 / (len(of_fake) - 1) * l1_loss(b, a.detach())
        for of_real, of_fake in zip(real, fake, strict=True)
        for a, b in zip(of_real[:-1], of_fake[:-1], strict=True)
    ]
    return torch.stack(terms).sum() / len(real)
