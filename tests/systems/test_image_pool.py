"""The image pool's rule, its state, and that it holds images without graphs."""

import io

import torch
from torch import Tensor

from gan_cli.systems.image_pool import ImagePool
from gan_cli.utils import random


def images(first: int, n: int) -> Tensor:
    """n images whose values are first, first + 1, ..."""
    return torch.arange(first, first + n, dtype=torch.float32).view(n, 1, 1, 1).expand(n, 1, 2, 2).clone()


def test_until_full_every_image_comes_back_and_is_stored() -> None:
    pool = ImagePool(4)
    assert torch.equal(pool.query(images(0, 3)), images(0, 3))
    assert torch.equal(pool.query(images(3, 1)), images(3, 1))
    assert torch.equal(pool.images, images(0, 4))


def test_when_full_new_or_stored_and_replaced() -> None:
    random.seed(0)
    pool = ImagePool(3)
    held = set(range(3))
    pool.query(images(0, 3))
    new_ones, slots = 0, set()
    for i in range(3, 1003):
        shown = int(pool.query(images(i, 1))[0, 0, 0, 0])
        if shown == i:
            new_ones += 1
        else:
            assert shown in held
            slots.add(next(k for k in range(3) if int(pool.images[k, 0, 0, 0]) == i))
            held = (held - {shown}) | {i}
        assert {int(v) for v in pool.images[:, 0, 0, 0]} == held
    assert 440 < new_ones < 560 and slots == {0, 1, 2}


def test_a_batch_is_its_images_one_after_the_other() -> None:
    random.seed(3)
    pool = ImagePool(1)
    shown = pool.query(images(0, 200)).flatten(1)[:, 0].tolist()
    held = 0
    assert shown[0] == 0
    for i, value in enumerate(shown[1:], start=1):
        assert value in (i, held)
        held = i if value == held else held
    assert pool.images.flatten()[0] == held


def test_no_graph_and_no_alias() -> None:
    pool = ImagePool(2)
    source = images(0, 2).requires_grad_()
    shown = pool.query(source * 1)
    assert not shown.requires_grad and not pool.images.requires_grad
    shown.add_(5)
    assert torch.equal(pool.images, images(0, 2))


def test_size_zero_passes_through() -> None:
    pool = ImagePool(0)
    source = images(0, 3).requires_grad_()
    assert torch.equal(pool.query(source), source) and not pool.query(source).requires_grad


def test_images_of_another_shape_empty_the_pool() -> None:
    """pix2pixHD's phases have other image sizes."""
    pool = ImagePool(3)
    pool.query(images(0, 3))
    large = torch.full((1, 1, 4, 4), 7.0)
    assert torch.equal(pool.query(large), large) and torch.equal(pool.images, large)


def test_state_survives_a_checkpoint() -> None:
    random.seed(0)
    pool, other = ImagePool(3), ImagePool(3)
    pool.query(images(0, 7))
    buffer = io.BytesIO()
    torch.save(pool.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(other.images, pool.images)
    random.seed(1)
    first = pool.query(images(10, 5))
    random.seed(1)
    assert torch.equal(other.query(images(10, 5)), first)


def test_a_saved_state_does_not_change_with_the_pool() -> None:
    random.seed(0)
    pool = ImagePool(2)
    pool.query(images(0, 2))
    state = pool.state_dict()
    pool.query(images(2, 20))
    other = ImagePool(2)
    other.load_state_dict(state)
    assert torch.equal(other.images, images(0, 2))


def test_moves_with_its_module() -> None:
    pool = ImagePool(2)
    pool.query(images(0, 2))
    moved = torch.nn.ModuleList([pool]).to("meta")[0]
    assert moved.images.device.type == "meta"
