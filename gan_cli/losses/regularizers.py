"""Terms of a generator's loss that no critic is asked for."""

from torch import Tensor


def mode_seeking(i1: Tensor, i2: Tensor, z1: Tensor, z2: Tensor, eps: float = 1e-5) -> Tensor:
    """Mao et al. 2019 (arXiv 1903.05628), to be minimised:  1 / (mean |i1 - i2| / mean |z1 - z2| + eps).

    i1, i2: images (N, C, H, W) made from the noise z1, z2 (N, d) under the same conditions. The ratio is one of means
    over the whole batch, as in the authors' code; with N = 1 it is the paper's of a pair. At most 1 / eps.
    """
    return 1 / ((i1 - i2).abs().mean() / (z1 - z2).abs().mean() + eps)


def kl_to_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, I)) in nats, *summed* over batch and dimensions:
    -1/2 sum (1 + log variance - mean^2 - variance).
    """
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
