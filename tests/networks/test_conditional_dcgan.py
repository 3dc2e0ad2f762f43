"""The convolutional discriminator of image and label."""

import pytest
import torch
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


@pytest.mark.parametrize("norm", ["batch", "layer", "none", "spectral", "instance"])
def test_every_norm(norm):
    D = JointDiscriminator(**OPTIONS, norm=norm)
    assert D(torch.randn(2, 1, 28, 28), torch.tensor([1, 2])).shape == (2,)
