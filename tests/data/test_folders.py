"""Folders of images as data sets: streams, splits, labels, crops."""

import shutil
from pathlib import Path

import pytest
import torch
from helpers import checked, in_bytes, save_plain, save_ramp, unpaired_folder

from gan_cli.config.paths import conf_dir
from gan_cli.data.folders import ImageFolder, UnpairedFolder


def test_split_is_the_same_everywhere(classes: Path, tmp_path: Path) -> None:
    first = ImageFolder(str(classes), image_size=8)
    shutil.copytree(classes, tmp_path / "moved")
    second = ImageFolder(str(tmp_path / "moved"), image_size=8)
    assert (first.size, first.test_size) == (18, 2)
    assert torch.equal(first.test_batch(0, 2).image, second.test_batch(0, 2).image)
    assert first.fingerprint() == second.fingerprint()
    train = first.train_batch(0, 0, 18).image[:, 0, 0, 0].tolist()
    test = first.test_batch(0, 2).image[:, 0, 0, 0].tolist()
    assert len(set(train)) == 18 and not set(train) & set(test)
    assert torch.equal(first.test_batch(1, 2).image, first.test_batch(0, 2).image.flip(0))


def test_labels_are_the_subfolders(classes: Path) -> None:
    data = ImageFolder(str(classes), image_size=8, num_classes=2, value_range=(0, 1))
    for batch in (data.train_batch(3, 5, 40), data.test_batch(0, 2)):
        assert batch.label is not None and batch.label.dtype == torch.int64
        assert torch.equal(batch.label, (in_bytes(batch.image[:, 0, 0, 0]) >= 100).long())
    assert ImageFolder(str(classes), image_size=8).train_batch(0, 0, 2).label is None


def test_wrong_number_of_classes(classes: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"has 2 subfolders with images \(cat, dog\); set dataset.num_classes=2"
    ):
        ImageFolder(str(classes), image_size=8, num_classes=3)
    save_plain(tmp_path / "test" / "cow" / "1.png", (1, 1, 1))
    with pytest.raises(ValueError, match="cow, which is no class of"):
        ImageFolder(str(classes), image_size=8, num_classes=2, test_root=str(tmp_path / "test"))
    save_plain(classes / "loose.png", (1, 1, 1))
    with pytest.raises(ValueError, match="lie in no subfolder"):
        ImageFolder(str(classes), image_size=8, num_classes=2)


def test_own_test_folder(classes: Path, tmp_path: Path) -> None:
    save_plain(tmp_path / "test" / "dog" / "1.png", (255, 255, 255))
    data = ImageFolder(str(classes), image_size=8, num_classes=2, test_root=str(tmp_path / "test"))
    assert (data.size, data.test_size) == (20, 1)
    image, label = data.test_batch(0, 1)
    assert image.unique().tolist() == [1.0] and label is not None and label.tolist() == [1]


def test_flip_mirrors_half(tmp_path: Path) -> None:
    for number in range(4):
        save_ramp(tmp_path / "set" / f"{number}.png", number, size=8)
    plain, flipped = (ImageFolder(str(tmp_path / "set"), image_size=8, flip=flip) for flip in (False, True))
    rising = [
        (d.train_batch(0, 0, 400).image[:, 1, 0].diff() > 0).all(1).float().mean() for d in (plain, flipped)
    ]
    assert rising[0] == 1 and 0.4 < rising[1] < 0.6


def test_gray_images(classes: Path) -> None:
    """Images of equal channels have the same values with one channel, (N, 1, H, W)."""
    gray, color = (ImageFolder(str(classes), image_size=8, channels=channels) for channels in (1, 3))
    assert torch.equal(gray.train_batch(0, 0, 18).image, color.train_batch(0, 0, 18).image[:, 1:2])


def test_stream_is_pure(domains: Path, classes: Path) -> None:
    for data in (unpaired_folder(domains), ImageFolder(str(classes), image_size=8, num_classes=2, flip=True)):
        whole = data.train_batch(5, 0, 4)
        data.train_batch(6, 100, 3)
        parts = [data.train_batch(5, 2, 2), data.train_batch(5, 0, 2)]
        for k, tensor in enumerate(whole):
            assert torch.equal(tensor, torch.cat([parts[1][k], parts[0][k]]))
        assert not torch.equal(whole[0], data.train_batch(6, 0, 4)[0])


def test_epochs_are_shuffled_apart(domains: Path) -> None:
    data = unpaired_folder(domains)
    assert (data.size, data.test_size) == (11, 3)
    batch = data.train_batch(0, 0, 77)
    x, y = (in_bytes(part[:, 0, 0, 0]).long() for part in batch)
    assert all(sorted(epoch.tolist()) == list(range(7)) for epoch in x.split(7))
    assert all(sorted(epoch.tolist()) == list(range(100, 111)) for epoch in y.split(11))
    assert len(set(zip(x.tolist(), y.tolist()))) > 40  # of 77 pairs; hand in hand would give few
    assert len({tuple(epoch.tolist()) for epoch in x.split(7)}) > 5


def test_domains_of_one_size_are_shuffled_separately(domains: Path) -> None:
    shutil.rmtree(domains / "trainB")
    shutil.copytree(domains / "trainA", domains / "trainB")
    batch = unpaired_folder(domains).train_batch(0, 0, 70)
    assert (batch.x[:, 0, 0, 0] == batch.y[:, 0, 0, 0]).float().mean() < 0.5
    assert not torch.equal(batch.x[:, 1:, 0, 0], batch.y[:, 1:, 0, 0])  # nor are the crops


def test_crops_reach_every_place(domains: Path) -> None:
    for image in unpaired_folder(domains).train_batch(0, 0, 800):
        across, down = in_bytes(image)[:, 1:].unbind(1)
        left, top = across.amin((1, 2)), down.amin((1, 2))
        assert sorted(left.unique().tolist()) == sorted(top.unique().tolist()) == list(range(7))
        assert torch.equal(across.amax((1, 2)) - left, torch.full((800,), 15.0))
        mirrored = across[:, 0, 0] > across[:, 0, -1]
        assert 0.4 < mirrored.float().mean() < 0.6
        assert (down[:, 0, 0] < down[:, -1, 0]).all()
        draws = torch.stack([left, top, mirrored.float()])
        assert (torch.corrcoef(draws) - torch.eye(3)).abs().max() < 0.15
    assert not (unpaired_folder(domains, flip=False).train_batch(0, 0, 50).x[:, 1, 0].diff() < 0).any()


def test_held_out_images_are_whole(domains: Path) -> None:
    x, y = (in_bytes(part) for part in unpaired_folder(domains, image_size=22).test_batch(0, 3))
    assert x[:, 0, 0, 0].tolist() == [0, 1, 0] and y[:, 0, 0, 0].tolist() == [100, 101, 102]
    assert torch.equal(x[0, 1, 0], torch.arange(22.0))
    assert unpaired_folder(domains).test_batch(0, 1).x.shape == (1, 3, 16, 16)


def test_without_test_folders_the_training_images(domains: Path) -> None:
    shutil.rmtree(domains / "testA")
    data = unpaired_folder(domains, image_size=22)
    assert data.test_size == 7
    assert in_bytes(data.test_batch(0, 7).x[:, 0, 0, 0]).tolist() == list(range(7))


def test_load_size_and_range(domains: Path) -> None:
    data = UnpairedFolder(str(domains), image_size=256)
    assert data._stores[0].shape[-1] == 286
    assert data.train_batch(0, 0, 1).x.min() >= -1
    with pytest.raises(ValueError, match=r"load_size 8: .* image_size, which is 16"):
        unpaired_folder(domains, load_size=8)


def test_classes_have_one_name_in_both_forms_of_unicode(tmp_path: Path) -> None:
    for name in ("train/a/1.png", "train/e\u0301/1.png", "test/\u00e9/1.png"):
        save_plain(tmp_path / name, (9, 9, 9))
    data = ImageFolder(str(tmp_path / "train"), image_size=8, num_classes=2, test_root=str(tmp_path / "test"))
    label = data.test_batch(0, 1).label
    assert label is not None and label.tolist() == [1]


def test_root_may_lie_one_folder_up(domains: Path, tmp_path: Path) -> None:
    assert unpaired_folder(tmp_path).fingerprint() == unpaired_folder(domains).fingerprint()
    shutil.copytree(domains, tmp_path / "other")
    with pytest.raises(ValueError, match=r"several sets: set dataset\.root to"):
        unpaired_folder(tmp_path)
    shutil.rmtree(domains / "trainB")
    with pytest.raises(FileNotFoundError, match="no folder trainB in"):
        unpaired_folder(domains)


def test_configs_fit_their_constructors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_DATA", "/sets")
    for file in (conf_dir() / "dataset").glob("*.yaml"):
        if "unpaired_folder" in file.read_text():
            cfg = checked(f"dataset={file.stem}", "model=cyclegan")
            assert cfg.dataset.root == f"/sets/{file.stem}" and cfg.dataset.url.endswith(f"/{file.stem}.zip")
