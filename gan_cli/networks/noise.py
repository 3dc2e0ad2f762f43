"""Layers that do at test what they do in training, as pix2pix wants (Isola et al. 2017, sections 3.1 and 3.3)."""

from torch import Tensor, nn
from torch.nn.functional import dropout, instance_norm


class NoiseDropout(nn.Module):
    """Dropout with probability p in training and in evaluation: the only noise z of pix2pix (section 3.1).

    Drawn from torch's default generator, whose state a checkpoint holds.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, training=True)


class UntrackedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation with the statistics of the batch at hand, never with running ones.

    In evaluation each image is its own batch, as in the authors' test scripts (batch size 1), so an output does not
    depend on what it is computed beside; this equals instance normalisation with the learned gamma and beta. Images
    of more than one pixel.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return super().forward(x)
        return instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)
