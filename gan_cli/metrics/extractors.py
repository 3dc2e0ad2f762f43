"""Networks that compute features of images. Each has a name, and a hash of its weights and preprocessing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, conv2d, interpolate

from gan_cli.metrics.base import Dataset, Extractor, Features
from gan_cli.metrics.classifier import Classifier, labeled_view
from gan_cli.metrics.efficientnet import EfficientNetLite0
from gan_cli.metrics.feature_cache import digest
from gan_cli.metrics.pixels import rgb
from gan_cli.utils.errors import one_line
from gan_cli.utils.weights import read_weights

__all__ = ["Auto", "Classifier", "EfficientNetLite0", "Inception", "Pixels", "RandomFeatures", "Torchvision"]

CHUNK = 50  # images per forward pass: about 1 GB at 299 pixels


class Inception(Extractor):
    """The InceptionV3 of published FIDs and Inception Scores, as ported by torch-fidelity (`inception-v3-compat`).

    Images are resized to 299 pixels as TensorFlow does. Features: the 2048 of pool3. Logits: 1008, without the bias of
    the last layer, as in the code of Salimans et al. 2016 (arXiv 1606.03498). weights: file of torch-fidelity's release
    v0.2.0; None: it is downloaded once.
    """

    module = "torch_fidelity.feature_extractor_inceptionv3"

    def __init__(self, weights: str | None = None) -> None:
        self.weights = weights
        self.name, self.hash = "inception", ""

    @classmethod
    def ready(cls) -> str | None:
        """Why this extractor would need a download; None if it needs none."""
        if find_spec("torch_fidelity") is None:
            return "torch-fidelity is not installed"
        path = cls._default(import_module(cls.module).URL_INCEPTION_V3)
        return None if path.is_file() else f"its weights are not in {path.parent}"

    def prepare(self, data: Dataset | None, device: torch.device) -> None:
        if find_spec("torch_fidelity") is None:
            raise ValueError(
                "extractor=inception needs torch-fidelity: pip install 'gan-cli[fid]'; or choose another extractor"
            )
        library = import_module(self.module)
        path = Path(self.weights).expanduser() if self.weights else self._download(library.URL_INCEPTION_V3)
        _state(path, "inception")  # a safe load first: torch-fidelity unpickles any file, and so may run its code
        try:
            with torch.random.fork_rng(devices=[]):
                self._network = library.FeatureExtractorInceptionV3(
                    "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path)
                ).to(device)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise _wrong_weights(path, "inception") from error
        self._device = device
        self.hash = digest(self._network.state_dict().items(), "inception-v3-compat, TensorFlow resize 299")

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        # The network expects the 256 levels of an image file.
        levels = ((rgb(images).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        parts = [self._network(part.to(self._device)) for part in levels.split(CHUNK)]
        values, logits = (torch.cat(part).cpu() for part in zip(*parts))
        return Features(values, logits)

    @staticmethod
    def _default(url: str) -> Path:
        """Where torch-fidelity itself keeps the weights."""
        return Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]

    def _download(self, url: str) -> Path:
        """The file of the weights, downloaded if it is missing. Its name ends with the first digits of its sha256."""
        path = self._default(url)
        if not path.is_file():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rsplit("-", 1)[1])
            except (OSError, RuntimeError) as error:  # no network or no space; a wrong hash
                raise ValueError(
                    f"the weights of extractor=inception cannot be downloaded from {url} ({one_line(error)}); "
                    "extractor.weights=FILE names a copy"
                ) from error
        return path


class Torchvision(Extractor):
    """A classifier of torchvision.models, for images resized to 224 pixels with ImageNet's normalization.

    Features: the inputs of its last linear layer. Logits: the outputs of that layer. backbone: name of the model, and
    of the extractor. weights: file of its state dict; None: torchvision's default weights, downloaded once.
    """

    def __init__(self, backbone: str = "resnet50", weights: str | None = None) -> None:
        self.backbone, self.weights = backbone, weights
        self.name, self.hash = backbone, ""

    def prepare(self, data: Dataset | None, device: torch.device) -> None:
        from torchvision import models

        if self.backbone not in models.list_models(module=models):
            raise ValueError(
                f"torchvision has no classifier '{self.backbone}'; extractor.backbone is one of its models, such as "
                "resnet50, vgg16 or alexnet"
            )
        with torch.random.fork_rng(devices=[]):
            network = models.get_model(self.backbone, weights=None)
        linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
        if not linear:
            raise ValueError(f"{self.backbone} ends in no linear layer; choose extractor.backbone=resnet50")
        if self.weights:
            path = Path(self.weights).expanduser()
            state = _state(path, self.backbone)
        else:
            path, state = Path(f"torchvision's weights of {self.backbone}"), self._download()
        try:
            network.load_state_dict(state)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise _wrong_weights(path, self.backbone) from error
        linear[-1].register_forward_pre_hook(self._record_inputs)
        self._network, self._device = network.eval().to(device), device
        self.hash = digest(network.state_dict().items(), self.backbone, "antialiased bilinear 224", MEAN, STD)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        values, logits = [], []
        for part in images.split(CHUNK):
            logits.append(self._network(self._preprocess(part.to(self._device))).cpu())
            values.append(self._values.flatten(1).cpu())
        return Features(torch.cat(values), torch.cat(logits))

    def _record_inputs(self, layer: nn.Module, inputs: tuple[Tensor]) -> None:
        self._values = inputs[0]

    @staticmethod
    def _preprocess(images: Tensor) -> Tensor:
        pixels = (rgb(images).clamp(-1, 1) + 1) / 2
        pixels = interpolate(pixels, size=(224, 224), mode="bilinear", antialias=True)
        mean, std = (torch.tensor(v, device=images.device)[:, None, None] for v in (MEAN, STD))
        return (pixels - mean) / std

    def _download(self) -> Mapping[str, Any]:
        from torchvision.models import get_model_weights

        try:
            return get_model_weights(self.backbone).DEFAULT.get_state_dict(check_hash=True)
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"the weights of {self.backbone} cannot be downloaded ({one_line(error)}); "
                "extractor.weights=FILE names a copy"
            ) from error


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, for pixels in [0, 1]


class RandomFeatures(Extractor):
    """An untrained ConvNet, the same on every machine: a last resort, after Naeem et al. 2020 (arXiv 2002.09797).

    256 features that depend on the layout of the image: three convolutions of stride 2, averages on a grid of 4 x 4,
    and a random projection. No logits.
    """

    def __init__(self, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        shapes = [(16, 3, 3, 3), (32, 16, 3, 3), (64, 32, 3, 3), (256, 64 * 4 * 4)]
        self._weights = [  # He et al. 2015 (arXiv 1502.01852): variance 2 / fan-in
            torch.randn(shape, generator=generator) * math.sqrt(2 / math.prod(shape[1:])) for shape in shapes
        ]
        self.name = "random"
        self.hash = digest((("", weight) for weight in self._weights), "stride 2, ReLU, mean on 4 x 4, linear")

    def prepare(self, data: Dataset | None, device: torch.device) -> None:
        self._weights = [weight.to(device) for weight in self._weights]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        *kernels, projection = self._weights
        x = rgb(images).to(projection.device)
        for kernel in kernels:
            x = conv2d(x, kernel, stride=2, padding=1).relu()
        return Features((adaptive_avg_pool2d(x, 4).flatten(1) @ projection.T).cpu())


class Pixels(Extractor):
    """The pixels of images, (N, C * H * W), or the coordinates of points. No logits."""

    def __init__(self) -> None:
        self.name, self.hash = "pixels", digest((), "pixels")

    def prepare(self, data: Dataset | None, device: torch.device) -> None:
        return

    def __call__(self, images: Tensor) -> Features:
        return Features(images.flatten(1).float().cpu())


class Auto(Extractor):
    """The best extractor that needs no download.

    For points, Pixels; for a data set with labels, Classifier; otherwise the first of `pretrained` whose weights are on
    this machine, or else RandomFeatures. A printed note says why it is not a better one. pretrained: `inception` and
    `efficientnet_lite0`, in any order. name, hash and record are those of the chosen extractor.
    """

    # Runs that were made before efficientnet_lite0 have no list in their config, and keep their scores comparable.
    def __init__(self, pretrained: Sequence[str] = ("inception",)) -> None:
        unknown = [name for name in pretrained if name not in PRETRAINED]
        if unknown:
            raise ValueError(f"extractor.pretrained has names of {', '.join(PRETRAINED)}, not {unknown[0]!r}")
        self.pretrained = pretrained
        self.name, self.hash = "auto", ""
        self.record: dict[str, Any] = {}

    def prepare(self, data: Dataset | None, device: torch.device) -> None:
        self._chosen = self._choose(data)
        self._chosen.prepare(data, device)
        self.name, self.hash = self._chosen.name, self._chosen.hash
        self.record = self._chosen.record if isinstance(self._chosen, Classifier) else {}

    def __call__(self, images: Tensor) -> Features:
        return self._chosen(images)

    def _choose(self, data: Dataset | None) -> Extractor:
        if data is not None and data.value_range is None:
            return Pixels()
        view = labeled_view(data)
        if view is not None and (view.num_classes or 0) > 1:
            return Classifier()
        reasons = [f"for a classifier there are no labels{'' if view is None else ' that differ'}"]
        for name in self.pretrained:
            reason = PRETRAINED[name].ready()
            if reason is None:
                if name != "inception":
                    _note(f"{name}, which gives no published FID", reasons)
                return PRETRAINED[name]()
            reasons.append(f"for extractor={name} {reason}")
        _note("random, which shows only large differences", reasons)
        return RandomFeatures()


PRETRAINED: dict[str, type[Inception] | type[EfficientNetLite0]] = {
    "inception": Inception, "efficientnet_lite0": EfficientNetLite0
}  # fmt: skip


def _note(choice: str, reasons: Sequence[str]) -> None:
    print(f"note: extractor={choice}: {'; '.join(reasons)}", flush=True)


def _state(path: Path, network: str) -> Mapping[str, Any]:
    """The state dict in a file of weights, loaded without running any code in it. ValueError if it is not one."""
    if not path.is_file():
        raise ValueError(f"there are no weights of {network} at {path}; see extractor.weights")
    try:
        weights: Mapping[str, Any] = read_weights(path)
        return weights
    except (OSError, ValueError) as error:
        raise _wrong_weights(path, network) from error


def _wrong_weights(path: Path, network: str) -> ValueError:
    return ValueError(
        f"{path} does not hold the weights of {network}; name another file by extractor.weights=FILE, "
        "or delete this one to download it again"
    )
