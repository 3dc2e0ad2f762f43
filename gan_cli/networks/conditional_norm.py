"""Batch normalization whose scale and shift depend on the class."""

from torch import Tensor, nn


class ConditionalBatchNorm2d(nn.Module):
    """Conditional batch normalization: x (N, channels, H, W), y (N,) int64 -> gamma_y (x - mean) / std + beta_y.

    Dumoulin et al. 2017, arXiv 1610.07629, eq. 5, with the moments of the batch. One row of gamma and of beta per
    class, 1 and 0 at first, as in the WGAN-GP code for labeled CIFAR-10 (cond_batchnorm.py). Differs: that code
    normalizes by the batch in evaluation too; here running moments are used, which all classes share, so that a sample
    does not depend on the other samples of its batch.
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
