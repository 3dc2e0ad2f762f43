"""Maxout units (Goodfellow et al. 2013, arXiv 1302.4389)."""

from torch import Tensor, nn


class Maxout(nn.Module):
    """Maxout layer: x (N, inputs) -> (N, units), h_i(x) = max_j x W_ij + b_ij over `pieces` affine maps (section 3)."""

    def __init__(self, inputs: int, units: int, pieces: int = 5) -> None:
        super().__init__()
        self.affine = nn.Linear(inputs, units * pieces)
        self.shape = (units, pieces)

    def forward(self, x: Tensor) -> Tensor:
        return self.affine(x).unflatten(1, self.shape).amax(dim=2)
