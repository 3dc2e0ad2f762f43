"""junyanz/pytorch-CycleGAN-and-pix2pix as a baseline of `gan bench`; see bench/baselines.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from torch import nn

from gan_cli.networks.resnet import ResidualBlock
from gan_cli.networks.unet import UNet
from gan_cli.systems.cyclegan import CycleGAN
from gan_cli.systems.pix2pix import Pix2Pix
from gan_cli.tools.bench.baseline import Baseline, copy_weights, endless
from gan_cli.tools.bench.workload import Workload
from gan_cli.utils.errors import GanError
from gan_cli.utils.image_size import sides


def _options(workload: Workload, generator: nn.Module, critic: nn.Module, **more: Any) -> SimpleNamespace:
    """The command-line options of pytorch-CycleGAN-and-pix2pix that its models read."""
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
    """`name(options)` of a module of the checkout."""
    sys.path.insert(0, str(root.resolve()))
    try:
        return getattr(__import__(module, fromlist=[name]), name)(options)
    except ImportError as error:
        raise GanError(f"baseline={root}: {error}; install what it needs") from error
    finally:
        sys.path.pop(0)


class TranslationBaseline(Baseline):
    """Shared part of its two models. dataset_mode: its option for the kind of data."""

    dataset_mode = ""

    def start(self, model: Any, workload: Workload, names: Mapping[str, str]) -> None:
        """names: this package's name of a network -> that of the other code."""
        self.model = model
        self.networks = {
            name: copy_weights(getattr(model, theirs), workload.system.get_submodule(name))
            for name, theirs in names.items()
        }
        self.optimizers = model.optimizers
        self.inputs: dict[str, Any] = {"A": workload.batch[0], "B": workload.batch[1], "A_paths": [], "B_paths": []}

    def loader(self, root: Path, workload: Workload) -> Iterator[Any]:
        data, cfg = workload.data, workload.cfg.dataset
        side = max(sides(data.image_size))
        load_size = cfg.get("load_size") or round(side * 286 / 256)
        options = SimpleNamespace(
            dataroot=str(cfg.root), phase="train", dataset_mode=self.dataset_mode, max_dataset_size=float("inf"),
            direction="AtoB", preprocess="resize_and_crop", load_size=load_size,
            crop_size=side, no_flip=not cfg.get("flip", True), serial_batches=False, num_threads=4,
            batch_size=workload.cfg.trainer.batch_size, input_nc=data.channels, output_nc=data.channels,
        )  # fmt: skip
        return endless(_load(root, "data", "create_dataset", options))

    def step(self) -> None:
        self.model.set_input(next(self.batches) if self.batches else self.inputs)
        self.model.optimize_parameters()


class CycleGANBaseline(TranslationBaseline):
    """models/cycle_gan_model.py; its G_A is G of this package, its D_A is D_Y."""

    file, system = "models/cycle_gan_model.py", CycleGAN
    dataset_mode = "unaligned"
    compared = ("G", "F", "D_X", "D_Y")

    def __init__(self, root: Path, workload: Workload) -> None:
        system = cast(CycleGAN, workload.system)
        blocks = sum(isinstance(m, ResidualBlock) for m in system.G.modules())
        options = _options(
            workload, system.G, system.D_X, netG=f"resnet_{blocks}blocks", norm="instance", no_dropout=True,
            gan_mode="lsgan", pool_size=system.pool_x.size, lambda_A=system.lambda_x, lambda_B=system.lambda_y,
            lambda_identity=system.lambda_identity,
        )  # fmt: skip
        names = {"G": "netG_A", "F": "netG_B", "D_Y": "netD_A", "D_X": "netD_B"}
        self.start(_load(root, "models.cycle_gan_model", "CycleGANModel", options), workload, names)


class Pix2PixBaseline(TranslationBaseline):
    """models/pix2pix_model.py."""

    file, system = "models/pix2pix_model.py", Pix2Pix
    dataset_mode = "aligned"
    compared = ("generator", "discriminator")

    def __init__(self, root: Path, workload: Workload) -> None:
        system = cast(Pix2Pix, workload.system)
        depth = len(cast(UNet, system.generator).down)
        options = _options(
            workload, system.generator, system.discriminator, netG=f"unet_{2**depth}", norm="batch", no_dropout=False,
            gan_mode="vanilla", lambda_L1=system.lambda_L1,
        )  # fmt: skip
        names = {"generator": "netG", "discriminator": "netD"}
        self.start(_load(root, "models.pix2pix_model", "Pix2PixModel", options), workload, names)
