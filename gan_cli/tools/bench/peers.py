"""Other people's trainings of the same networks, imported from a checkout of the user's: `peer=PATH`.

Nothing of them is kept here. Each adapter says which file it looks for, gives the peer our weights and our batch, and
plays one iteration of its training as its own loop does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils.data import DataLoader

from gan_cli.losses.penalties import GradientPenalty
from gan_cli.systems.gan import GAN
from gan_cli.tools.bench.junyanz import JunyanzCycleGAN, JunyanzPix2Pix
from gan_cli.tools.bench.peer import Peer, adam, copy_weights, definitions, endless
from gan_cli.tools.bench.workload import Workload
from gan_cli.training.trainer import to_device
from gan_cli.utils import random as draw
from gan_cli.utils.errors import GanError


def find(path: str, workload: Workload) -> Callable[[], Peer]:
    """What makes the peer, once `game` has its networks. GanError if no adapter fits the checkout and the game."""
    root = Path(path)
    here = [kind for kind in ADAPTERS if (root / kind.file).is_file() or path == kind.file]
    if not here:
        known = ", ".join(kind.file for kind in ADAPTERS)
        raise GanError(f"peer={path}: no such checkout, or one that is not known; a known one holds {known}")
    fitting = [kind for kind in here if type(workload.system) is kind.system]
    if not fitting:
        names = " or ".join(kind.system.__name__ for kind in here)
        raise GanError(f"peer={path} plays {names}, and this model is {type(workload.system).__name__}")
    kind = fitting[0]
    kind.adopt(root, workload)
    return lambda: kind(root, workload)  # type: ignore[call-arg]


class ExampleDCGAN(Peer):
    """pytorch/examples, dcgan/main.py."""

    file, system = "dcgan/main.py", GAN
    compared = ("discriminator", "generator")

    def __init__(self, root: Path, workload: Workload) -> None:
        ours: Any = workload.system
        sizes = {"nz": ours.latent_dim, "ngf": _width(ours.generator, -1), "ndf": _width(ours.discriminator, 0)}
        namespace = {"torch": torch, "nn": nn, "nc": workload.data.channels, **sizes}
        made = definitions(root / self.file, ("Generator", "Discriminator"), namespace)
        self.G, self.D = made["Generator"](0), made["Discriminator"](0)
        self.networks = {
            "generator": copy_weights(self.G, ours.generator),
            "discriminator": copy_weights(self.D, ours.discriminator),
        }
        self.opt_G, self.opt_D = adam([self.G], workload), adam([self.D], workload)
        self.optimizers = [self.opt_G, self.opt_D]
        self.real, self.prior = workload.batch[0], _prior(ours)
        draw.seed(workload.cfg.seed)

    def feed(self, root: Path, workload: Workload) -> Iterator[Any]:
        """Its loader with its defaults: ImageFolder, two workers."""
        from torchvision import datasets, transforms

        size = workload.data.image_size
        steps = [transforms.Resize(size), transforms.CenterCrop(size), *_normalised(3)]
        folder = datasets.ImageFolder(str(workload.cfg.dataset.root), transforms.Compose(steps))
        return endless(DataLoader(folder, workload.cfg.trainer.batch_size, shuffle=True, num_workers=2))

    def step(self) -> None:
        """The body of its loop."""
        real = next(self.batches)[0].to(self.real.device) if self.batches else self.real
        criterion, n = nn.BCELoss(), len(real)
        label = torch.full((n,), 1.0, device=real.device)
        self.D.zero_grad()
        output = self.D(real)
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
    def definitions(cls, root: Path, workload: Workload) -> dict[str, Any]:
        import numpy as np

        size, channels = workload.data.image_size, workload.data.channels
        latent: Any = workload.system
        random = SimpleNamespace(random=lambda shape: draw.uniform(*shape).numpy())
        namespace = {
            "np": SimpleNamespace(prod=np.prod, random=random), "nn": nn, "torch": torch, "autograd": torch.autograd,
            "Variable": torch.autograd.Variable, "Tensor": torch.FloatTensor, "img_shape": (channels, size, size),
            "opt": SimpleNamespace(latent_dim=latent.latent_dim, channels=channels, img_size=size),
        }  # fmt: skip
        return definitions(root / cls.file, ("Generator", "Discriminator", "compute_gradient_penalty"), namespace)

    @classmethod
    def adopt(cls, root: Path, workload: Workload) -> None:
        ours: Any = workload.system
        torch.manual_seed(workload.cfg.seed)
        made = cls.definitions(root, workload)
        ours.generator, ours.discriminator = made["Generator"](), made["Discriminator"]()
        if not isinstance(ours.objective.penalty, GradientPenalty) or workload.device.type != "cpu":
            raise GanError("this peer plays loss=wgan_gp, on a CPU here: model=wgan_gp trainer.device=cpu")

    def __init__(self, root: Path, workload: Workload) -> None:
        ours: Any = workload.system
        made = self.definitions(root, workload)
        self.G, self.D, self.penalty = made["Generator"](), made["Discriminator"](), made["compute_gradient_penalty"]
        self.networks = {
            "generator": copy_weights(self.G, ours.generator),
            "discriminator": copy_weights(self.D, ours.discriminator),
        }
        self.opt_G, self.opt_D = adam([self.G], workload), adam([self.D], workload)
        self.optimizers = [self.opt_G, self.opt_D]
        self.real, self.prior, self.steps = workload.batch[0], _prior(ours), ours.objective.steps_at(0)
        self.weight = ours.objective.penalty.weight
        draw.seed(workload.cfg.seed)

    def feed(self, root: Path, workload: Workload) -> Iterator[Any]:
        """Its loader: torchvision's MNIST, unpacked under our data set's root."""
        from torchvision import datasets, transforms

        steps = [transforms.Resize(workload.data.image_size), *_normalised(1)]
        digits = datasets.MNIST(str(workload.cfg.dataset.root), transform=transforms.Compose(steps))
        return endless(DataLoader(digits, workload.cfg.trainer.batch_size, shuffle=True))

    def step(self) -> None:
        """Its loop over `n_critic` batches, of which one also trains G."""
        for _ in range(self.steps):
            real = next(self.batches)[0] if self.batches else self.real
            self.opt_D.zero_grad()
            z = self.prior(len(real))
            fake = self.G(z)
            real_scores, fake_scores = self.D(real), self.D(fake)
            penalty = self.penalty(self.D, real.data, fake.data)
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

    def __init__(self, root: Path, workload: Workload) -> None:
        import copy

        ours: Any = workload.system
        if type(ours.objective.adversarial).__name__ != "NonSaturating" or ours.objective.penalty is not None:
            raise GanError("peer=bare plays loss=non_saturating")
        self.G, self.D = copy.deepcopy(ours.generator), copy.deepcopy(ours.discriminator)
        if workload.cfg.trainer.cpu_fast_paths and workload.device.type == "cpu":
            from gan_cli.training.cpu_fast_paths import install

            install(self.G)
            install(self.D)
        self.networks = {"generator": self.G, "discriminator": self.D}
        self.opt_G, self.opt_D = adam([self.G], workload, fused=True), adam([self.D], workload, fused=True)
        self.optimizers = [self.opt_G, self.opt_D]
        self.real, self.prior, self.one_fake = workload.batch[0], _prior(ours), ours.one_fake
        draw.seed(workload.cfg.seed)

    def feed(self, root: Path, workload: Workload) -> Iterator[Any]:
        """Our own batches."""
        count = workload.cfg.trainer.batch_size
        return (workload.data.train_batch(workload.cfg.seed, start, count) for start in itertools.count(0, count))

    def step(self) -> None:
        real = to_device(next(self.batches), self.real.device)[0] if self.batches else self.real
        n = len(real)
        with torch.set_grad_enabled(self.one_fake):
            fake = self.G(self.prior(n))
        self.opt_D.zero_grad()
        (softplus(-self.D(real)).mean() + softplus(self.D(fake.detach())).mean()).backward()
        self.opt_D.step()
        self.D.requires_grad_(False)
        self.opt_G.zero_grad()
        softplus(-self.D(fake if self.one_fake else self.G(self.prior(n)))).mean().backward()
        self.opt_G.step()
        self.D.requires_grad_(True)


def _normalised(channels: int) -> list[Any]:
    from torchvision import transforms

    return [transforms.ToTensor(), transforms.Normalize([0.5] * channels, [0.5] * channels)]


def _prior(workload: Any) -> Callable[[int], Tensor]:
    noise, dim, device = workload.noise, workload.latent_dim, workload.device
    return lambda n: noise(n, dim, device=device)


def _width(network: nn.Module, place: int) -> int:
    """Channels of the widest layer's narrow side: out of the first convolution, or into the last transposed one."""
    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    if not layers:
        raise GanError("this peer has convolutional networks; use network=dcgan")
    return layers[place].out_channels if place == 0 else layers[place].in_channels


ADAPTERS: tuple[type[Peer], ...] = (JunyanzCycleGAN, JunyanzPix2Pix, ExampleDCGAN, PyTorchGANWGANGP, Bare)
