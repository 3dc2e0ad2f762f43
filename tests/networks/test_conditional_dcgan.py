"""The convolutional discriminator of image and label."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, one_hot

from gan_cli.networks import conditional_code
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


# Newmu/dcgan_code, mnist/train_cond_dcgan.py


def weights_of(network: nn.Module) -> list[torch.Tensor]:
    """The four weights, which are all parameters, with values far from the initial ones."""
    weights = list(network.parameters())
    assert len(weights) == 4 and all(name.endswith("weight") for name, _ in network.named_parameters())
    for weight in weights:
        nn.init.normal_(weight, std=0.3)
    return weights


def normalized(h: torch.Tensor) -> torch.Tensor:
    return nn.functional.batch_norm(h, None, None, training=True, eps=1e-8)


def test_generator_of_dcgans_authors_layer_by_layer() -> None:
    G = conditional_code.Generator(12, 1, 3, latent_dim=2, width=4, hidden=5).double()
    w1, w2, w3, w4 = weights_of(G)
    z, y = torch.randn(6, 2, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2])
    label = one_hot(y, 3).double()
    planes = label[:, :, None, None]
    h = normalized(torch.cat([z, label], 1) @ w1.T).relu()
    h = normalized(torch.cat([h, label], 1) @ w2.T).relu().view(6, 8, 3, 3)
    h = conv_transpose2d(torch.cat([h, planes.expand(-1, -1, 3, 3)], 1), w3, None, 2, 2, 1)
    h = torch.cat([normalized(h).relu(), planes.expand(-1, -1, 6, 6)], 1)
    torch.testing.assert_close(G(z, y), conv_transpose2d(h, w4, None, 2, 2, 1).sigmoid())
    assert G(z, y).shape == (6, 1, 12, 12)


def test_discriminator_of_dcgans_authors_layer_by_layer() -> None:
    D = conditional_code.Discriminator(12, 1, 3, width=4, hidden=5).double()
    w1, w2, w3, w4 = weights_of(D)
    x, y = torch.rand(6, 1, 12, 12, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2])
    label = one_hot(y, 3).double()
    planes = label[:, :, None, None]
    h = leaky_relu(conv2d(torch.cat([x, planes.expand(-1, -1, 12, 12)], 1), w1, None, 2, 2), 0.2)
    h = normalized(conv2d(torch.cat([h, planes.expand(-1, -1, 6, 6)], 1), w2, None, 2, 2))
    h = torch.cat([leaky_relu(h, 0.2).flatten(1), label], 1)
    h = torch.cat([leaky_relu(normalized(h @ w3.T), 0.2), label], 1)
    torch.testing.assert_close(D(x, y), (h @ w4.T).flatten())


def test_networks_of_dcgans_authors_are_as_large_as_theirs() -> None:
    """gw, gw2, gw3, gwx; dw, dw2, dw3, dwy; N(0, .02)."""
    torch.manual_seed(0)
    G, D = conditional_code.Generator(28, 1, 10), conditional_code.Discriminator(28, 1, 10)
    sizes = [[110 * 1024, 1034 * 6272, 138 * 64 * 25, 74 * 25], [11 * 64 * 25, 74 * 128 * 25, 6282 * 1024, 1034]]
    for network, expected in zip((G, D), sizes):
        assert [weight.numel() for weight in network.parameters()] == expected
        assert all(weight.std().item() == pytest.approx(0.02, rel=0.1) for weight in network.parameters())
    with pytest.raises(ValueError, match="multiples of 4"):
        conditional_code.Discriminator(30, 1, 10)
