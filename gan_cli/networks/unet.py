"""The U-Net of pix2pix (Isola et al. 2017, arXiv 1611.07004, appendix 6.1; models.lua of its code)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_cli.networks.init import normal_
from gan_cli.networks.noise import NoiseDropout, UntrackedBatchNorm
from gan_cli.networks.output import bounded
from gan_cli.networks.sizes import halvings, multiple
from gan_cli.utils.image_size import ImageSize


class UNet(nn.Module):
    """Generator of pix2pix: image (N, in_channels, H, W) -> image (N, channels, H, W) in `value_range`.

    image_size = 2^k: k convolutions down to one pixel and k transposed ones up, all 4x4 of stride 2, with
    min(2^i, 8) width channels at level i: at 256 pixels C64-C128-C256-C512-C512-C512-C512-C512 and
    CD512-CD512-CD512-C512-C256-C128-C64-out. LeakyReLU 0.2 before each convolution but the first, ReLU before each
    transposed one. D is dropout .5 in the decoder layers `noise`, counted from the bottleneck, if they have 8 width
    channels: the first three as in models.lua; the authors' PyTorch code has it in layers 1, 2 and 3.

    skips: concatenate layer i of the encoder with the output of layer k - i of the decoder; False is the
    encoder-decoder of section 4.3. in_channels: `channels` if None. Only the output has biases, as in the authors'
    PyTorch code. There is no normalization in the first layer, at the output, and at the bottleneck, where a batch of
    one image would become zero (the authors' erratum).

    H and W are multiples of 2^k: larger images are translated convolutionally (section 4.4). Of an image_size that is
    not square, k is the largest for which both sides are. Raises ValueError, which names the nearest sizes.
    """

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        in_channels: int | None = None,
        value_range: Sequence[float] | None = (-1.0, 1.0),
        width: int = 64,
        skips: bool = True,
        noise: Sequence[int] = (0, 1, 2),
    ) -> None:
        super().__init__()
        k = halvings(image_size)
        self.multiple, self.skips = 2**k, skips
        wide = [width * min(2**i, 8) for i in range(k)]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for i, (narrow, out) in enumerate(zip([in_channels or channels, *wide], wide)):
            layers: list[nn.Module] = [nn.LeakyReLU(0.2)] if i else []
            layers.append(nn.Conv2d(narrow, out, 4, 2, 1, bias=False))
            self.down.append(nn.Sequential(*layers, *([UntrackedBatchNorm(out)] if 0 < i < k - 1 else [])))
        for i, out in enumerate(wide[-2::-1]):
            # The innermost map has no skip connection: it is the encoder's last output itself.
            parts = 2 if skips and i else 1  # concatenated inputs
            layers = [nn.ReLU(), nn.ConvTranspose2d(parts * wide[-1 - i], out, 4, 2, 1, bias=False)]
            noisy = i in noise and out == 8 * width
            self.up.append(nn.Sequential(*layers, UntrackedBatchNorm(out), *([NoiseDropout()] if noisy else [])))
        last = nn.ConvTranspose2d((1 + skips) * width, channels, 4, 2, 1)
        self.up.append(nn.Sequential(nn.ReLU(), last, bounded(value_range)))
        normal_(self)

    def forward(self, x: Tensor) -> Tensor:
        for size in x.shape[2:]:
            multiple(size, of=self.multiple, least=self.multiple)
        encoded: list[Tensor] = []
        for down in self.down:
            x = down(x)
            encoded.append(x)
        for i, up in enumerate(self.up):
            x = up(torch.cat([encoded[-1 - i], x], 1) if self.skips and i else x)
        return x
