"""History of generated images that the discriminator is trained on (Shrivastava et al. 2017, arXiv 1612.07828; Zhu
et al. 2017, arXiv 1703.10593, section 4).
"""

import torch
from torch import Tensor, nn

from gan_cli.utils.random import randint, uniform


class ImagePool(nn.Module):
    """Buffer of `size` generated images, in which new images are exchanged for older ones.

    The rule of the CycleGAN code (util/image_pool.py): until the pool is full, every new image is stored and returned.
    From then on a new image is returned with probability 1/2; otherwise a stored image, chosen uniformly, is returned
    and replaced by the new one. The pool stores images without their graphs, so what it returns has no gradient. Images
    of another shape than the stored ones empty the pool first. size 0 disables the pool.
    """

    images: Tensor

    def __init__(self, size: int = 50) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.empty(0), persistent=False)      # (stored, C, H, W)

    def query(self, images: Tensor) -> Tensor:
        """Exchange images (N, C, H, W) for as many images of the same shape, one after the other."""
        images = images.detach()
        if self.size == 0:
            return images
        if self.images.shape[1:] != images.shape[1:]:
            self.images = images.new_empty(0, *images.shape[1:])
        # Drawn for every image, also while the pool fills up, so that each call takes equally many random numbers.
        return_new = uniform(len(images), 1, 1, 1, device=images.device) < 0.5
        positions = randint(len(images), self.size, device=images.device)
        return torch.cat([
            self._exchange(image, new, position)
            for image, new, position in zip(images.split(1), return_new, positions.split(1))
        ])

    def _exchange(self, image: Tensor, return_new: Tensor, position: Tensor) -> Tensor:
        if len(self.images) < self.size:
            self.images = torch.cat([self.images, image])
            return image
        # Indexing with tensors keeps the choice on the device; `if return_new` would wait for it.
        stored = self.images.index_select(0, position)
        self.images.index_copy_(0, position, torch.where(return_new, stored, image))
        return torch.where(return_new, image, stored)

    def get_extra_state(self) -> Tensor:
        """The stored images. They are extra state of `state_dict` because a buffer cannot change its size there."""
        return self.images.clone()

    def set_extra_state(self, state: Tensor) -> None:
        self.images = state.to(self.images.device, copy=True)
