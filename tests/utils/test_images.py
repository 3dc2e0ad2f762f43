"""Grids and scatter plots as images."""

import numpy as np
import torch

from gan_cli.utils import images


def darkest(plot: torch.Tensor) -> list[tuple[int, int]]:
    return [tuple(at) for at in (plot == plot.min()).nonzero().tolist()]


def test_batches_of_points_are_plotted_side_by_side_on_the_same_axes() -> None:
    near, far = torch.tensor([[0.0, 1.0], [float("nan"), 0.0]]), torch.tensor([[3.0, 0.0]]).view(1, 2, 1, 1)
    plot = images.stack({"near": near[..., None, None], "far": far}, None)
    assert plot.shape == (1, 384, 2 * 384 + 2)
    extent = 1.1 * 3
    left, right = plot[0, :, :384], plot[0, :, 386:]
    row = 383 - round((1 / extent + 1) / 2 * 383)
    assert darkest(left) == [(row, 192)]
    assert darkest(right) == [(191, round((3 / extent + 1) / 2 * 383))]
    assert torch.equal(images.scatter(near), images.grid(near, None))


def test_points_of_one_dimension_lie_on_a_line() -> None:
    plot = images.scatter(torch.tensor([[-1.0], [1.0]]))
    assert {row for row, _ in darkest(plot[0])} == {191}
    assert [column for _, column in darkest(plot[0])] == [round((x / 1.5 + 1) / 2 * 383) for x in (-1, 1)]


def test_large_images_are_converted_in_strips() -> None:
    """One, two, three and four channels: gray, gray with alpha (of models that color), color, color with alpha."""
    for channels, mode in ((1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")):
        pixels = torch.randint(0, 256, (channels, 2 * images.STRIP + 3, 5), dtype=torch.uint8)
        image = images.to_pil(pixels)
        assert image.mode == mode
        shown = torch.from_numpy(np.array(image)).view(*pixels.shape[1:], channels)
        assert torch.equal(shown.permute(2, 0, 1), pixels)
