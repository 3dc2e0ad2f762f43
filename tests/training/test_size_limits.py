"""A count with a digit too many is refused in seconds, not after hours or with all memory."""

import pytest
import torch
from helpers import composed
from torch import nn

from gan_cli.training import build, size_limits
from gan_cli.training.size_limits import MOST_LAYERS, bounded_networks
from gan_cli.utils.errors import GanError


def test_too_many_layers() -> None:
    with pytest.raises(ValueError, match=f"more than {MOST_LAYERS} layers"), bounded_networks():
        nn.Sequential(*(nn.Identity() for _ in range(MOST_LAYERS + 1)))
    with bounded_networks():
        nn.Sequential(*(nn.Identity() for _ in range(MOST_LAYERS)))
    nn.Sequential(*(nn.Identity() for _ in range(MOST_LAYERS + 1)))  # the bound ends with its context


def test_weights_beyond_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size_limits.os, "sysconf", {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4}.__getitem__)
    with bounded_networks():
        nn.Linear(999, 1, bias=False)
        with torch.device("meta"):
            nn.Linear(10**6, 1)
    with pytest.raises(ValueError, match="need more than the 0 GiB of this machine"), bounded_networks():
        nn.Linear(1000, 1)


def test_the_key_is_named() -> None:
    with pytest.raises(GanError, match=r"^model\.G: .* more than 5000 layers"):
        build.system(composed("model=cyclegan", "model.G.blocks=6000", "model.G.width=1"))


def test_no_model_is_near_the_bound() -> None:
    layers = {}
    for model in ("pix2pixhd_features", "cyclegan", "dualgan", "ladder", "began", "wgan_gp"):  # the deepest ones
        cfg = composed(f"model={model}")
        with torch.device("meta"):
            layers[model] = sum(1 for _ in build.system(cfg).modules())
    assert max(layers.values()) < MOST_LAYERS / 5, layers


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["loss.critic_steps=99999999999"], r"loss: critic_steps lies in \[1, 1000\]"),
        (["loss=wgan", "loss.critic_steps={_target_: gan_cli.losses.objective.WarmUp, high: 1001}"], "low and high"),
        (["model=unrolled", "model.unroll_steps=99999999999"], "unroll_steps"),
    ],
)
def test_too_many_steps(overrides: list[str], message: str) -> None:
    with pytest.raises(GanError, match=message):
        build.system(composed(*overrides))
