"""Label maps with their images: from folders as pix2pixHD keeps them, and generated."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_cli.data.base import LabelMaps, Pairs
from gan_cli.data.label_maps import LabelMapFolder, LargePairs, read_ids, read_maps
from gan_cli.data.palettes import Palette
from gan_cli.data.scenes import OBJECTS, ShapesScene, render_scene, segment_by_hue
from gan_cli.data.shapes import KINDS


def save(path: Path, pixels: np.ndarray, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels, mode).save(path)
    return path


IDS = np.array([[0, 1, 34, 255], [2, 2, 3, 3]])
INSTANCES = np.array([[0, 1, 34000, 255], [2, 2001, 3000, 3000]])


@pytest.fixture
def streets(tmp_path: Path) -> Path:
    """Three training images of 128 x 64 in two colors, of class 7 left and 11 right, and one held out."""
    for split, numbers in (("train", range(3)), ("test", range(1))):
        for n in numbers:
            photo = np.zeros((64, 128, 3), np.uint8)
            photo[:, :64], photo[:, 64:] = 40 * n, 255
            labels = np.where(np.arange(128) < 64, 7, 11)[None].repeat(64, 0)
            save(tmp_path / f"{split}_img/town_{n}_leftImg8bit.png", photo)
            save(tmp_path / f"{split}_label/town_{n}_gtFine_labelIds.png", labels.astype(np.uint8))
            save(tmp_path / f"{split}_inst/town_{n}_gtFine_instanceIds.png", (labels * 1000 + n).astype(np.uint16))
    return tmp_path


def test_ids_are_read_as_they_are(tmp_path: Path) -> None:
    byte = save(tmp_path / "byte.png", IDS.astype(np.uint8))
    deep = save(tmp_path / "deep.png", INSTANCES.astype(np.uint16))
    palette = Image.fromarray(IDS.astype(np.uint8), "P")
    palette.putpalette([200, 10, 10] * 256)  # the colors say nothing
    palette.save(tmp_path / "palette.png")
    assert np.array_equal(np.asarray(read_ids(byte)), IDS)
    assert np.array_equal(np.asarray(read_ids(tmp_path / "palette.png")), IDS)
    assert np.array_equal(np.asarray(read_ids(deep)), INSTANCES)
    color = save(tmp_path / "color.png", np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(ValueError, match=r"color.png: mode RGB: a map has one whole number per pixel"):
        read_ids(color)
    (tmp_path / "text.png").write_text("no")
    with pytest.raises(ValueError, match=r"text.png: not an image"):
        read_ids(tmp_path / "text.png")


def with_palette(path: Path, *colors: int) -> Path:
    """A map of the classes 0 and 1."""
    path.parent.mkdir(exist_ok=True)
    image = Image.fromarray(np.eye(32, dtype=np.uint8), "P")
    image.putpalette(colors)
    image.save(path)
    return path


def test_an_index_has_one_color(tmp_path: Path) -> None:
    """Two maps with the same colors in another order would exchange their classes."""
    a = with_palette(tmp_path / "a.png", 9, 0, 0, 0, 9, 0)
    b = with_palette(tmp_path / "b.png", 9, 0, 0, 0, 9, 0, 1, 1, 1)  # an index that no pixel has does not count
    c = with_palette(tmp_path / "c.png", 0, 9, 0, 9, 0, 0)
    palette: Palette = {}
    for instances in (None, b, c):  # the colors of instances say nothing
        assert torch.equal(read_maps(a, instances, 2, palette=palette)[0], torch.eye(32, dtype=torch.int64))
    read_maps(b, None, 2, palette=palette)
    for maps in ((c, a), (None, c)):  # without labels, the instances are the classes
        with pytest.raises(ValueError, match=r"c.png: index 0 has the color \(0, 9, 0\) .* and \(9, 0, 0\) in .*a.png"):
            read_maps(*maps, 2, palette=palette)


@pytest.mark.parametrize("split, part", [("train", "label"), ("test", "inst")])
def test_palettes_are_compared_before_the_training(split: str, part: str, tmp_path: Path) -> None:
    for folder in ("train_img", "test_img", "train_label", f"test_{part}"):
        with_palette(tmp_path / folder / "1.png", 9, 0, 0, 0, 9, 0)
        with_palette(tmp_path / folder / "2.png", 9, 0, 0, 0, 9, 0, 1, 1, 1)
    LabelMapFolder(str(tmp_path), 32, label_nc=2)
    with_palette(tmp_path / f"{split}_{part}/2.png", 0, 9, 0, 9, 0, 0)
    with pytest.raises(ValueError, match=f"{split}_{part}/2.png: index 0 has .* in that of .*train_label/1.png"):
        LabelMapFolder(str(tmp_path), 32, label_nc=2)


def test_maps_of_one_file_or_two(tmp_path: Path) -> None:
    labels = save(tmp_path / "label.png", IDS.astype(np.uint8))
    instances = save(tmp_path / "inst.png", INSTANCES.astype(np.uint16))
    void = np.where(IDS == 255, 0, IDS)
    both = read_maps(labels, instances, 35)
    assert both.dtype == torch.int64 and np.array_equal(both[0], void) and np.array_equal(both[1], INSTANCES)
    alone = read_maps(labels, None, 35)
    assert np.array_equal(alone[0], void) and np.array_equal(alone[1], IDS)
    derived = read_maps(None, instances, 35)  # 34000 is of class 34, 2001 of 2
    assert np.array_equal(derived[0], void) and np.array_equal(derived[1], INSTANCES)
    with pytest.raises(ValueError, match=r"label.png: class 34, and dataset.label_nc=34 has 0 to 33"):
        read_maps(labels, None, 34)
    larger = read_maps(labels, None, 35, size=(8, 4))
    assert np.array_equal(larger[0], void.repeat(2, 0).repeat(2, 1))


def test_a_folder_of_label_maps(streets: Path) -> None:
    data = LabelMapFolder(str(streets), image_size=64, flip=False)
    assert (data.size, data.test_size, data.height, data.label_nc) == (3, 1, 32, 35)
    batch = data.train_batch(0, 0, 3)
    assert isinstance(batch, LabelMaps) and batch.maps.shape == (3, 2, 32, 64) and batch.image.shape == (3, 3, 32, 64)
    assert (batch.maps[:, 0, :, :32] == 7).all() and (batch.maps[:, 0, :, 32:] == 11).all()
    assert (batch.maps[:, 1] // 1000 == batch.maps[:, 0]).all()
    own = batch.maps[:, 1, 0, 0] - 7000  # each image with its own maps
    torch.testing.assert_close(batch.image[:, 0, 0, 0], 2 * 40 * own / 255 - 1, check_dtype=False)
    assert sorted(own.tolist()) == [0, 1, 2]
    assert torch.equal(data.test_batch(5, 1).image, data.test_batch(0, 1).image)
    whole, second = data.train_batch(1, 2, 4), data.train_batch(1, 4, 1)
    assert torch.equal(whole.image[2:3], second.image)


def test_maps_are_mirrored_with_their_images(streets: Path) -> None:
    data = LabelMapFolder(str(streets), image_size=64)
    batch = data.train_batch(0, 0, 60)
    mirrored = batch.maps[:, 0, 0, 0] == 11
    assert 15 < int(mirrored.sum()) < 45
    assert torch.equal(batch.image[:, 0, 0, 0] == 1, mirrored)
    assert torch.equal(batch.maps[:, 1, 0, 0] // 1000 == 11, mirrored)


def test_height_and_missing_parts(streets: Path) -> None:
    assert LabelMapFolder(str(streets), image_size=100).height == 64  # 50 is nearest to 64
    assert LabelMapFolder(str(streets), image_size=64, height=48).train_batch(0, 0, 1).maps.shape[2:] == (48, 64)
    for file in (streets / "train_label").iterdir():
        file.unlink()
    (streets / "train_label").rmdir()
    batch = LabelMapFolder(str(streets), image_size=64).train_batch(0, 0, 1)
    assert set(batch.maps[0, 0].unique().tolist()) == {7, 11}  # from the instances
    for file in (streets / "test_img").iterdir():
        file.unlink()
    (streets / "test_img").rmdir()
    assert LabelMapFolder(str(streets), image_size=64).test_size == 3


def test_invalid_folders(streets: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        LabelMapFolder(str(streets / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"no train_img in .*: dataset.root holds train_img, and optionally"):
        LabelMapFolder(str(streets / "train_img"))
    with pytest.raises(ValueError, match=r"label_nc 0: .*large_pairs"):
        LabelMapFolder(str(streets), label_nc=0)
    save(streets / "train_inst/more.png", IDS.astype(np.uint8))
    with pytest.raises(ValueError, match=r"1 images of .*train_inst have no partner in .*: more.png$"):
        LabelMapFolder(str(streets))
    (streets / "train_inst/more.png").unlink()
    save(streets / "train_label/town_1_gtFine_labelIds.png", IDS.astype(np.uint8))
    with pytest.raises(ValueError, match=r"town_1_leftImg8bit.png and town_1_gtFine_labelIds.png and .* do not"):
        LabelMapFolder(str(streets))
    (streets / "train_label/town_1_gtFine_labelIds.png").write_text("no image")
    with pytest.raises(ValueError, match=r"labelIds.png: not an image$"):
        LabelMapFolder(str(streets))


def test_photographs_alone(tmp_path: Path) -> None:
    save(tmp_path / "plain/train_img/a.png", np.zeros((32, 32), np.uint8))
    with pytest.raises(FileNotFoundError, match="no train_label or train_inst"):
        LabelMapFolder(str(tmp_path / "plain"))


def test_large_pairs(tmp_path: Path) -> None:
    for n in range(2):
        save(tmp_path / f"train_A/{n}.png", np.full((64, 128, 3), 100 * n, np.uint8))
        save(tmp_path / f"train_B/{n}.png", np.full((64, 128, 3), 100 * n + 50, np.uint8))
    data = LargePairs(str(tmp_path), image_size=64)
    pairs = data.train_batch(0, 0, 4)
    assert isinstance(pairs, Pairs) and pairs.source.shape == (4, 3, 32, 64)
    torch.testing.assert_close(pairs.target - pairs.source, torch.full_like(pairs.source, 100 / 255))
    with pytest.raises(FileNotFoundError, match="no train_A and train_B in"):
        LargePairs(str(tmp_path / "train_A"))


# -- scenes


def test_scenes_match_their_maps() -> None:
    index = torch.arange(200)
    maps, image = render_scene(index, 64)
    labels, instances = maps.unbind(1)
    assert set(labels.unique().tolist()) == set(range(1 + len(KINDS)))
    assert torch.equal(instances // 1000, labels) and int((instances % 1000).max()) < OBJECTS
    assert image.min() >= 0 and image.max() <= 1
    several = [len(image.unique()) - 1 for image in instances]
    assert max(several) == OBJECTS and sum(several) / 200 > 3
    share = (segment_by_hue(image) == labels).float().mean()
    assert share > 0.97  # all but the edges
    hidden = instances.flatten(1).roll(1, 0).view_as(instances)
    assert (segment_by_hue(image) == hidden // 1000).float().mean() < 0.8  # the next scene's maps do not fit


def test_hues_differ_between_instances_of_one_kind() -> None:
    maps, image = render_scene(torch.arange(300), 64)
    hues = []
    for n in range(300):
        inside = maps[n, 1] == 1000 * 1 + 0  # a circle in the first place
        if inside.sum() > 60:
            hues.append(image[n][:, inside].mean(1))
    assert len(hues) > 10 and torch.stack(hues).std(0).max() > 0.02


def test_the_set_of_scenes() -> None:
    data = ShapesScene(32)
    batch, again = data.train_batch(3, 10, 4), data.train_batch(3, 8, 6)
    assert torch.equal(batch.maps, again.maps[2:]) and torch.equal(batch.image, again.image[2:])
    assert batch.maps.shape == (4, 2, 32, 32) and -1 <= batch.image.min() < 0 < batch.image.max() <= 1
    assert (data.segment(batch.image) == batch.maps[:, 0]).float().mean() > 0.9
    assert not torch.equal(data.test_batch(0, 4).maps, batch.maps)
    with pytest.raises(ValueError, match="label_nc=35: a scene has 7 classes"):
        ShapesScene(label_nc=35)
    with pytest.raises(ValueError, match="channels=1"):
        ShapesScene(channels=1)
