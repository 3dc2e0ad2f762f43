"""The perceptual loss of VGG19 features (Johnson et al. 2016; network: Simonyan & Zisserman 2015)."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from gan_cli.utils.weights import read_weights

WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512)  # up to conv5_1; 0: a pooling
TAPS = {1: 1 / 32, 6: 1 / 16, 11: 1 / 8, 20: 1 / 4, 29: 1.0}  # relu1_1, 2_1, 3_1, 4_1, 5_1 in torchvision's numbering


class VGGLoss:
    """Perceptual loss sum_i w_i mean |phi_i(fake) - phi_i(real)|, where phi_i is relu_i_1 of VGG19.

    w = 1/32, 1/16, 1/8, 1/4, 1, as in VGGLoss of pix2pixHD, which uses images in [-1, 1] without ImageNet's
    normalization. Images: (N, 3, H, W) of at least 16 pixels. weights: a file with torchvision's vgg19 state dict, read
    at the first call; ValueError if it does not exist or is of another network. The loss is not a module, because
    nothing of it is trained or stored in checkpoints.
    """

    def __init__(self, weights: str) -> None:
        self.weights = weights
        self._layers: nn.Sequential | None = None

    def __call__(self, fake: Tensor, real: Tensor) -> Tensor:
        if self._layers is None:
            self._layers = load(Path(self.weights).expanduser())
        self._layers.to(fake.device)
        total = torch.zeros((), device=fake.device)
        for i, layer in enumerate(self._layers):
            fake, real = layer(fake), layer(real)
            if i in TAPS:
                total = total + TAPS[i] * l1_loss(fake, real)
        return total


def vgg19() -> nn.Sequential:
    """Return the first 30 layers of torchvision's `features`, up to relu5_1, without memory for the weights."""
    layers: list[nn.Module] = []
    narrow = 3
    with torch.device("meta"):
        for width in WIDTHS:
            if width:
                layers += [nn.Conv2d(narrow, width, 3, padding=1), nn.ReLU()]
                narrow = width
            else:
                layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def load(path: Path) -> nn.Sequential:
    """Return VGG19 with the weights of `path`, frozen. ValueError if they do not exist or are another network's."""
    if not path.is_file():
        raise ValueError(
            f"there are no weights of VGG19 at {path}: set model.perceptual.weights=FILE to torchvision's "
            "vgg19-dcbb9e9d.pth, or model.perceptual=null to train without them"
        )
    layers = vgg19()
    try:
        state = read_weights(path)
        needed = {name: state[f"features.{name}"].float() for name in layers.state_dict()}
        layers.load_state_dict(needed, assign=True)
    except Exception as error:  # which error a file of another format raises depends on the format
        raise ValueError(f"{path} does not hold torchvision's weights of VGG19 (features.0.weight, ...)") from error
    return layers.requires_grad_(False)
