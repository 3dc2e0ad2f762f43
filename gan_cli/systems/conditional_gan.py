"""Conditional GAN (Mirza & Osindero 2014, arXiv 1411.1784): G and D receive the label y."""

import torch
from torch import Tensor, nn

from gan_cli.data.base import Images
from gan_cli.losses.objective import Objective
from gan_cli.losses.penalties import Critic
from gan_cli.systems.base import Terms, Traversal
from gan_cli.systems.gan import GAN
from gan_cli.utils.random import Prior, normal, randint


class ConditionalGAN(GAN):
    """min_G max_D  E log D(x|y) + E log(1 - D(G(z|y)|y)),  eq. 2; fakes have the labels of the batch's real images.

    generator: z (N, latent_dim), y (N,) int64 -> image; discriminator: image, y -> scores. ValueError without classes.
    """

    needs_labels = True

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        objective: Objective,
        num_classes: int | None,
        latent_dim: int = 100,
        noise: Prior = normal,
    ) -> None:
        super().__init__(generator, discriminator, objective, latent_dim, noise)
        if num_classes is None:
            raise ValueError("a conditional GAN needs a labeled data set, and this one has no classes")
        self.num_classes = num_classes

    def d_loss(self, batch: Images) -> Terms:
        x, y = batch.image, batch.label
        return self.objective.d_loss(self.critic(y), x, self.generate(len(x), y))

    def g_loss(self, batch: Images) -> Terms:
        y = batch.label
        return self.objective.g_loss(self.critic(y), self.generate(len(batch.image), y), batch.image)

    def critic(self, y: Tensor | None) -> Critic:
        """x -> D(x|y)."""
        return lambda x: self.discriminator(x, y)

    def generate(self, n: int, label: Tensor | None = None) -> Tensor:
        """n images of the classes `label` (n,), or of uniformly sampled classes."""
        y = randint(n, self.num_classes, device=self.device) if label is None else label
        return self.generate_from(self.prior(n), y)

    def generate_from(self, z: Tensor, label: Tensor) -> Tensor:
        """The images of z (N, latent_dim) with the classes `label` (N,)."""
        return self.generator(z, label)

    def classify(self, image: Tensor) -> Tensor:
        """argmax_y D(image|y), (N,) int64; in CLS-GAN the class of the lowest loss, as in the test of clsgan.lua.

        The D of eq. 2 compares p(x|y) with G's density instead, so its highest score need not be the likeliest class.
        """
        labels = torch.arange(self.num_classes, device=image.device)[:, None].expand(-1, len(image))
        return torch.stack([self.critic(y)(image) for y in labels]).argmax(dim=0)

    def sample(self, batch: Images) -> dict[str, Tensor]:
        """One image per class in the order 0, 1, ..., repeated to the size of the batch."""
        n = len(batch.image)
        return {"generated": self.generate(n, torch.arange(n, device=self.device) % self.num_classes)}

    def traverse(self, rows: int) -> dict[str, Traversal]:
        """{"class": one z per row, one class per column}."""
        z = self.prior(rows).repeat_interleave(self.num_classes, dim=0)
        y = torch.arange(self.num_classes, device=self.device).repeat(rows)
        images = self.generator(z, y).unflatten(0, (rows, self.num_classes))
        headings = tuple(f"class {i}" for i in range(self.num_classes))
        return {"class": Traversal(images, "G(z|y) for each class y; each row has one noise z", headings)}
