"""What the instances of each class looked like: the features that pix2pixHD draws styles from."""

import torch
from torch import Tensor, nn

from gan_cli.utils.clustering import kmeans
from gan_cli.utils.random import uniform


class FeatureBank(nn.Module):
    """The newest `size` feature vectors of each class; K-means centres of them are the styles of that class
    (Wang et al. 2018, arXiv 1711.11585, section 3.4; encode_features.py: K = 10).

    Everything is in buffers, so that a checkpoint can draw styles without the training set. Differs: the paper encodes
    all instances of the training set once E is trained; here they are the newest `size` of each class that were seen
    while E still moved.
    """

    features: Tensor
    seen: Tensor

    def __init__(self, classes: int, channels: int, size: int = 256, k: int = 10) -> None:
        super().__init__()
        self.size, self.k = size, k
        self.register_buffer("features", torch.zeros(classes, size, channels))
        self.register_buffer("seen", torch.zeros(classes, dtype=torch.int64))  # so far, of each class

    @torch.no_grad()
    def add(self, features: Tensor, classes: Tensor) -> None:
        """features (M, channels) of instances of these classes (M,); the oldest make room."""
        order = torch.argsort(classes, stable=True)
        features, classes = features[order].float(), classes[order]
        count = torch.bincount(classes, minlength=len(self.seen))
        rank = torch.arange(len(classes), device=classes.device) - (count.cumsum(0) - count)[classes]
        newest = rank >= count[classes] - self.size
        features, classes, rank = features[newest], classes[newest], rank[newest]
        self.features[classes, (self.seen[classes] + rank) % self.size] = features
        self.seen += count

    def centres(self, cls: int) -> Tensor:
        """(min(k, features), channels), always the same ones for the same features; none for a class never seen."""
        stored = self.features[cls, : min(int(self.seen[cls]), self.size)]
        distinct = len(torch.unique(stored, dim=0)) if len(stored) else 0
        return kmeans(stored, min(self.k, distinct), seed=0) if distinct else stored

    def draw(self, classes: Tensor) -> Tensor:
        """(M,) -> (M, channels): for each instance one of its class's centres; 0 for a class never seen."""
        u = uniform(len(classes), device=classes.device)
        drawn = torch.zeros(len(classes), self.features.shape[2], device=classes.device)
        for cls in torch.unique(classes).tolist():
            centres, rows = self.centres(cls), classes == cls
            if len(centres):
                drawn[rows] = centres[(u[rows] * len(centres)).long()]
        return drawn
