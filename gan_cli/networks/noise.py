"""Layers that act the same in training and in evaluation, for pix2pix (Isola et al. 2017, sections 3.1 and 3.3)."""

from torch import Tensor, nn
from torch.nn.functional import dropout, instance_norm


class NoiseDropout(nn.Module):
    """Dropout with probability p in training and in evaluation: the only noise z of pix2pix (section 3.1).

    It uses torch's default generator, whose state is part of checkpoints.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, training=True)


class UntrackedBatchNorm(nn.BatchNorm2d):
    """Batch normalization by the statistics of the current batch, never by running ones.

    In evaluation each image is its own batch, as in the authors' test scripts (batch size 1), so that an output does
    not depend on the rest of its batch; this equals instance normalization with the learned gamma and beta. The maps
    must have more than one pixel.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return super().forward(x)
        return instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)
