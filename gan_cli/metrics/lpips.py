"""LPIPS, a learned perceptual distance (Zhang et al. 2018, arXiv 1801.03924): AlexNet, version 0.1."""

import importlib.util
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from gan_cli.data.base import Dataset
from gan_cli.utils.image_size import sides, words
from gan_cli.utils.weights import read_weights

RELU = (1, 4, 7, 9, 11)  # layers of torchvision's AlexNet whose outputs are compared


class LPIPS(nn.Module):
    """LPIPS distance, eq. 1:  d(a, b) = sum_l mean_hw sum_c w_lc (a_lc - b_lc)^2.

    a_l, b_l are AlexNet's activations after ReLU l, normalized to unit length over the channels.

    alexnet: file of torchvision's weights. Images (N, 1|3, H, W) in [-1, 1], 64 pixels or more.
    ValueError, which names the remedy, if a file of weights is missing or holds something else.
    """

    least: ClassVar = 64  # pixels
    shift: Tensor
    scale: Tensor

    def __init__(self, alexnet: str | None) -> None:
        super().__init__()
        from torchvision.models import alexnet as build

        files = self.files(alexnet)
        backbone, linear = map(_read, files)
        with torch.device("meta"):  # no initial values: the file has them
            self.layers = build().features
        try:
            inner = {key.removeprefix("features."): x for key, x in backbone.items() if key.startswith("features.")}
            self.layers.load_state_dict(inner, assign=True)
            for number in range(len(RELU)):
                self.register_buffer(f"w{number}", linear[f"lin{number}.model.1.weight"])
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"{files[0]} or {files[1]} does not hold the weights of AlexNet's LPIPS") from error
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188])[:, None, None])
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450])[:, None, None])
        self.eval().requires_grad_(False)

    @staticmethod
    def files(alexnet: str | None) -> tuple[Path, Path]:
        """The files of AlexNet's weights and of the linear ones. ValueError if one of them is missing."""
        package = importlib.util.find_spec("lpips")
        if package is None or not package.submodule_search_locations:
            raise ValueError("LPIPS needs the linear weights of a package: pip install lpips, or metric=diversity")
        if alexnet is None:
            raise ValueError(
                "LPIPS needs torchvision's AlexNet: metric.lpips.alexnet=FILE (alexnet-owt-7be5be79.pth), "
                "or metric=diversity"
            )
        files = Path(alexnet).expanduser(), Path(package.submodule_search_locations[0], "weights", "v0.1", "alex.pth")
        for file in files:
            if not file.is_file():
                raise ValueError(f"LPIPS needs {file}, which is not there; metric=diversity needs no weights")
        return files

    @classmethod
    def check_size(cls, data: Dataset | None, remedy: str) -> None:
        """ValueError, which ends with the remedy, if the images of `data` are too small."""
        if data is not None and min(sides(data.image_size)) < cls.least:
            raise ValueError(f"LPIPS needs images of {cls.least} pixels, not {words(data.image_size)}: {remedy}")

    def activations(self, images: Tensor) -> list[Tensor]:
        """The normalized activations after each ReLU, (N, c, h, w)."""
        x = (images.expand(-1, 3, -1, -1) - self.shift) / self.scale
        outputs = []
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if number in RELU:
                outputs.append(normalize(x, dim=1, eps=1e-10))
        return outputs

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """The distance of each pair of images, (N,)."""
        if min(a.shape[-2:]) < self.least:
            raise ValueError(f"LPIPS needs images of {self.least} pixels or more, not {min(a.shape[-2:])}")
        layers = zip(self.activations(a), self.activations(b), strict=True)
        return sum(
            ((x - y).square() * getattr(self, f"w{number}")).sum(1).mean((1, 2))
            for number, (x, y) in enumerate(layers)
        )


def _read(file: Path) -> dict[str, Tensor]:
    try:
        state = read_weights(file)
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} is not a file of weights") from error
    if not isinstance(state, dict):
        raise ValueError(f"{file} is not a file of weights")
    return state
