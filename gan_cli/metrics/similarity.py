"""Similarity of two images: PSNR, SSIM (Wang et al. 2004) and MS-SSIM (Wang, Simoncelli, Bovik 2003).

Images (N, C, H, W) in [-1, 1]. PSNR has a data range of 2; SSIM compares intensities, mapped to [0, 1], L = 1.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

from gan_cli.metrics.pixels import unit

WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the five scales, the finest first
FLOOR = 1e-10  # of the squared error: equal images have a PSNR of 106 dB


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image, 10 log10(range^2 / MSE), in dB: (N,), float64."""
    error = (a.double() - b.double()).square().flatten(1).mean(1)
    return 10 * (4 / error.clamp(min=FLOOR)).log10()


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of each image, (N,), float64, -1 .. 1.

    The mean over channels and over the positions where the whole 11 x 11 Gaussian window lies inside the image.

    ValueError for images of fewer than 11 pixels a side.
    """
    return _terms(unit(a.double()), unit(b.double()))[0].mean(1)


def scales(size: int) -> int:
    """How many of the five scales an image of `size` pixels has.

    Each scale halves the image, and the window must fit into the last. ValueError below 22 pixels: fewer than two.
    """
    count = next((m for m in range(len(WEIGHTS), 1, -1) if size >> (m - 1) >= WINDOW), 0)
    if not count:
        raise ValueError(f"MS-SSIM needs images of at least {2 * WINDOW} pixels a side for two scales, not {size}")
    return count


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Multi-scale SSIM of each image, l_M^w_M prod_j (cs_j)^w_j over the scales that fit: (N,), float64, 0 .. 1.

    The weights are scaled to sum to 1.

    Only images of 176 pixels or more have the paper's five. A negative cs (anticorrelated images) counts as 0.
    """
    count = scales(min(a.shape[-2:]))
    weights = torch.tensor(WEIGHTS[:count], dtype=torch.float64) / sum(WEIGHTS[:count])
    a, b = unit(a.double()), unit(b.double())
    product = torch.ones((), dtype=torch.float64)
    for scale, weight in enumerate(weights.tolist()):
        whole, contrast = _terms(a, b)
        product = product * (whole if scale == count - 1 else contrast).clamp(min=0) ** weight
        a, b = avg_pool2d(a, 2), avg_pool2d(b, 2)
    return product.mean(1)


def _terms(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Means over positions (N, C) of l cs, and of cs = (2 s_ab + C2) / (s_a^2 + s_b^2 + C2); images in [0, 1]."""
    if min(a.shape[-2:]) < WINDOW:
        raise ValueError(f"SSIM needs images of at least {WINDOW} pixels a side, not {min(a.shape[-2:])}")
    mean_a, mean_b = _blur(a), _blur(b)
    var_a, var_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    cs = (2 * covariance + K2**2) / (var_a + var_b + K2**2)
    l = (2 * mean_a * mean_b + K1**2) / (mean_a**2 + mean_b**2 + K1**2)
    return (l * cs).mean((2, 3)), cs.mean((2, 3))


def _blur(x: Tensor) -> Tensor:
    """Mean under the Gaussian window, at the positions where it fits: (N, C, H, W) -> (N, C, H - 10, W - 10)."""
    offset = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    weights = torch.exp(-(offset**2) / (2 * SIGMA**2))
    weights = weights / weights.sum()
    flat = x.flatten(0, 1)[:, None]
    blurred = conv2d(conv2d(flat, weights[None, None, :, None]), weights[None, None, None, :])
    return blurred.unflatten(0, x.shape[:2])[:, :, 0]
