"""The convolutional discriminator of image and label."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, leaky_relu

from gan_cli.networks.conditional import JointDiscriminator

OPTIONS = {"image_size": 28, "channels": 1, "num_classes": 10, "width": 4}


def test_image_and_label_meet_in_the_last_hidden_layer():
    D = JointDiscriminator(**OPTIONS, norm="none").double()
    x, y = torch.randn(3, 1, 28, 28, dtype=torch.float64), torch.tensor([0, 7, 9])
    first, _, second, _ = D.from_x
    h = conv2d(leaky_relu(conv2d(x, first.weight, first.bias, 2, 1), 0.2), second.weight, second.bias, 2, 1)
    h = leaky_relu(h + D.from_y.weight.T[y][:, :, None, None], 0.2)
    torch.testing.assert_close(D(x, y), (h * D.score[1].weight).sum(dim=(1, 2, 3)))


def test_the_first_layer_has_no_bias():
    """Of the label's shifts, which come last, none reaches it."""
    assert JointDiscriminator(**OPTIONS).from_x[0].bias is None


def test_the_label_counts_and_not_by_a_constant():
    D = JointDiscriminator(**OPTIONS, norm="none")
    for weight in D.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    x = torch.randn(4, 1, 28, 28)
    apart = D(x, torch.full((4,), 3)) - D(x, torch.full((4,), 5))
    assert apart.std() > 1e-3


@pytest.mark.parametrize(
    ("norm", "layer"),
    [("batch", nn.BatchNorm2d), ("layer", nn.GroupNorm), ("none", nn.Identity), ("instance", nn.InstanceNorm2d)],
)
def test_the_label_is_added_after_the_norm(norm: str, layer: type[nn.Module]) -> None:
    """The label shifts the normalized features of the last hidden layer, which the norm must not undo."""
    D = JointDiscriminator(**OPTIONS, norm=norm).eval()
    x, y = torch.randn(2, 1, 28, 28), torch.tensor([1, 2])
    assert isinstance(D.from_x[-1], layer)
    h = leaky_relu(D.from_x(x) + D.from_y.weight.T[y][:, :, None, None], 0.2)
    torch.testing.assert_close(D(x, y), (h * D.score[1].weight).sum(dim=(1, 2, 3)))


def test_spectral_norm_acts_on_the_labels_weights_too() -> None:
    D = JointDiscriminator(**OPTIONS, norm="spectral").eval()
    layers = [D.from_x[0], D.from_x[2], D.from_y, D.score[1]]
    largest = [torch.linalg.svdvals(layer.weight.flatten(1)).max().item() for layer in layers]
    assert largest == pytest.approx([1] * 4, abs=0.05)
