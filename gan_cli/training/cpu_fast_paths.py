"""Faster CPU convolutions for three cases that torch's direct convolution is slow at, equal to it up to rounding.

`install` changes the class of layers and nothing else: no state-dict name, no attribute, no random number. Whether a
layer takes its fast path depends on the shapes alone, so that a resumed run computes the same bits.
"""

import itertools
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, fold, pad, unfold

POINTS = (0.0, 0.625, -0.625, 1.5, -1.5)  # half the rounding error of Lavin and Gray's 0, 1, -1, 2, -2
TILE, KERNEL = 4, 3
WINDOW = TILE + KERNEL - 1
CHANNELS = 128  # smallest number of channels of a 3x3 layer for which Winograd saves time
WEIGHTS = 2**18  # smallest number of weights for which reading them costs more than multiplying them with few pixels
ROWS = 64  # largest number of output pixels of a batch that counts as tiny
PIXELS = 2**16  # pixels per call: float32 sums over more of them, in a weight's gradient, lose digits


def _polynomial(roots: list[float]) -> list[float]:
    """The coefficients of prod (x - root), that of 1 first, then those of x, x^2, ..."""
    coefficients = [1.0]
    for root in roots:
        shifted = [0.0, *coefficients]
        coefficients = [s - root * c for s, c in zip(shifted, [*coefficients, 0.0], strict=True)]
    return coefficients


def winograd_matrices(points: tuple[float, ...] = POINTS) -> tuple[Tensor, Tensor, Tensor]:
    """The matrices A^T (4, 6), G (6, 3) and B^T (6, 6) of F(4, 3), float64.

    y = A^T [(G g) * (B^T d)] are the 4 outputs of a kernel g of 3 on 6 inputs d, with 6 products instead of 12
    (Lavin & Gray 2016, arXiv 1509.09308). They come from interpolation at `points` and infinity (Toom and Cook): the
    convolution is a product of polynomials, which is computed by its values.
    """
    n = WINDOW
    At, G, Bt = (torch.zeros(shape, dtype=torch.float64) for shape in ((TILE, n), (n, KERNEL), (n, n)))
    for j, a in enumerate(points):
        others = [b for b in points if b != a]
        At[:, j] = torch.tensor([a**i for i in range(TILE)], dtype=torch.float64)
        G[j] = torch.tensor([a**k for k in range(KERNEL)], dtype=torch.float64) / math.prod(a - b for b in others)
        Bt[j, : n - 1] = torch.tensor(_polynomial(others), dtype=torch.float64)
    At[-1, -1] = G[-1, -1] = 1.0
    Bt[-1] = torch.tensor(_polynomial(list(points)), dtype=torch.float64)
    return At, G, Bt


# The transform of a 2D window is that of its rows and then of its columns, which is one matrix product with the
# Kronecker product of the 1D matrix with itself: (16, 36), (36, 9), (36, 36).
_TO_OUTPUT, _TO_WEIGHT, _TO_INPUT = (torch.kron(m, m) for m in winograd_matrices())


class Winograd(torch.autograd.Function):
    """3x3 convolution of stride 1 without padding, by Winograd's F(4x4, 3x3).

    x (N, C, H, W), weight (K, C, 3, 3) -> (N, K, H - 2, W - 2), where H - 2 and W - 2 are multiples of 4. Each output
    tile of 4x4 pixels comes from a window of 6x6, with 36 products per pair of channels instead of 144. The gradient's
    own gradient is that of the direct convolution.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        windows = _windows(x)
        # The transformed windows, 2.25 times the size of x, are kept for the weight's gradient. The transformed
        # kernels, 4 times the size of the weight, are cheaper to compute again than to keep.
        ctx.save_for_backward(x, weight, windows)
        # One matrix product over the channels for each of the 36 points.
        products = torch.bmm(_kernels(weight), windows)  # (36, K, tiles)
        tiles = _TO_OUTPUT.to(x.dtype) @ products.flatten(1)
        n, _, height, width = x.shape
        return _untile(tiles, n, len(weight), (height - 2) // TILE, (width - 2) // TILE)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight, windows = ctx.saved_tensors
        wants_x, wants_weight = ctx.needs_input_grad
        # With create_graph=True, as in a gradient penalty, the gradient needs a graph, which torch's own operation has.
        if torch.is_grad_enabled():
            stride = dilation = [1, 1]
            padding = output_padding = [0, 0]
            wanted = [wants_x, wants_weight, False]
            gradients: list[Tensor | None] = torch.ops.aten.convolution_backward(
                gradient, x, weight, None, stride, padding, dilation, False, output_padding, 1, wanted
            )
            return gradients[0], gradients[1]
        # All three transforms are linear, so that the gradients pass through their transposes.
        products = (_TO_OUTPUT.to(x.dtype).T @ _tile(gradient)).view(WINDOW**2, len(weight), -1)
        grad_x = grad_weight = None
        if wants_x:
            grad_x = _unwindows(torch.bmm(_kernels(weight).transpose(1, 2), products), x.shape)
        if wants_weight:
            spectra = torch.bmm(products, windows.transpose(1, 2))  # (36, K, C)
            grad_weight = (_TO_WEIGHT.to(x.dtype).T @ spectra.flatten(1)).T.reshape(weight.shape)
        return grad_x, grad_weight


def _windows(x: Tensor) -> Tensor:
    """Transform the 6x6 windows at steps of 4: (N, C, H, W) -> (36, C, N * tiles)."""
    channels = x.shape[1]
    windows = x.unfold(2, WINDOW, TILE).unfold(3, WINDOW, TILE)  # (N, C, h, w, 6, 6)
    rows = windows.permute(4, 5, 1, 0, 2, 3).reshape(WINDOW**2, -1)
    return (_TO_INPUT.to(x.dtype) @ rows).view(WINDOW**2, channels, -1)


def _unwindows(spectra: Tensor, shape: torch.Size) -> Tensor:
    """The adjoint of `_windows`."""
    n, channels, height, width = shape
    h, w = (height - 2) // TILE, (width - 2) // TILE
    rows = (_TO_INPUT.to(spectra.dtype).T @ spectra.flatten(1)).view(WINDOW, WINDOW, channels, n, h, w)
    # Windows overlap, which a single strided addition cannot do. Each of them covers one block of 4x4 pixels and the
    # first two rows and columns of the next blocks: four additions of parts that do not overlap among themselves.
    whole = rows.new_zeros(n, channels, h + 1, TILE, w + 1, TILE)
    parts = (slice(0, TILE), slice(TILE, WINDOW))
    for down, right in itertools.product((0, 1), repeat=2):
        part = rows[parts[down], parts[right]].permute(3, 2, 4, 0, 5, 1)
        edge = whole[:, :, down : h + down, : part.shape[3], right : w + right, : part.shape[5]]
        edge += part
    return whole.view(n, channels, (h + 1) * TILE, (w + 1) * TILE)[:, :, :height, :width].contiguous()


def _kernels(weight: Tensor) -> Tensor:
    """Transform the kernels: (K, C, 3, 3) -> (36, K, C)."""
    k, channels = weight.shape[:2]
    return (_TO_WEIGHT.to(weight.dtype) @ weight.reshape(k * channels, KERNEL**2).T).view(WINDOW**2, k, channels)


def _tile(y: Tensor) -> Tensor:
    """Cut into 4x4 tiles, the layout of the matrix products: (N, K, 4h, 4w) -> (16, K * N * h * w)."""
    n, k, height, width = y.shape
    tiles = y.reshape(n, k, height // TILE, TILE, width // TILE, TILE)
    return tiles.permute(3, 5, 1, 0, 2, 4).reshape(TILE**2, -1)


def _untile(tiles: Tensor, n: int, k: int, h: int, w: int) -> Tensor:
    """The inverse of `_tile`; contiguous."""
    return tiles.view(TILE, TILE, k, n, h, w).permute(3, 2, 4, 0, 5, 1).reshape(n, k, h * TILE, w * TILE)


def _bias(y: Tensor, bias: Tensor | None) -> Tensor:
    return y if bias is None else y + bias[:, None, None]


class WinogradConv2d(nn.Conv2d):
    """A 3x3 layer with many channels, by Winograd's convolution if the output is a multiple of 4 and large enough."""

    def forward(self, x: Tensor) -> Tensor:
        down, right = map(int, self.padding)
        padded = pad(x, (right, right, down, down)) if down or right else x
        height, width = padded.shape[2] - 2, padded.shape[3] - 2
        # Below 32 tiles the matrix products are too narrow to make up for the transforms.
        if height % TILE or width % TILE or len(x) * height * width < 32 * TILE**2:
            return super().forward(x)
        return _bias(Winograd.apply(padded, self.weight), self.bias)


class SplitConv2d(nn.Conv2d):
    """A large square kernel with few output channels, computed column by column.

    A direct convolution computes several output channels at once, and is mostly idle with 1 or 3 of them. Here each
    column of the kernel becomes an output channel, and the maps are added with shifts of one pixel.
    """

    def forward(self, x: Tensor) -> Tensor:
        parts = x.split(max(1, PIXELS // (x.shape[2] * x.shape[3])))
        return torch.cat([self._shifted(part) for part in parts]) if len(parts) > 1 else self._shifted(x)

    def _shifted(self, x: Tensor) -> Tensor:
        size, outputs = self.kernel_size[1], self.out_channels
        columns = self.weight.permute(0, 3, 1, 2).reshape(outputs * size, self.in_channels, self.kernel_size[0], 1)
        maps = conv2d(x, columns).unflatten(1, (outputs, size)).unbind(2)
        width = x.shape[3] - size + 1
        shifted = [part[..., j : j + width] for j, part in enumerate(maps)]
        return _bias(sum(shifted[1:], shifted[0]), self.bias)


class TinyConv2d(nn.Conv2d):
    """A layer with many weights and few output pixels: one matrix product, which does not reorder the weights."""

    def forward(self, x: Tensor) -> Tensor:
        padding = tuple(map(int, self.padding))
        height, width = (
            (n + 2 * p - k) // s + 1
            for n, p, k, s in zip(x.shape[2:], padding, self.kernel_size, self.stride, strict=True)
        )
        if len(x) * height * width > ROWS:
            return super().forward(x)
        columns = unfold(x, self.kernel_size, 1, padding, self.stride)  # (N, C * taps, pixels)
        rows = columns.transpose(1, 2).flatten(0, 1) @ self.weight.flatten(1).T
        maps = rows.view(len(x), height * width, self.out_channels).transpose(1, 2).contiguous()
        return _bias(maps.view(len(x), self.out_channels, height, width), self.bias)


class TinyConvTranspose2d(nn.ConvTranspose2d):
    """The same for a transposed convolution: a matrix product, then the sum of the overlapping windows."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        n, _, height, width = x.shape
        if output_size is not None or n * height * width > ROWS:
            return super().forward(x, output_size)
        # The product's gradient is in channels-last order, in which torch computes wrong gradients of instance
        # normalization on a CPU (see build.refuse_shortcuts).
        if x.requires_grad:
            x = x.view_as(x)
            x.register_hook(Tensor.contiguous)
        rows = x.permute(0, 2, 3, 1).flatten(0, 2) @ self.weight.flatten(1)  # (N * pixels, K * taps)
        columns = rows.view(n, height * width, -1).transpose(1, 2)
        padding = tuple(map(int, self.padding))
        size = tuple(
            (m - 1) * s - 2 * p + k + extra
            for m, s, p, k, extra in zip(
                (height, width), self.stride, padding, self.kernel_size, self.output_padding, strict=True
            )
        )
        return _bias(fold(columns, size, self.kernel_size, 1, padding, self.stride), self.bias)


def install(network: nn.Module) -> nn.Module:
    """Give the layers of `network` that gain by it a fast class, in place. Copies of the network keep it."""
    for layer in network.modules():
        fast = _fast(layer)
        if fast is not None:
            layer.__class__ = fast
    return network


def _fast(layer: nn.Module) -> type[nn.Module] | None:
    """The fast class of a layer, or None."""
    # Subclasses, such as those of parametrizations, which compute the weight at each use, keep their own forward.
    if type(layer) not in (nn.Conv2d, nn.ConvTranspose2d):
        return None
    assert isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))
    if layer.groups != 1 or layer.dilation != (1, 1) or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return None
    if layer.weight.numel() >= WEIGHTS and layer.kernel_size == (4, 4):
        return TinyConv2d if isinstance(layer, nn.Conv2d) else TinyConvTranspose2d
    if isinstance(layer, nn.ConvTranspose2d) or layer.stride != (1, 1):
        return None
    if layer.kernel_size == (3, 3) and min(layer.in_channels, layer.out_channels) >= CHANNELS:
        return WinogradConv2d
    few = layer.out_channels <= 4 and layer.kernel_size[0] == layer.kernel_size[1] >= 5
    return SplitConv2d if few and layer.padding == (0, 0) else None
