"""CPU kernels: three convolutions that direct ones do slowly, with the same weights, names and results to rounding.

`install` gives layers of torch another class; nothing else changes: no state-dict name, no attribute, no random number.
Each layer decides by the shapes that it sees, so that a resumed run computes the same bits.
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
CHANNELS = 128  # of a 3x3 layer, from which Winograd pays
WEIGHTS = 2**18  # of a layer, from which reading them costs more than the products with few pixels
ROWS = 64  # pixels of a batch up to which a map is tiny
PIXELS = 2**16  # of a batch in one call: float32 sums of a weight's gradient over more of them lose digits


def _polynomial(roots: list[float]) -> list[float]:
    """The coefficients of prod (x - root), of 1, x, x^2, ..."""
    coefficients = [1.0]
    for root in roots:
        shifted = [0.0, *coefficients]
        coefficients = [s - root * c for s, c in zip(shifted, [*coefficients, 0.0], strict=True)]
    return coefficients


def winograd_matrices(points: tuple[float, ...] = POINTS) -> tuple[Tensor, Tensor, Tensor]:
    """A^T (4, 6), G (6, 3), B^T (6, 6) of F(4, 3) with  y = A^T [(G g) * (B^T d)]  (Lavin & Gray 2016, arXiv
    1509.09308), by interpolation at `points` and infinity (Toom and Cook). float64.
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


_TO_OUTPUT, _TO_WEIGHT, _TO_INPUT = (torch.kron(m, m) for m in winograd_matrices())  # (16, 36), (36, 9), (36, 36)


class Winograd(torch.autograd.Function):
    """3x3 convolution of stride 1 without padding, x (N, C, H, W), weight (K, C, 3, 3) -> (N, K, H - 2, W - 2), H - 2
    and W - 2 multiples of 4. Keeps the transformed windows, 2.25 times the size of x; the transformed kernels, 4 times
    the weight, are computed again. The gradient's own gradient is that of the direct convolution.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        windows = _windows(x)
        ctx.save_for_backward(x, weight, windows)
        products = torch.bmm(_kernels(weight), windows)  # (36, K, tiles)
        tiles = _TO_OUTPUT.to(x.dtype) @ products.flatten(1)
        n, _, height, width = x.shape
        return _untile(tiles, n, len(weight), (height - 2) // TILE, (width - 2) // TILE)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight, windows = ctx.saved_tensors
        wants_x, wants_weight = ctx.needs_input_grad
        if torch.is_grad_enabled():  # double backward
            one, zero = [1, 1], [0, 0]
            found: list[Tensor | None] = torch.ops.aten.convolution_backward(
                gradient, x, weight, None, one, zero, one, False, zero, 1, [wants_x, wants_weight, False]
            )
            return found[0], found[1]
        products = (_TO_OUTPUT.to(x.dtype).T @ _tile(gradient)).view(WINDOW**2, len(weight), -1)
        grad_x = grad_weight = None
        if wants_x:
            grad_x = _unwindows(torch.bmm(_kernels(weight).transpose(1, 2), products), x.shape)
        if wants_weight:
            spectra = torch.bmm(products, windows.transpose(1, 2))  # (36, K, C)
            grad_weight = (_TO_WEIGHT.to(x.dtype).T @ spectra.flatten(1)).T.reshape(weight.shape)
        return grad_x, grad_weight


def _windows(x: Tensor) -> Tensor:
    """The transformed 6x6 windows in steps of 4: (N, C, H, W) -> (36, C, N * tiles)."""
    channels = x.shape[1]
    windows = x.unfold(2, WINDOW, TILE).unfold(3, WINDOW, TILE)  # (N, C, h, w, 6, 6)
    rows = windows.permute(4, 5, 1, 0, 2, 3).reshape(WINDOW**2, -1)
    return (_TO_INPUT.to(x.dtype) @ rows).view(WINDOW**2, channels, -1)


def _unwindows(spectra: Tensor, shape: torch.Size) -> Tensor:
    """The adjoint of `_windows`."""
    n, channels, height, width = shape
    h, w = (height - 2) // TILE, (width - 2) // TILE
    rows = (_TO_INPUT.to(spectra.dtype).T @ spectra.flatten(1)).view(WINDOW, WINDOW, channels, n, h, w)
    whole = rows.new_zeros(n, channels, h + 1, TILE, w + 1, TILE)  # a window covers a block and the edges of the next
    parts = (slice(0, TILE), slice(TILE, WINDOW))
    for down, right in itertools.product((0, 1), repeat=2):
        part = rows[parts[down], parts[right]].permute(3, 2, 4, 0, 5, 1)
        edge = whole[:, :, down : h + down, : part.shape[3], right : w + right, : part.shape[5]]
        edge += part
    return whole.view(n, channels, (h + 1) * TILE, (w + 1) * TILE)[:, :, :height, :width].contiguous()


def _kernels(weight: Tensor) -> Tensor:
    """The transformed kernels: (K, C, 3, 3) -> (36, K, C)."""
    k, channels = weight.shape[:2]
    return (_TO_WEIGHT.to(weight.dtype) @ weight.reshape(k * channels, KERNEL**2).T).view(WINDOW**2, k, channels)


def _tile(y: Tensor) -> Tensor:
    """(N, K, 4h, 4w) -> (16, K * N * h * w)."""
    n, k, height, width = y.shape
    tiles = y.reshape(n, k, height // TILE, TILE, width // TILE, TILE)
    return tiles.permute(3, 5, 1, 0, 2, 4).reshape(TILE**2, -1)


def _untile(tiles: Tensor, n: int, k: int, h: int, w: int) -> Tensor:
    """The inverse of `_tile`; contiguous."""
    return tiles.view(TILE, TILE, k, n, h, w).permute(3, 2, 4, 0, 5, 1).reshape(n, k, h * TILE, w * TILE)


def _bias(y: Tensor, bias: Tensor | None) -> Tensor:
    return y if bias is None else y + bias[:, None, None]


class WinogradConv2d(nn.Conv2d):
    """A 3x3 layer with many channels: fewer than half the products where the map is large enough."""

    def forward(self, x: Tensor) -> Tensor:
        down, right = map(int, self.padding)
        padded = pad(x, (right, right, down, down)) if down or right else x
        height, width = padded.shape[2] - 2, padded.shape[3] - 2
        if height % TILE or width % TILE or len(x) * height * width < 32 * TILE**2:
            return super().forward(x)
        return _bias(Winograd.apply(padded, self.weight), self.bias)


class SplitConv2d(nn.Conv2d):
    """A square kernel with few outputs, which leave a direct convolution's lanes empty: one column of the kernel makes
    an output of its own, and the columns' maps are added with a shift of one pixel each.
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
    """Many weights for few pixels: one matrix product, which reads the weights where they lie."""

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
    """The same for a transposed convolution: a matrix product, then the overlapping windows are added."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        n, _, height, width = x.shape
        if output_size is not None or n * height * width > ROWS:
            return super().forward(x, output_size)
        if x.requires_grad:  # the product's gradient comes in channels-last order, which normalisation gets wrong
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
    """Give the layers of `network` that gain by it their fast class, in place; copies of the network keep it."""
    for layer in network.modules():
        fast = _fast(layer)
        if fast is not None:
            layer.__class__ = fast
    return network


def _fast(layer: nn.Module) -> type[nn.Module] | None:
    if type(layer) not in (nn.Conv2d, nn.ConvTranspose2d):  # such as one whose weight is made anew at each use
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
