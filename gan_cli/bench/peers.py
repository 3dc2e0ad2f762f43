"""Other people's trainings of the same networks, imported from a checkout of the user's: `peer=PATH`.

Nothing of them is kept here. Each adapter says which file it looks for, gives the peer our weights and our batch, and
plays one iteration of its training as its own loop does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gan_cli import draw
from gan_cli.bench.games import Game
from gan_cli.bench.peer import Peer, adam, copy_weights, definitions
from gan_cli.errors import GanError
from gan_cli.penalties import GradientPenalty
from gan_cli.systems.cyclegan import CycleGAN
from gan_cli.systems.gan import GAN
from gan_cli.systems.pix2pix import Pix2Pix


def find(path: str, game: Game) -> Callable[[], Peer]:
    """What makes the peer, once `game` has its networks. GanError if no adapter fits the checkout and the game."""
    root = Path(path)
    here = [kind for kind in ADAPTERS if (root / kind.file).is_file() or path == kind.file]
    if not here:
        known = ", ".join(kind.file for kind in ADAPTERS)
        raise GanError(f"peer={path}: no such checkout, or one that is not known; a known one holds {known}")
    fitting = [kind for kind in here if type(game.system) is kind.system]
    if not fitting:
        names = " or ".join(kind.system.__name__ for kind in here)
        raise GanError(f"peer={path} plays {names}, and this model is {type(game.system).__name__}")
    kind = fitting[0]
    kind.adopt(root, game)
    return lambda: kind(root, game)  # type: ignore[call-arg]


def _options(game: Game, generator: nn.Module, critic: nn.Module, **more: Any) -> SimpleNamespace:
    """The options of pytorch-CycleGAN-and-pix2pix that its models read."""
    first = next(m for m in generator.modules() if isinstance(m, nn.Conv2d))
    convolutions = [m for m in critic.modules() if isinstance(m, nn.Conv2d)]
    settings = game.cfg.optimizer
    shared = {
        "gpu_ids": [game.device.index or 0] if game.device.type == "cuda" else [],
        "isTrain": True, "checkpoints_dir": "", "name": "", "preprocess": "resize_and_crop", "direction": "AtoB",
        "input_nc": game.data.channels, "output_nc": game.data.channels, "ngf": first.out_channels,
        "ndf": convolutions[0].out_channels, "netD": "n_layers", "n_layers_D": len(convolutions) - 2,
        "init_type": "normal", "init_gain": 0.02, "lr": settings.lr, "beta1": settings.betas[0],
    }  # fmt: skip
    return SimpleNamespace(**shared, **more)


def _model(root: Path, module: str, name: str, options: SimpleNamespace) -> Any:
    sys.path.insert(0, str(root.resolve()))
    try:
        return getattr(__import__(f"models.{module}", fromlist=[name]), name)(options)
    except ImportError as error:
        raise GanError(f"peer={root}: {error}; install what it needs") from error
    finally:
        sys.path.pop(0)


class JunyanzCycleGAN(Peer):
    """junyanz/pytorch-CycleGAN-and-pix2pix, models/cycle_gan_model.py; its G_A is our G, its D_A our D_Y."""

    file, system = "models/cycle_gan_model.py", CycleGAN
    compared = ("G", "F", "D_X", "D_Y")

    def __init__(self, root: Path, game: Game) -> None:
        ours: Any = game.system
        blocks = sum(type(m).__name__ == "Block" for m in ours.G.modules())
        options = _options(
            game, ours.G, ours.D_X, netG=f"resnet_{blocks}blocks", norm="instance", no_dropout=True, gan_mode="lsgan",
            pool_size=ours.pool_x.size, lambda_A=ours.lambda_x, lambda_B=ours.lambda_y,
            lambda_identity=ours.lambda_identity,
        )  # fmt: skip
        self.model = _model(root, "cycle_gan_model", "CycleGANModel", options)
        names = {"G": "netG_A", "F": "netG_B", "D_Y": "netD_A", "D_X": "netD_B"}
        self.networks = {k: copy_weights(getattr(self.model, name), getattr(ours, k)) for k, name in names.items()}
        self.optimizers = self.model.optimizers
        self.inputs: dict[str, Any] = {"A": game.batch[0], "B": game.batch[1], "A_paths": [], "B_paths": []}

    def step(self) -> None:
        self.model.set_input(self.inputs)
        self.model.optimize_parameters()


class JunyanzPix2Pix(Peer):
    """junyanz/pytorch-CycleGAN-and-pix2pix, models/pix2pix_model.py."""

    file, system = "models/pix2pix_model.py", Pix2Pix
    compared = ("generator", "discriminator")

    def __init__(self, root: Path, game: Game) -> None:
        ours: Any = game.system
        depth = len(ours.generator.down)
        options = _options(
            game, ours.generator, ours.discriminator, netG=f"unet_{2**depth}", norm="batch", no_dropout=False,
            gan_mode="vanilla", lambda_L1=ours.lambda_L1,
        )  # fmt: skip
        self.model = _model(root, "pix2pix_model", "Pix2PixModel", options)
        names = {"generator": "netG", "discriminator": "netD"}
        self.networks = {k: copy_weights(getattr(self.model, name), getattr(ours, k)) for k, name in names.items()}
        self.optimizers = self.model.optimizers
        self.inputs: dict[str, Any] = {"A": game.batch[0], "B": game.batch[1], "A_paths": [], "B_paths": []}

    def step(self) -> None:
        self.model.set_input(self.inputs)
        self.model.optimize_parameters()


class ExampleDCGAN(Peer):
    """pytorch/examples, dcgan/main.py."""

    file, system = "dcgan/main.py", GAN
    compared = ("discriminator", "generator")

    def __init__(self, root: Path, game: Game) -> None:
        ours: Any = game.system
        sizes = {"nz": ours.latent_dim, "ngf": _width(ours.generator, -1), "ndf": _width(ours.discriminator, 0)}
        namespace = {"torch": torch, "nn": nn, "nc": game.data.channels, **sizes}
        made = definitions(root / self.file, ("Generator", "Discriminator"), namespace)
        self.G, self.D = made["Generator"](0), made["Discriminator"](0)
        self.networks = {
            "generator": copy_weights(self.G, ours.generator),
            "discriminator": copy_weights(self.D, ours.discriminator),
        }
        self.opt_G, self.opt_D = adam([self.G], game), adam([self.D], game)
        self.optimizers = [self.opt_G, self.opt_D]
        self.real, self.prior = game.batch[0], _prior(ours)
        draw.seed(game.cfg.seed)

    def step(self) -> None:
        """The body of its loop."""
        criterion, n = nn.BCELoss(), len(self.real)
        label = torch.full((n,), 1.0, device=self.real.device)
        self.D.zero_grad()
        output = self.D(self.real)
        loss = criterion(output, label)
        loss.backward()
        output.mean().item()
        fake = self.G(self.prior(n)[:, :, None, None])
        output = self.D(fake.detach())
        criterion(output, label.fill_(0.0)).backward()
        output.mean().item()
        self.opt_D.step()
        self.G.zero_grad()
        output = self.D(fake)
        criterion(output, label.fill_(1.0)).backward()
        output.mean().item()
        self.opt_G.step()


class PyTorchGANWGANGP(Peer):
    """eriklindernoren/PyTorch-GAN, implementations/wgan_gp/wgan_gp.py. Our game takes its networks."""

    file, system = "implementations/wgan_gp/wgan_gp.py", GAN
    compared = ("discriminator",)

    @classmethod
    def definitions(cls, root: Path, game: Game) -> dict[str, Any]:
        import numpy as np

        size, channels = game.data.image_size, game.data.channels
        latent: Any = game.system
        random = SimpleNamespace(random=lambda shape: draw.uniform(*shape).numpy())
        namespace = {
            "np": SimpleNamespace(prod=np.prod, random=random), "nn": nn, "torch": torch, "autograd": torch.autograd,
            "Variable": torch.autograd.Variable, "Tensor": torch.FloatTensor, "img_shape": (channels, size, size),
            "opt": SimpleNamespace(latent_dim=latent.latent_dim, channels=channels, img_size=size),
        }  # fmt: skip
        return definitions(root / cls.file, ("Generator", "Discriminator", "compute_gradient_penalty"), namespace)

    @classmethod
    def adopt(cls, root: Path, game: Game) -> None:
        ours: Any = game.system
        torch.manual_seed(game.cfg.seed)
        made = cls.definitions(root, game)
        ours.generator, ours.discriminator = made["Generator"](), made["Discriminator"]()
        if not isinstance(ours.objective.penalty, GradientPenalty) or game.device.type != "cpu":
            raise GanError("this peer plays loss=wgan_gp, on a CPU here: model=wgan_gp trainer.device=cpu")

    def __init__(self, root: Path, game: Game) -> None:
        ours: Any = game.system
        made = self.definitions(root, game)
        self.G, self.D, self.penalty = made["Generator"](), made["Discriminator"](), made["compute_gradient_penalty"]
        self.networks = {
            "generator": copy_weights(self.G, ours.generator),
            "discriminator": copy_weights(self.D, ours.discriminator),
        }
        self.opt_G, self.opt_D = adam([self.G], game), adam([self.D], game)
        self.optimizers = [self.opt_G, self.opt_D]
        self.real, self.prior, self.steps = game.batch[0], _prior(ours), ours.objective.steps_at(0)
        self.weight = ours.objective.penalty.weight
        draw.seed(game.cfg.seed)

    def step(self) -> None:
        """Its loop over `n_critic` batches, of which one also trains G."""
        for _ in range(self.steps):
            self.opt_D.zero_grad()
            z = self.prior(len(self.real))
            fake = self.G(z)
            real_scores, fake_scores = self.D(self.real), self.D(fake)
            penalty = self.penalty(self.D, self.real.data, fake.data)
            loss = -real_scores.mean() + fake_scores.mean() + self.weight * penalty
            loss.backward()
            self.opt_D.step()
            self.opt_G.zero_grad()
        g_loss = -self.D(self.G(z)).mean()
        g_loss.backward()
        self.opt_G.step()
        loss.item(), g_loss.item()


class Bare(Peer):
    """peer=bare: a hand-written loop of the non-saturating game with our networks: what the trainer itself costs."""

    file, system = "bare", GAN
    compared = ("discriminator", "generator")

    def __init__(self, root: Path, game: Game) -> None:
        import copy

        ours: Any = game.system
        if type(ours.objective.adversarial).__name__ != "NonSaturating" or ours.objective.penalty is not None:
            raise GanError("peer=bare plays loss=non_saturating")
        self.G, self.D = copy.deepcopy(ours.generator), copy.deepcopy(ours.discriminator)
        if game.cfg.trainer.cpu_kernels and game.device.type == "cpu":
            from gan_cli.kernels_cpu import install

            install(self.G)
            install(self.D)
        self.networks = {"generator": self.G, "discriminator": self.D}
        self.opt_G, self.opt_D = adam([self.G], game, fused=True), adam([self.D], game, fused=True)
        self.optimizers = [self.opt_G, self.opt_D]
        self.real, self.prior, self.one_fake = game.batch[0], _prior(ours), ours.one_fake
        draw.seed(game.cfg.seed)

    def step(self) -> None:
        n = len(self.real)
        with torch.set_grad_enabled(self.one_fake):
            fake = self.G(self.prior(n))
        self.opt_D.zero_grad()
        (softplus(-self.D(self.real)).mean() + softplus(self.D(fake.detach())).mean()).backward()
        self.opt_D.step()
        self.D.requires_grad_(False)
        self.opt_G.zero_grad()
        softplus(-self.D(fake if self.one_fake else self.G(self.prior(n)))).mean().backward()
        self.opt_G.step()
        self.D.requires_grad_(True)


def _prior(game: Any) -> Callable[[int], Tensor]:
    noise, dim, device = game.noise, game.latent_dim, game.device
    return lambda n: noise(n, dim, device=device)


def _width(network: nn.Module, place: int) -> int:
    """Channels of the widest layer's narrow side: out of the first convolution, or into the last transposed one."""
    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    if not layers:
        raise GanError("this peer has convolutional networks; use network=dcgan")
    return layers[place].out_channels if place == 0 else layers[place].in_channels


ADAPTERS: tuple[type[Peer], ...] = (JunyanzCycleGAN, JunyanzPix2Pix, ExampleDCGAN, PyTorchGANWGANGP, Bare)
