"""Features of the instances of each class, from which pix2pixHD draws styles."""

import torch
from torch import Tensor, nn

from gan_cli.utils.clustering import kmeans
from gan_cli.utils.random import uniform


class FeatureBank(nn.Module):
    """The newest `size` feature vectors of each class, whose K-means centers are the styles of that class.

    Wang et al. 2018 (arXiv 1711.11585), section 3.4; k = 10 in encode_features.py. All is held in buffers, so that a
    checkpoint can draw styles without the training set. Differs: the paper encodes all instances of the training set
    with the trained E; here they are the newest `size` of each class that were encoded while E was trained.
    """

    features: Tensor
    counts: Tensor

    def __init__(self, classes: int, channels: int, size: int = 256, k: int = 10) -> None:
        super().__init__()
        self.size, self.k = size, k
        self.register_buffer("features", torch.zeros(classes, size, channels))
        self.register_buffer("counts", torch.zeros(classes, dtype=torch.int64))  # added so far, per class

    @torch.no_grad()
    def add(self, features: Tensor, classes: Tensor) -> None:
        """Store features (M, channels) of instances of these classes (M,) in the place of the oldest."""
        order = torch.argsort(classes, stable=True)
        features, classes = features[order].float(), classes[order]
        count = torch.bincount(classes, minlength=len(self.counts))
        rank = torch.arange(len(classes), device=classes.device) - (count.cumsum(0) - count)[classes]
        # Of more than `size` vectors of a class only the last fit; two writes to one row would have no defined order.
        newest = rank >= count[classes] - self.size
        features, classes, rank = features[newest], classes[newest], rank[newest]
        self.features[classes, (self.counts[classes] + rank) % self.size] = features
        self.counts += count

    def centers(self, cls: int) -> Tensor:
        """(min(k, distinct features), channels), deterministic; (0, channels) for a class without features."""
        stored = self.features[cls, : min(int(self.counts[cls]), self.size)]
        distinct = len(torch.unique(stored, dim=0)) if len(stored) else 0
        return kmeans(stored, min(self.k, distinct), seed=0) if distinct else stored

    def draw(self, classes: Tensor) -> Tensor:
        """(M,) -> (M, channels): a random center of each instance's class; 0 for a class without features."""
        u = uniform(len(classes), device=classes.device)
        drawn = torch.zeros(len(classes), self.features.shape[2], device=classes.device)
        for cls in torch.unique(classes).tolist():
            centers, rows = self.centers(cls), classes == cls
            if len(centers):
                drawn[rows] = centers[(u[rows] * len(centers)).long()]
        return drawn
