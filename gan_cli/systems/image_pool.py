"""A history of generated images for the discriminator (Shrivastava et al. 2017; Zhu et al. 2017, section
4).
"""

import torch
from torch import Tensor, nn

from gan_cli.utils.random import randint, uniform


class ImagePool(nn.Module):
    """Holds `size` images; a query answers each image with itself or with an older one that it then replaces.

    The rule of the CycleGAN code: until the pool is full, store and return the new image; after that, with
    probability 1/2 return the new image, else return a stored one, drawn uniformly, and store the new image
    in its place. A pool holds images, not graphs: what it returns carries no gradient. Size 0 returns the
    images as they are.
    """

    images: Tensor

    def __init__(self, size: int = 50) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.empty(0), persistent=False)      # (stored, C, H, W)

    def query(self, images: Tensor) -> Tensor:
        """images (N, C, H, W) -> as many images, (N, C, H, W); the pool's content changes."""
        images = images.detach()
        if self.size == 0:
            return images
        keep = uniform(len(images), 1, 1, 1, device=images.device) < 0.5
        slots = randint(len(images), self.size, device=images.device)
        shown = [self._one(image, k, slot) for image, k, slot in zip(images.split(1), keep, slots.split(1))]
        return torch.cat(shown)

    @property
    def full(self) -> bool:
        """Whether its size stays as it is from now on."""
        return len(self.images) >= self.size

    def _one(self, image: Tensor, keep: Tensor, slot: Tensor) -> Tensor:
        if len(self.images) < self.size:
            self.images = torch.cat([self.images, image]) if len(self.images) else image.clone()
            return image
        stored = self.images.index_select(0, slot)              # an index on the device: no synchronisation
        self.images.index_copy_(0, slot, torch.where(keep, stored, image))
        return torch.where(keep, image, stored)

    def get_extra_state(self) -> Tensor:
        """The stored images; goes into `state_dict`, where a buffer of changing size could not."""
        return self.images.clone()

    def set_extra_state(self, state: Tensor) -> None:
        self.images = state.to(self.images.device, copy=True)
