"""The networks through which metrics look at images. Each has a name, and a hash of its weights and preprocessing."""

from __future__ import annotations

import math
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, conv2d, interpolate

from gan_cli.metrics.base import Extractor, Features
from gan_cli.metrics.classifier import Classifier, labelled
from gan_cli.metrics.feature_cache import digest

__all__ = ["Auto", "Classifier", "Inception", "Pixels", "RandomFeatures", "Torchvision"]

CHUNK = 50  # images of 299 pixels that go through a network at once: about 1 GB


class Inception:
    """The InceptionV3 of published FIDs and Inception Scores, in torch-fidelity's port (`inception-v3-compat`) with
    TensorFlow's resize to 299 pixels.

    Features: the 2048 of pool3. Logits: 1008 without the bias of the last layer, as in the code of Salimans et al.
    2016 (arXiv 1606.03498). weights: the file of torch-fidelity's release v0.2.0; None: it is downloaded once.
    """

    module = "torch_fidelity.feature_extractor_inceptionv3"

    def __init__(self, weights: str | None = None) -> None:
        self.weights = weights
        self.name, self.hash = "inception", ""

    @classmethod
    def ready(cls) -> str | None:
        """Why it cannot work without a download; None when it can."""
        if find_spec("torch_fidelity") is None:
            return "torch-fidelity is not installed"
        path = cls._default(import_module(cls.module).URL_INCEPTION_V3)
        return None if path.is_file() else f"its weights are not in {path.parent}"

    def prepare(self, data: Any, device: torch.device) -> None:
        if find_spec("torch_fidelity") is None:
            raise ValueError(
                "extractor=inception needs torch-fidelity: pip install 'gan-cli[fid]'; or choose another extractor"
            )
        library = import_module(self.module)
        path = Path(self.weights).expanduser() if self.weights else self._fetched(library.URL_INCEPTION_V3)
        _state(path, "inception")  # torch-fidelity unpickles whatever it is given
        try:
            with torch.random.fork_rng(devices=[]):
                self._network = library.FeatureExtractorInceptionV3(
                    "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path)
                ).to(device)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise _wrong(path, "inception") from error
        self._device = device
        self.hash = digest(self._network.state_dict().items(), "inception-v3-compat, TensorFlow resize 299")

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        """Images are rounded to the 256 levels of a picture file, as the network wants them."""
        levels = ((_rgb(images).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        parts = [self._network(part.to(self._device)) for part in levels.split(CHUNK)]
        values, logits = (torch.cat(part).cpu() for part in zip(*parts))
        return Features(values, logits)

    @staticmethod
    def _default(url: str) -> Path:
        """Where torch-fidelity itself looks."""
        return Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]

    def _fetched(self, url: str) -> Path:
        """The weights' own place, filled if need be; their name ends with the head of their sha256."""
        path = self._default(url)
        if not path.is_file():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rsplit("-", 1)[1])
            except (OSError, RuntimeError) as error:  # no network, no room; a wrong hash
                raise ValueError(
                    f"the weights of extractor=inception cannot be fetched from {url} ({_line(error)}); "
                    "extractor.weights=FILE names a copy"
                ) from error
        return path


class Torchvision:
    """A classifier of torchvision.models on 224 pixels with ImageNet's normalisation.

    Features: what goes into its last linear layer. Logits: what comes out. weights: a file of its state dict; None:
    torchvision's default ones, downloaded once. Name: the backbone's.
    """

    def __init__(self, backbone: str = "resnet50", weights: str | None = None) -> None:
        self.backbone, self.weights = backbone, weights
        self.name, self.hash = backbone, ""

    def prepare(self, data: Any, device: torch.device) -> None:
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
            path, state = Path(f"torchvision's weights of {self.backbone}"), self._fetched()
        try:
            network.load_state_dict(state)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise _wrong(path, self.backbone) from error
        linear[-1].register_forward_pre_hook(self._keep)
        self._network, self._device = network.eval().to(device), device
        self.hash = digest(network.state_dict().items(), self.backbone, "antialiased bilinear 224", MEAN, STD)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        values, logits = [], []
        for part in images.split(CHUNK):
            logits.append(self._network(self._seen(part.to(self._device))).cpu())
            values.append(self._values.flatten(1).cpu())
        return Features(torch.cat(values), torch.cat(logits))

    def _keep(self, layer: nn.Module, inputs: tuple[Tensor]) -> None:
        self._values = inputs[0]

    @staticmethod
    def _seen(images: Tensor) -> Tensor:
        picture = (_rgb(images).clamp(-1, 1) + 1) / 2
        picture = interpolate(picture, size=(224, 224), mode="bilinear", antialias=True)
        mean, std = (torch.tensor(v, device=images.device)[:, None, None] for v in (MEAN, STD))
        return (picture - mean) / std

    def _fetched(self) -> Any:
        from torchvision.models import get_model_weights

        try:
            return get_model_weights(self.backbone).DEFAULT.get_state_dict(check_hash=True)
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"the weights of {self.backbone} cannot be fetched ({_line(error)}); "
                "extractor.weights=FILE names a copy"
            ) from error


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, for pixels in [0, 1]


class RandomFeatures:
    """An untrained ConvNet, the same on every machine: a last resort, after Naeem et al. 2020 (arXiv 2002.09797).

    256 features that keep something of the layout: three convolutions of stride 2, averaged on a grid of 4 x 4, then a
    random projection. No logits.
    """

    def __init__(self, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        shapes = [(16, 3, 3, 3), (32, 16, 3, 3), (64, 32, 3, 3), (256, 64 * 4 * 4)]
        self._weights = [  # He et al. 2015 (arXiv 1502.01852): variance 2 / fan-in
            torch.randn(shape, generator=generator) * math.sqrt(2 / math.prod(shape[1:])) for shape in shapes
        ]
        self.name = "random"
        self.hash = digest((("", weight) for weight in self._weights), "stride 2, ReLU, mean on 4 x 4, linear")

    def prepare(self, data: Any, device: torch.device) -> None:
        self._weights = [weight.to(device) for weight in self._weights]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        *kernels, projection = self._weights
        x = _rgb(images).to(projection.device)
        for kernel in kernels:
            x = conv2d(x, kernel, stride=2, padding=1).relu()
        return Features((adaptive_avg_pool2d(x, 4).flatten(1) @ projection.T).cpu())


class Pixels:
    """The pixels themselves, (N, C * H * W), or the coordinates of points. No logits."""

    def __init__(self) -> None:
        self.name, self.hash = "pixels", digest((), "pixels")

    def prepare(self, data: Any, device: torch.device) -> None:
        return

    def __call__(self, images: Tensor) -> Features:
        return Features(images.flatten(1).float().cpu())


class Auto:
    """The best extractor that needs no download: the classifier where the data set has labels; else Inception where
    its weights are; else random features, which a line announces. Points are their own features.

    Name, hash and record are those of the chosen one.
    """

    def __init__(self) -> None:
        self.name, self.hash = "auto", ""
        self.record: dict[str, Any] = {}

    def prepare(self, data: Any, device: torch.device) -> None:
        self._chosen = self._choose(data)
        self._chosen.prepare(data, device)
        self.name, self.hash = self._chosen.name, self._chosen.hash
        self.record = getattr(self._chosen, "record", {})

    def __call__(self, images: Tensor) -> Features:
        return self._chosen(images)

    def _choose(self, data: Any) -> Extractor:
        if data is not None and data.value_range is None:
            return Pixels()
        view = labelled(data)
        if view is not None and view.num_classes > 1:
            return Classifier()
        reason = Inception.ready()
        if reason is None:
            return Inception()
        print(
            f"note: extractor=random: {'there are no labels' if view is None else 'all labels are the same'} to train "
            f"a classifier on, and no extractor=inception, as {reason}; random features tell only large differences",
            flush=True,
        )
        return RandomFeatures()


def _rgb(images: Tensor) -> Tensor:
    """(N, 1 or 3, H, W) -> (N, 3, H, W). ValueError for points."""
    if images.shape[1] not in (1, 3):
        raise ValueError(f"this extractor sees pictures, not points of {images.shape[1]} numbers; use extractor=pixels")
    return images.expand(-1, 3, -1, -1)


def _state(path: Path, network: str) -> Any:
    """The state dict in a file of weights; nothing else in it is run. ValueError when it is not one."""
    if not path.is_file():
        raise ValueError(f"there are no weights of {network} at {path}; see extractor.weights")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a strange file fails in a way of its own
        raise _wrong(path, network) from error


def _wrong(path: Path, network: str) -> ValueError:
    return ValueError(
        f"{path} does not hold the weights of {network}; name another file by extractor.weights=FILE, "
        "or delete this one to have it fetched"
    )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
