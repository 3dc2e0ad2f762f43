"""Adapters for other codes that train the same networks, imported from a checkout: `baseline=PATH`.

No line of those codes is kept in this package. An adapter names the file that it looks for, copies the workload's
weights and batch into the other code, and runs one iteration as the code's own loop does.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import nn
from torch.nn.functional import softplus
from torch.utils.data import DataLoader

from gan_cli.losses.adversarial import NonSaturating
from gan_cli.losses.penalties import GradientPenalty
from gan_cli.systems.gan import GAN
from gan_cli.systems.shared_fakes import SharedFakesGAN
from gan_cli.tools.bench.baseline import Baseline, adam, copy_weights, definitions, endless
from gan_cli.tools.bench.pytorch_cyclegan import CycleGANBaseline, Pix2PixBaseline
from gan_cli.tools.bench.workload import Workload
from gan_cli.training.cpu_fast_paths import install
from gan_cli.training.trainer import to_device
from gan_cli.utils import random
from gan_cli.utils.errors import GanError


def find(path: str, workload: Workload) -> Callable[[], Baseline]:
    """The constructor of the baseline in the checkout `path`; gives the workload its networks, if they are others.

    GanError if no adapter fits the checkout and the model.
    """
    root = Path(path)
    present = [adapter for adapter in ADAPTERS if (root / adapter.file).is_file() or path == adapter.file]
    if not present:
        known = ", ".join(adapter.file for adapter in ADAPTERS)
        raise GanError(f"baseline={path}: no such checkout, or one without an adapter; a known one has one of {known}")
    adapter = next((adapter for adapter in present if type(workload.system) is adapter.system), None)
    if adapter is None:
        names = " or ".join(adapter.system.__name__ for adapter in present)
        raise GanError(f"baseline={path} trains {names}, and this model is {type(workload.system).__name__}")
    adapter.adopt(root, workload)
    return lambda: adapter(root, workload)  # type: ignore[call-arg]


class GANBaseline(Baseline):
    """Shared part of the adapters that train one generator and one discriminator."""

    def start(self, workload: Workload, G: nn.Module, D: nn.Module, *, fused: bool | None = None) -> None:
        """Copy the weights, make the optimizers, and seed the noise as the trainer does."""
        system = cast(GAN, workload.system)
        self.G, self.D = copy_weights(G, system.generator), copy_weights(D, system.discriminator)
        self.networks = {"generator": self.G, "discriminator": self.D}
        self.opt_G, self.opt_D = adam(self.G, workload, fused=fused), adam(self.D, workload, fused=fused)
        self.optimizers = [self.opt_G, self.opt_D]
        self.real, self.prior = workload.batch[0], system.prior
        random.seed(workload.cfg.seed)


class ExampleDCGAN(GANBaseline):
    """pytorch/examples, dcgan/main.py."""

    file, system = "dcgan/main.py", SharedFakesGAN
    compared = ("discriminator", "generator")

    def __init__(self, root: Path, workload: Workload) -> None:
        system = cast(GAN, workload.system)
        sizes = {"nz": system.latent_dim, "ngf": _width(system.generator, -1), "ndf": _width(system.discriminator, 0)}
        namespace = {"torch": torch, "nn": nn, "nc": workload.data.channels, **sizes}
        script = definitions(root / self.file, ("Generator", "Discriminator"), namespace)
        self.start(workload, script["Generator"](0), script["Discriminator"](0))

    def loader(self, root: Path, workload: Workload) -> Iterator[Any]:
        """Its loader with its defaults: ImageFolder, two workers."""
        from torchvision import datasets, transforms

        size = workload.data.image_size
        steps = [transforms.Resize(size), transforms.CenterCrop(size), *_normalized(3)]
        folder = datasets.ImageFolder(str(workload.cfg.dataset.root), transforms.Compose(steps))
        return endless(DataLoader(folder, workload.cfg.trainer.batch_size, shuffle=True, num_workers=2))

    def step(self) -> None:
        """The body of its loop, with the numbers that it reads back for its log."""
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


class PyTorchGANWGANGP(GANBaseline):
    """eriklindernoren/PyTorch-GAN, implementations/wgan_gp/wgan_gp.py. The workload gets its networks."""

    file, system = "implementations/wgan_gp/wgan_gp.py", GAN
    compared = ("discriminator",)

    @classmethod
    def definitions(cls, root: Path, workload: Workload) -> dict[str, Any]:
        import numpy as np

        size, channels = workload.data.image_size, workload.data.channels
        system = cast(GAN, workload.system)
        uniform = SimpleNamespace(random=lambda shape: random.uniform(*shape).numpy())
        namespace = {
            "np": SimpleNamespace(prod=np.prod, random=uniform), "nn": nn, "torch": torch, "autograd": torch.autograd,
            "Variable": torch.autograd.Variable, "Tensor": torch.FloatTensor, "img_shape": (channels, size, size),
            "opt": SimpleNamespace(latent_dim=system.latent_dim, channels=channels, img_size=size),
        }  # fmt: skip
        return definitions(root / cls.file, ("Generator", "Discriminator", "compute_gradient_penalty"), namespace)

    @classmethod
    def adopt(cls, root: Path, workload: Workload) -> None:
        system = cast(GAN, workload.system)
        torch.manual_seed(workload.cfg.seed)
        script = cls.definitions(root, workload)
        system.generator, system.discriminator = script["Generator"](), script["Discriminator"]()
        if not isinstance(system.objective.penalty, GradientPenalty) or workload.device.type != "cpu":
            raise GanError("this baseline needs loss=wgan_gp and a CPU: model=wgan_gp trainer.device=cpu")

    def __init__(self, root: Path, workload: Workload) -> None:
        objective = cast(GAN, workload.system).objective
        script = self.definitions(root, workload)
        self.start(workload, script["Generator"](), script["Discriminator"]())
        self.penalty, self.weight = script["compute_gradient_penalty"], cast(GradientPenalty, objective.penalty).weight
        self.steps = objective.steps_at(0)

    def loader(self, root: Path, workload: Workload) -> Iterator[Any]:
        """Its loader: torchvision's MNIST, unpacked under the root of the workload's data set."""
        from torchvision import datasets, transforms

        steps = [transforms.Resize(workload.data.image_size), *_normalized(1)]
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


class BareLoop(GANBaseline):
    """baseline=bare: a hand-written loop with the workload's networks, which shows what the trainer itself costs."""

    file, system = "bare", SharedFakesGAN
    compared = ("discriminator", "generator")

    def __init__(self, root: Path, workload: Workload) -> None:
        system = cast(SharedFakesGAN, workload.system)
        if type(system.objective.adversarial) is not NonSaturating or system.objective.penalty is not None:
            raise GanError("baseline=bare needs loss=non_saturating")
        G, D = copy.deepcopy(system.generator), copy.deepcopy(system.discriminator)
        if workload.cfg.trainer.cpu_fast_paths and workload.device.type == "cpu":
            install(G)
            install(D)
        self.start(workload, G, D, fused=True)
        self.share_fakes = system.share_fakes

    def loader(self, root: Path, workload: Workload) -> Iterator[Any]:
        """The workload's own batches."""
        count = workload.cfg.trainer.batch_size
        return (workload.data.train_batch(workload.cfg.seed, start, count) for start in itertools.count(0, count))

    def step(self) -> None:
        real = to_device(next(self.batches), self.real.device)[0] if self.batches else self.real
        n = len(real)
        with torch.set_grad_enabled(self.share_fakes):
            fake = self.G(self.prior(n))
        self.opt_D.zero_grad()
        (softplus(-self.D(real)).mean() + softplus(self.D(fake.detach())).mean()).backward()
        self.opt_D.step()
        self.D.requires_grad_(False)
        self.opt_G.zero_grad()
        softplus(-self.D(fake if self.share_fakes else self.G(self.prior(n)))).mean().backward()
        self.opt_G.step()
        self.D.requires_grad_(True)


def _normalized(channels: int) -> list[Any]:
    from torchvision import transforms

    return [transforms.ToTensor(), transforms.Normalize([0.5] * channels, [0.5] * channels)]


def _width(network: nn.Module, place: int) -> int:
    """Channels of the widest layer's narrow side: out of the first convolution, or into the last transposed one."""
    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    if not layers:
        raise GanError("this baseline has convolutional networks; use network=dcgan")
    return layers[place].out_channels if place == 0 else layers[place].in_channels


ADAPTERS: tuple[type[Baseline], ...] = (CycleGANBaseline, Pix2PixBaseline, ExampleDCGAN, PyTorchGANWGANGP, BareLoop)
