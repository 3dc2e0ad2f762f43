"""Batch normalisation whose scale and shift depend on the class."""

from torch import Tensor, nn


class ConditionalBatchNorm2d(nn.Module):
    """x (N, channels, H, W), y (N,) int64 -> gamma_y (x - mean) / std + beta_y (Dumoulin et al. 2017, arXiv 1610.07629,
    eq. 5, with the moments of the batch).

    One row of gamma and of beta per class, 1 and 0 at first, as WGAN-GP's code for labelled CIFAR-10
    (cond_batchnorm.py). Differs: that code normalises by the batch in evaluation too; here by running moments, which
    all classes share, so that a sample does not depend on its neighbours.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm2d(channels, affine=False)
        self.gamma, self.beta = nn.Embedding(num_classes, channels), nn.Embedding(num_classes, channels)
        nn.init.ones_(self.gamma.weight)
        nn.init.zeros_(self.beta.weight)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        gamma, beta = (rows(y)[:, :, None, None] for rows in (self.gamma, self.beta))
        return gamma * self.normalise(x) + beta
