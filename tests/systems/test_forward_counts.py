"""How often an iteration evaluates each network of each model: the numbers of version 0.1 are upper limits."""

from collections import Counter

import pytest
import torch
from helpers import composed, config_names
from omegaconf import DictConfig
from torch import nn

from gan_cli.training import build

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
SHORT_PHASES = ["model.global_iterations=1", "model.fixed_iterations=0"]
SETTINGS = {  # both iterations show what a model does: later phases begin after the first, and warm-ups are short
    "wgan": ["loss.critic_steps.high=2"],
    "mmd_gan": ["loss.critic_steps.high=2"],
    "gmmn_ae": ["model.pretrain=1"],
    "pix2pixhd": SHORT_PHASES,
    "pix2pixhd_features": SHORT_PHASES,
    "pix2pixhd_pairs": SHORT_PHASES,
}
FORWARD_PASSES = {  # per iteration, of the layer of each network that is evaluated most often
    "acgan": [{"generator": 2, "discriminator": 3}] * 2,
    "began": [{"generator": 2, "discriminator": 3}] * 2,
    "cgan": [{"generator": 2, "discriminator": 3}] * 2,
    "cls_gan": [{"generator": 2, "discriminator": 3}] * 2,
    "cyclegan": [{"G": 2, "F": 1, "D_X": 2, "D_Y": 2}] * 2,
    "dcgan": [{"generator": 1, "discriminator": 3}] * 2,
    "discogan": [{"G_AB": 1, "D_B": 2, "G_BA": 1, "D_A": 2}, {"G_AB": 2, "D_B": 2, "G_BA": 2, "D_A": 2}],
    "drit": [
        {"content": 14, "attribute": 4, "generator": 16, "D_X": 3, "D_Y": 3, "D2_X": 6, "D2_Y": 6, "D_content": 8}
    ] * 2,
    "dualgan": [{"G_A": 5, "G_B": 5, "D_A": 4, "D_B": 4}] * 2,
    "dualgan_code": [{"G_A": 3, "G_B": 3, "D_A": 4, "D_B": 4}] * 2,
    "ebgan": [{"generator": 2, "discriminator": 3}] * 2,
    "ebgan_ladder": [{"discriminator": 5, "generator": 2}] * 2,
    "ebgan_pt": [{"generator": 2, "discriminator": 3}] * 2,
    "fgan": [{"generator": 2, "discriminator": 2}] * 2,
    "fgan_single_step": [{"generator": 1, "discriminator": 1}] * 2,
    "gmmn": [{"generator": 1}] * 2,
    "gmmn_ae": [{"generator": 0, "encoder": 1, "decoder": 1}, {"generator": 1, "encoder": 1, "decoder": 0}],
    "infogan": [{"generator": 2, "trunk": 3, "discriminator": 3, "posterior": 2}] * 2,
    "ladder": [{"discriminator": 3}] * 2,
    "lsgan": [{"generator": 1, "discriminator": 3}] * 2,
    "mmd_gan": [{"generator": 3, "discriminator": 6, "decoder": 4}] * 2,
    "mmd_gan_rq": [{"generator": 6, "discriminator": 12}] * 2,
    "msgan": [{"generator": 1, "discriminator": 6}] * 2,
    "one_way_gan": [{"G_AB": 1, "D_B": 2}] * 2,
    "pacgan": [{"generator": 1, "discriminator": 3}] * 2,
    "pix2pix": [{"generator": 1, "discriminator": 3}] * 2,
    "pix2pix_noise": [{"generator": 1, "discriminator": 6}] * 2,
    "pix2pixhd": [{"G1": 1, "D": 4, "G2": 0}, {"G1": 1, "D": 4, "G2": 1}],
    "pix2pixhd_features": [{"G1": 1, "D": 4, "G2": 0, "E": 1}, {"G1": 1, "D": 4, "G2": 1, "E": 1}],
    "pix2pixhd_pairs": [{"G1": 1, "D": 4, "G2": 0}, {"G1": 1, "D": 4, "G2": 1}],
    "recongan": [{"G_AB": 1, "D_B": 2, "G_BA": 0}, {"G_AB": 1, "D_B": 2, "G_BA": 1}],
    "sgan": [{"generator": 1, "discriminator": 3}] * 2,
    "sngan": [{"generator": 2, "discriminator": 3}] * 2,
    "unrolled": [{"generator": 2, "discriminator": 14}] * 2,
    "wgan": [{"generator": 3, "discriminator": 5}] * 2,
    "wgan_gp": [{"generator": 6, "discriminator": 11}] * 2,
}  # fmt: skip


def narrow(model: str) -> DictConfig:
    """The model's config with batches of four and narrow networks."""
    words = [f"model={model}", "trainer.batch_size=4", "trainer.device=cpu", *SETTINGS.get(model, [])]
    cfg = composed(*words)
    for name, node in cfg.model.items():
        if isinstance(node, DictConfig) and "width" in node:
            node.width = 8 if name == "G1" else 4
    return cfg


def forward_passes(model: str) -> list[dict[str, int]]:
    """Of two iterations: network -> calls of the layer that is called most often."""
    cfg = narrow(model)
    system, data = build.system(cfg), build.dataset(cfg)
    trainer = build.trainer(cfg, system, data)
    calls: Counter[nn.Module] = Counter()
    layers = {
        name: [layer for layer in network.modules() if isinstance(layer, LAYERS)]
        for name, network in system.named_children()
    }
    for layer in (layer for group in layers.values() for layer in group):
        layer.register_forward_hook(lambda layer, inputs, output: calls.update([layer]))
    found = []
    for _ in range(2):
        calls.clear()
        trainer.iterate()
        found.append({name: max(calls[layer] for layer in group) for name, group in layers.items() if group})
    return found


@pytest.mark.parametrize("model", config_names("model"))
def test_no_network_is_evaluated_more_often_than_in_version_0_1(model: str) -> None:
    torch.manual_seed(0)
    for found, limit in zip(forward_passes(model), FORWARD_PASSES[model], strict=True):
        assert found.keys() == limit.keys()
        assert all(found[name] <= limit[name] for name in limit), (found, limit)
