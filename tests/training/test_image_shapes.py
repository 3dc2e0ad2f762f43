"""Every network at 64 x 96 pixels: it trains and makes images of that size, or it refuses in one line."""

import re
from typing import Any

import pytest
import torch
from helpers import ROOT, composed, config_names
from omegaconf import DictConfig, OmegaConf

from gan_cli.systems.base import Generates
from gan_cli.training.run import prepare
from gan_cli.utils.errors import GanError

SIZE = (64, 96)
NARROW = {"width": 4, "widths": [8, 8], "size": 8, "units": 8, "label_dim": 8}
"""Settings of networks that make them quick to build."""
MODELS = {  # network -> its model, and settings that it needs; dcgan where there is nothing to say
    "began": "began", "cls_gan": "cls_gan", "discogan": "discogan", "infogan": "infogan", "mmd_gan": "mmd_gan",
    "acgan_dcgan": "acgan", "conditional_dcgan": "cgan", "conditional_dcgan_code": "cgan", "conditional_mlp": "cgan",
    "cyclegan": "cyclegan", "drit": "drit", "drit_fwt": "drit", "drit_small": "drit", "dualgan": "dualgan",
    "dualgan_code": "dualgan_code", "ebgan_dcgan": "ebgan", "ebgan_ladder": "ebgan_ladder", "ebgan_mlp": "ebgan",
    "fgan_lsun": "fgan", "fgan_mnist": "fgan", "gmmn": "gmmn", "gmmn_ae": "gmmn_ae", "ladder": "ladder",
    "lsgan_characters": "cgan", "mlp_points_autoencoder": "ebgan", "mlp_points_features": "mmd_gan_rq loss=repulsive",
    "mmd_gan_rq": "mmd_gan_rq", "msgan": "msgan", "one_way_gan": "one_way_gan", "pix2pix": "pix2pix",
    "pix2pix_noise": "pix2pix_noise", "pix2pixhd": "pix2pixhd", "pix2pixhd_features": "pix2pixhd_features",
    "pix2pixhd_global": "pix2pixhd model.global_iterations=0 model.fixed_iterations=0",
    "pix2pixhd_pairs": "pix2pixhd_pairs", "projection_dcgan": "cgan", "recongan": "recongan",
    "repulsive": "mmd_gan_rq loss=repulsive", "wgan_gp_resnet_acgan": "acgan",
}  # fmt: skip
REFUSED = {
    "discogan_toy": ("discogan", "image_size 64 x 96: this network is for points; network=discogan is for images"),
    "one_way_gan_toy": ("one_way_gan", "image_size 64 x 96: this network is for points; network=discogan"),
    "recongan_toy": ("recongan", "image_size 64 x 96: this network is for points; network=discogan"),
    "ebgan_imagenet128": ("ebgan", "model.generator: image_size 64 x 96: 6 noise planes lead to 128 pixels; network="),
    "ebgan_imagenet256": ("ebgan", "model.generator: image_size 64 x 96: 7 noise planes lead to 256 pixels; network="),
    "fgan_gaussian": ("fgan", "model.discriminator: image_size 64 x 96: this network is for points, such as dataset="),
    "stacked_dcgan": ("dcgan", "model.generator: image_size 64 x 96: these networks are for 28 pixels, dataset="),
    "stacked_small": ("dcgan", "model.generator: image_size 64 x 96: these networks are for 28 pixels, dataset="),
}
TRAINED = [name for name in config_names("network") if name not in REFUSED]
COLOR = ("pix2pixhd", "pix2pixhd_features", "pix2pixhd_global")
"""Networks whose data set is in color; the others are tested on gray images."""
FIXED_WIDTH = ("infogan", "lsgan_characters")
"""Networks with layers of a thousand units on all maps, which take minutes at 64 x 96: tested at a quarter of that."""


def narrowed(network: str, model: str, size: tuple[int, int] = SIZE) -> DictConfig:
    """The configuration of a network with few channels and units."""
    words = [*f"model={model}".split(), f"network={network}", "trainer.batch_size=4", "trainer.device=cpu"]
    words += [] if network in COLOR else ["dataset.channels=1"]
    cfg = composed(*words, f"dataset.image_size={list(size)}")
    for part, node in cfg.model.items():
        given: Any = node if isinstance(node, DictConfig) and "_target_" in node else {}
        for key, value in NARROW.items():
            if key in given and not OmegaConf.is_interpolation(given, key):
                # Of pix2pixHD, G1 is twice as wide as G2.
                given[key] = 8 if part == "G1" else value[:1] * len(given[key]) if isinstance(value, list) else value
    return cfg


@pytest.mark.parametrize("network", TRAINED)
def test_a_network_trains(network: str) -> None:
    height, width = (size // 4 for size in SIZE) if network in FIXED_WIDTH else SIZE
    prepared = prepare(narrowed(network, MODELS.get(network, "dcgan"), (height, width)))  # trains one iteration
    system = prepared.system.eval()
    with torch.no_grad():
        if isinstance(system, Generates):
            images = {"generated": system.generate(2)}
        else:
            images = system.sample(prepared.data.test_batch(0, 2))
    assert images and {image.shape[2:] for image in images.values()} == {(height, width)}


@pytest.mark.parametrize("network", REFUSED)
def test_a_network_refuses(network: str) -> None:
    model, line = REFUSED[network]
    with pytest.raises(GanError, match=re.escape(line)) as error:
        prepare(narrowed(network, model))
    assert "\n" not in str(error.value)


def test_the_page_has_both_lists() -> None:
    page = (ROOT / "docs" / "IMAGES.md").read_text().split("## Sizes that are not square")[1].split("\n## ")[0]
    _, trained, refused = re.split("Trained at 64 x 96:|Refused at 64 x 96:", page)
    assert [re.findall(r"`(\w+)`", names) for names in (trained, refused)] == [TRAINED, sorted(REFUSED)]
