"""junyanz/pytorch-CycleGAN-and-pix2pix as a peer of `gan bench`; see bench/peers.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from torch import nn

from gan_cli.systems.cyclegan import CycleGAN
from gan_cli.systems.pix2pix import Pix2Pix
from gan_cli.tools.bench.peer import Peer, copy_weights, endless
from gan_cli.tools.bench.workload import Workload
from gan_cli.utils.errors import GanError


def _options(workload: Workload, generator: nn.Module, critic: nn.Module, **more: Any) -> SimpleNamespace:
    """The options of pytorch-CycleGAN-and-pix2pix that its models read."""
    first = next(m for m in generator.modules() if isinstance(m, nn.Conv2d))
    convolutions = [m for m in critic.modules() if isinstance(m, nn.Conv2d)]
    settings = workload.cfg.optimizer
    shared = {
        "gpu_ids": [workload.device.index or 0] if workload.device.type == "cuda" else [],
        "isTrain": True, "checkpoints_dir": "", "name": "", "preprocess": "resize_and_crop", "direction": "AtoB",
        "input_nc": workload.data.channels, "output_nc": workload.data.channels, "ngf": first.out_channels,
        "ndf": convolutions[0].out_channels, "netD": "n_layers", "n_layers_D": len(convolutions) - 2,
        "init_type": "normal", "init_gain": 0.02, "lr": settings.lr, "beta1": settings.betas[0],
    }  # fmt: skip
    return SimpleNamespace(**shared, **more)


def _load(root: Path, module: str, name: str, options: SimpleNamespace) -> Any:
    """What the checkout's `module` makes of the options."""
    sys.path.insert(0, str(root.resolve()))
    try:
        return getattr(__import__(module, fromlist=[name]), name)(options)
    except ImportError as error:
        raise GanError(f"peer={root}: {error}; install what it needs") from error
    finally:
        sys.path.pop(0)


class Junyanz(Peer):
    """What its two models share. pairs: how its loader calls the data."""

    pairs = ""
    model: Any
    inputs: Any

    def feed(self, root: Path, workload: Workload) -> Iterator[Any]:
        data, cfg = workload.data, workload.cfg.dataset
        load_size = cfg.get("load_size") or round(data.image_size * 286 / 256)
        options = SimpleNamespace(
            dataroot=str(cfg.root), phase="train", dataset_mode=self.pairs, max_dataset_size=float("inf"),
            direction="AtoB", preprocess="resize_and_crop", load_size=load_size,
            crop_size=data.image_size, no_flip=not cfg.get("flip", True), serial_batches=False, num_threads=4,
            batch_size=workload.cfg.trainer.batch_size, input_nc=data.channels, output_nc=data.channels,
        )  # fmt: skip
        return endless(_load(root, "data", "create_dataset", options))

    def step(self) -> None:
        self.model.set_input(next(self.batches) if self.batches else self.inputs)
        self.model.optimize_parameters()


class JunyanzCycleGAN(Junyanz):
    """junyanz/pytorch-CycleGAN-and-pix2pix, models/cycle_gan_model.py; its G_A is our G, its D_A our D_Y."""

    file, system = "models/cycle_gan_model.py", CycleGAN
    pairs = "unaligned"
    compared = ("G", "F", "D_X", "D_Y")

    def __init__(self, root: Path, workload: Workload) -> None:
        ours: Any = workload.system
        blocks = sum(type(m).__name__ == "Block" for m in ours.G.modules())
        options = _options(
            workload, ours.G, ours.D_X, netG=f"resnet_{blocks}blocks", norm="instance", no_dropout=True,
            gan_mode="lsgan", pool_size=ours.pool_x.size, lambda_A=ours.lambda_x, lambda_B=ours.lambda_y,
            lambda_identity=ours.lambda_identity,
        )  # fmt: skip
        self.model = _load(root, "models.cycle_gan_model", "CycleGANModel", options)
        names = {"G": "netG_A", "F": "netG_B", "D_Y": "netD_A", "D_X": "netD_B"}
        self.networks = {k: copy_weights(getattr(self.model, name), getattr(ours, k)) for k, name in names.items()}
        self.optimizers = self.model.optimizers
        self.inputs: dict[str, Any] = {"A": workload.batch[0], "B": workload.batch[1], "A_paths": [], "B_paths": []}


class JunyanzPix2Pix(Junyanz):
    """junyanz/pytorch-CycleGAN-and-pix2pix, models/pix2pix_model.py."""

    file, system = "models/pix2pix_model.py", Pix2Pix
    pairs = "aligned"
    compared = ("generator", "discriminator")

    def __init__(self, root: Path, workload: Workload) -> None:
        ours: Any = workload.system
        depth = len(ours.generator.down)
        options = _options(
            workload, ours.generator, ours.discriminator, netG=f"unet_{2**depth}", norm="batch", no_dropout=False,
            gan_mode="vanilla", lambda_L1=ours.lambda_L1,
        )  # fmt: skip
        self.model = _load(root, "models.pix2pix_model", "Pix2PixModel", options)
        names = {"generator": "netG", "discriminator": "netD"}
        self.networks = {k: copy_weights(getattr(self.model, name), getattr(ours, k)) for k, name in names.items()}
        self.optimizers = self.model.optimizers
        self.inputs: dict[str, Any] = {"A": workload.batch[0], "B": workload.batch[1], "A_paths": [], "B_paths": []}
