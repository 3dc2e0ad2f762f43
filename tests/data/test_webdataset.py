"""Images in tar archives: order, labels, resuming, memory, URLs, and what may be wrong with them."""

import gc
import http.server
import io
import multiprocessing
import os
import signal
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from helpers import checkpoint_values, in_bytes, pack, png, run_gan, start_gan
from helpers import fill_shards as fill
from PIL import Image

from gan_cli.config.composer import Composer, arguments
from gan_cli.data import image_files, shard_index, tar_shards, url_cache
from gan_cli.data.folders import ImageFolder
from gan_cli.data.lazy_images import BlockOrder
from gan_cli.data.url_cache import URLCache
from gan_cli.data.webdataset import WebDataset
from gan_cli.training.trainer import Trainer
from gan_cli.utils.errors import GanError

LIMIT = 10**12


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def numbers(batch: torch.Tensor) -> list[int]:
    return in_bytes(batch[:, 0, 0, 0]).int().tolist()


def small(root: object, **options: object) -> WebDataset:
    return WebDataset(**{"root": str(root), "image_size": 8, "value_range": (0, 1), **options})  # type: ignore[arg-type]


# -- order


@pytest.mark.parametrize("together", [1, 2, 3, 100])
def test_each_sample_comes_once_in_an_epoch_and_few_archives_at_a_time(together: int) -> None:
    counts = [3, 5, 1, 4, 6, 2, 7]
    whole = [tuple(pair) for pair in BlockOrder(torch.tensor(counts), together)(9, 0, 3 * 28).tolist()]
    epochs = [whole[k : k + 28] for k in (0, 28, 56)]
    assert len(set(map(tuple, epochs))) == 3
    for epoch in epochs:
        assert sorted(epoch) == [(a, s) for a, n in enumerate(counts) for s in range(n)]
        left, begun = dict(enumerate(counts)), set()
        for archive, _ in epoch:
            begun.add(archive)
            left[archive] -= 1
            assert sum(left[a] > 0 for a in begun) <= together
    assert len({tuple(dict.fromkeys(a for a, _ in epoch)) for epoch in epochs}) == 3  # archives are dealt anew


def test_the_order_is_a_function_of_seed_and_position() -> None:
    order = BlockOrder(torch.tensor([3, 5, 1, 4, 6]), 2)
    whole = order(3, 0, 60)
    for first, count in [(0, 1), (7, 30), (18, 2), (19, 1), (37, 23), (59, 1)]:
        fresh = BlockOrder(torch.tensor([3, 5, 1, 4, 6]), 2)  # nothing read before: where a resumed run begins
        assert torch.equal(fresh(3, first, count), whole[first : first + count])
    assert not torch.equal(order(4, 0, 60), whole)


def test_samples_of_a_block_are_mixed_evenly() -> None:
    """Each of 2 archives of 50 has half of the first fifty places, within five standard deviations of sqrt(50/4/2)."""
    firsts = [float((BlockOrder(torch.tensor([50, 50]), 2)(seed, 0, 50)[:, 0] == 0).sum()) for seed in range(20)]
    assert all(25 - 5 * 2.5 < n < 25 + 5 * 2.5 for n in firsts) and len(set(firsts)) > 3
    drawn = BlockOrder(torch.tensor([50, 50]), 2)(0, 0, 100).tolist()
    for archive in (0, 1):
        samples = [sample for a, sample in drawn if a == archive]
        assert 15 <= sum(a < b for a, b in pairwise(samples)) <= 35
    blocks = BlockOrder(torch.tensor([50] * 3), 1)(0, 0, 300)[:, 1].split(50)
    assert len({tuple(block.tolist()) for block in blocks}) == 6  # each block of each epoch has an order of its own


def test_batches_are_cut_from_one_stream(tmp_path: Path) -> None:
    data = small(fill(tmp_path / "set"), shuffle_shards=2, num_classes=3, flip=True)
    whole = data.train_batch(5, 0, 60)
    assert data.size == 20 and all(sorted(numbers(e)) == list(range(20)) for e in whole.image.split(20))
    again = small(tmp_path / "set", shuffle_shards=2, num_classes=3, flip=True)
    shares = [again.train_batch(5, first, 4) for first in range(56, -1, -4)][::-1]  # backwards: no state is left
    assert torch.equal(torch.cat([share.image for share in shares]), whole.image)
    assert whole.label is not None and torch.equal(torch.cat([s.label for s in shares]), whole.label)  # type: ignore[misc]
    assert whole.label.tolist() == [n % 3 for n in numbers(whole.image)] and whole.label.dtype == torch.int64


def test_processes_take_disjoint_shares_of_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = small(fill(tmp_path / "set"), shuffle_shards=2)
    trainer = Trainer.__new__(Trainer)
    trainer.dataset, trainer.seed, trainer.batch_size = data, 7, 8
    expected = numbers(trainer._batch(16).image)
    monkeypatch.setenv("WORLD_SIZE", "2")
    shares = []
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        shares.append(numbers(trainer._batch(16).image))
    assert [len(share) for share in shares] == [4, 4] and shares[0] + shares[1] == expected


# -- pixels, labels, held-out images


def test_images_equal_those_of_a_folder(tmp_path: Path) -> None:
    """Whatever their mode: what is decoded equals image_folder's to the bit."""
    files = {"0.png": png(4), "1.jpg": b"", "2.png": b"", "3.tif": b"", "4.png": b"", "5.webp": b""}
    noise = Image.effect_noise((40, 30), 60)
    deep = Image.fromarray(np.linspace(0, 65535, 400).reshape(20, 20).astype(np.uint16))
    made = {"1.jpg": noise.convert("RGB"), "2.png": noise.convert("LA"), "3.tif": noise.convert("CMYK"), "4.png": deep}
    for name, image in (made | {"5.webp": noise.convert("RGBA")}).items():
        file = io.BytesIO()
        image.save(file, {"jpg": "jpeg", "tif": "tiff"}.get(name[2:], name[2:]))
        files[name] = file.getvalue()
    (tmp_path / "folder").mkdir()
    for name, content in files.items():
        (tmp_path / "folder" / name).write_bytes(content)
    pack(tmp_path / "set/a.tar", files)
    for channels in (3, 1):
        streamed = small(tmp_path / "set", channels=channels).test_batch(0, 6).image
        folder = ImageFolder(str(tmp_path / "folder"), 8, channels, value_range=(0, 1), test_fraction=0)
        assert torch.equal(streamed, folder.test_batch(0, 6).image)


def test_flip_mirrors_half(tmp_path: Path) -> None:
    fill(tmp_path / "set")
    for flip, low, high in ((False, 1.0, 1.0), (True, 0.35, 0.65)):
        rising = (small(tmp_path / "set", flip=flip).train_batch(0, 0, 200).image[:, 1, 0].diff() > 0).all(1)
        assert low <= float(rising.float().mean()) <= high
    assert (small(tmp_path / "set", flip=True).test_batch(0, 20).image[:, 1, 0].diff() > 0).all()


@pytest.mark.parametrize("label", ["cls", "json:label"])
def test_labels_of_both_kinds(label: str, tmp_path: Path) -> None:
    batch = small(fill(tmp_path / "set"), num_classes=3, label=label).test_batch(2, 30)
    assert numbers(batch.image) == [(2 + k) % 20 for k in range(30)]
    assert batch.label is not None and batch.label.tolist() == [n % 3 for n in numbers(batch.image)]
    assert small(tmp_path / "set").test_batch(0, 3).label is None


def test_held_out_archives(tmp_path: Path) -> None:
    fill(tmp_path / "set")
    fill(tmp_path / "test", (1, 2), first=100)
    data = small(tmp_path / "set", test_shards=str(tmp_path / "test"))
    assert (data.size, data.test_size) == (20, 3) and numbers(data.test_batch(1, 4).image) == [101, 102, 100, 101]
    assert data.fingerprint() != small(tmp_path / "set").fingerprint()


def test_patterns(tmp_path: Path) -> None:
    folder = fill(tmp_path / "set")
    every = [str(folder / f"s-{n:03d}.tar") for n in range(5)]
    assert tar_shards.expand(str(folder), "root") == tar_shards.expand(f"{folder}/s-*.tar", "root") == every
    assert tar_shards.expand(f"{folder}/s-{{001..003}}.tar", "root") == every[1:4]
    assert tar_shards.expand(f"{folder}/s-00{{4,0}}.tar", "root") == [every[4], every[0]]
    assert tar_shards.expand("http://h/{9..11}/{a,b}.tar", "root") == [
        f"http://h/{n}/{w}.tar" for n in (9, 10, 11) for w in "ab"
    ]
    args = arguments(["dataset=webdataset", "dataset.root=a/s-{000..003}.tar"])
    assert Composer(args).compose(args.overrides).dataset.root == "a/s-{000..003}.tar"


def test_files_without_images_are_ignored(tmp_path: Path) -> None:
    files = {"readme.txt": b"x", "d/._7.png": b"x", "d/7.PNG": png(7), "d/7.seg.png": b"x", "d/8.json": b"{}"}
    assert numbers(small(pack(tmp_path / "a.tar", files)).test_batch(0, 2).image) == [7, 7]


# -- the index


def test_an_index_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_folder: Path) -> None:
    fill(tmp_path / "set")
    first = small(tmp_path / "set").test_batch(0, 20).image
    made: list[str] = []
    rows = shard_index._rows
    monkeypatch.setattr(shard_index, "_rows", lambda *words: made.append(words[1]) or rows(*words))
    assert torch.equal(small(tmp_path / "set").test_batch(0, 20).image, first) and not made
    pack(tmp_path / "set/s-001.tar", {"1.png": png(200)})
    assert small(tmp_path / "set").size == 16 and made == [str(tmp_path / "set/s-001.tar")]
    os.utime(tmp_path / "set/s-003.tar", ns=(1, 1))  # as many bytes, but written at another time
    made.clear()
    assert small(tmp_path / "set").size == 16 and made == [str(tmp_path / "set/s-003.tar")]
    broken = next(file for file in (cache_folder / "shards").iterdir())
    broken.write_bytes(broken.read_bytes()[:-1])
    made.clear()
    assert small(tmp_path / "set").size == 16 and len(made) <= 1


def test_memory_does_not_grow_with_the_archives(tmp_path: Path) -> None:
    """Archives that are open and bytes of their indices, after an epoch over 6 and over 60 of them."""

    def held(folder: Path, archives: int) -> tuple[int, int]:
        data = small(fill(folder, (2,) * archives), shuffle_shards=2)
        for first in range(0, data.size, 4):
            data.train_batch(0, first, 4)
        gc.collect()
        alive = [found for found in gc.get_objects() if type(found) is tar_shards.Shard and str(folder) in found.source]
        return len(alive), sum(shard.rows.nbytes for shard in alive)

    data = small(fill(tmp_path / "one", (2,)))
    handle = data._train.open(0).handle
    os.fstat(handle)
    data._train.open.cache_clear()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)
    assert held(tmp_path / "few", 6) == held(tmp_path / "many", 60) == (4, 4 * 2 * 24)


def test_an_archive_that_changes_is_noticed(tmp_path: Path) -> None:
    data = small(fill(tmp_path / "set"))
    pack(tmp_path / "set/s-001.tar", {"1.png": png(200)})
    with pytest.raises(ValueError, match=r"s-001\.tar has changed since it was indexed: delete .*rows and start again"):
        data.test_batch(0, 20)


def test_processes_that_start_together_make_one_index(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "set")
    fork = multiprocessing.get_context("fork")
    others = [fork.Process(target=announced, args=(tmp_path / "set",)) for _ in range(2)]
    for process in others:
        process.start()
    announced(tmp_path / "set")
    for process in others:
        process.join()
    assert [process.exitcode for process in others] == [0, 0]
    assert capfd.readouterr().out.count("indexed s-000.tar") == 1


def announced(folder: Path) -> None:
    """A data set that tells which archives it indexes."""
    rows = shard_index._rows

    def recorded(handle: int, source: str, label: str | None) -> list[tuple[int, int, int]]:
        os.write(1, f"indexed {Path(source).name}\n".encode())
        return rows(handle, source, label)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_index, "_rows", recorded)
        assert small(folder).size == 20


# -- URLs


class Handler(http.server.SimpleHTTPRequestHandler):
    asked: ClassVar[Counter[str]] = Counter()
    busy = 0

    def do_GET(self) -> None:
        self.asked[self.path] += 1
        if Handler.busy:
            Handler.busy -= 1
            self.send_error(503)
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    fill(tmp_path / "far", (3,) * 6)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path))) as served:
        thread = threading.Thread(target=served.serve_forever, args=(0.01,))
        thread.start()
        Handler.asked.clear()
        yield f"http://127.0.0.1:{served.server_port}/far"
        served.shutdown()
        thread.join()


def test_urls_come_through_a_bounded_folder(server: str, tmp_path: Path, cache_folder: Path) -> None:
    archive = (tmp_path / "far/s-000.tar").stat().st_size
    near = small(tmp_path / "far", shuffle_shards=1)
    far = small(f"{server}/s-{{000..005}}.tar", shuffle_shards=1, cache_gb=3.5 * archive / 1e9)
    assert far.fingerprint() == near.fingerprint()
    for first in range(0, 54, 2):
        assert torch.equal(far.train_batch(1, first, 2).image, near.train_batch(1, first, 2).image)
        assert len(list((cache_folder / "shards/files").glob("*.tar"))) <= 3
    assert set(Handler.asked.values()) - {1, 2, 3, 4} == set() and len(Handler.asked) == 6
    with pytest.raises(ValueError, match=r"twice shuffle_shards take up to .* GB; set dataset.cache_gb"):
        small(f"{server}/s-{{000..005}}.tar", shuffle_shards=2, cache_gb=3.5 * archive / 1e9)


def test_what_fits_is_fetched_once_and_the_next_block_ahead(server: str) -> None:
    far = small(f"{server}/s-{{000..005}}.tar", shuffle_shards=2)
    for first in range(0, 36, 3):
        far.train_batch(0, first, 3)
    assert list(Handler.asked.values()) == [1] * 6
    asked: list[tuple[int, ...]] = []
    far._train.fetch_ahead = asked.append  # type: ignore[method-assign, assignment]
    order = far._order(0, 0, 36)[:, 0]
    for position in range(18):
        far.train_batch(0, position, 1)
    blocks = [tuple(order[k : k + 6].unique().tolist()) for k in range(0, 24, 6)]
    assert [tuple(sorted(names)) for names in asked] == [
        expected for block in range(3) for expected in [()] * 3 + [blocks[block + 1]] * 3
    ]


def test_the_least_recently_used_is_deleted_first(server: str, tmp_path: Path) -> None:
    here = URLCache(tmp_path / "m", 5 * (tmp_path / "far/s-000.tar").stat().st_size // 2, "")
    for name in ("0", "1", "0", "2", "0"):
        os.close(here.open(f"{server}/s-00{name}.tar"))
    assert sorted(Handler.asked.values()) == [1, 1, 1]


def test_downloads_are_tried_again(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(url_cache, "WAITS", (0.0, 0.0))
    here = URLCache(tmp_path / "m", LIMIT, "")
    Handler.busy = 2
    os.close(here.open(f"{server}/s-000.tar"))
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and all("s-000.tar: HTTP Error 503" in line and "another attempt" in line for line in said)
    Handler.busy = 3
    with pytest.raises(ValueError, match=r"cannot download http.*s-001\.tar \(.*503"):
        here.open(f"{server}/s-001.tar")
    Handler.asked.clear()
    with pytest.raises(ValueError, match="404"):
        here.open(f"{server}/none.tar")
    assert Handler.asked.total() == 1 and [f.suffix for f in (tmp_path / "m").iterdir()] == [".tar"]


# -- what may be wrong


def broken(tmp_path: Path, files: dict[str, bytes], **options: object) -> str:
    pack(tmp_path / "bad.tar", files)
    with pytest.raises(ValueError) as caught:
        small(tmp_path / "bad.tar", **options)
    return str(caught.value).replace(str(tmp_path), "")


def test_broken_archives(tmp_path: Path) -> None:
    fill(tmp_path / "set")
    whole = (tmp_path / "set/s-000.tar").read_bytes()
    with tarfile.open(tmp_path / "set/s-000.tar") as tar:
        second = tar.getmembers()[3].offset  # its header
    cuts = {"0.tar": b"", "1.tar": whole[:700], "2.tar": whole[: second + 100], "3.tar": whole[:second]}
    cuts["4.tar"] = whole[:second] + b"\x07" * 512 + whole[second + 512 :]
    for name, content in cuts.items():
        (tmp_path / "set" / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}: not a complete, uncompressed tar archive"):
            small(tmp_path / "set" / name)
    with tarfile.open(tmp_path / "set/5.tar", "w:gz"):
        pass
    with pytest.raises(ValueError, match=r"broken shards, 6 in all: [^\n]*0\.tar.*; \.\.\."):
        small(tmp_path / "set")
    small(tmp_path / "set/s-*.tar")


def test_broken_samples(tmp_path: Path) -> None:
    assert "/bad.tar/1.png: not an image" in broken(tmp_path, {"1.png": b"text"})
    for content, words in ((b"text", "a/1: not an image"), (b"", "a/1: empty file")):
        with pytest.raises(ValueError, match=words):
            image_files.read("a/1", 3, content)
    assert "/bad.tar/1.png: empty file" in broken(tmp_path, {"1.png": b""})
    assert "/bad.tar/1 has several images: png, jpg" in broken(tmp_path, {"1.png": png(1), "1.jpg": png(1)})
    assert "no images in /bad.tar" in broken(tmp_path, {"1.txt": b"text"})
    assert "no images in /bad.tar" in broken(tmp_path, {})
    for files, words in (
        ({"1.png": png(1), "2.cls": b"1"}, "/bad.tar/1 has no label .cls beside it, only png; or set dataset.num_cl"),
        ({"1.png": png(1), "1.cls": b"cat"}, "1.cls holds no label: b'cat' (dataset.label=cls)"),
        ({"1.png": png(1), "1.cls": b"-1"}, "a label is a whole number from 0, not -1"),
        ({"1.png": png(1), "1.cls": b"7"}, "num_classes 3, but there is a label 7; set dataset.num_classes=8"),
    ):
        assert words in broken(tmp_path, files, num_classes=3)
    for content in (b"{}", b"3", b'{"label": 1.5}', b'{"label": true}', b"{"):
        message = broken(tmp_path, {"1.png": png(1), "1.json": content}, num_classes=3, label="json:label")
        assert "1.json" in message and "label" in message


def test_a_truncated_image_is_named_when_it_is_decoded(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(file, "jpeg")
    data = small(pack(tmp_path / "a.tar", {"1.png": png(1), "d/2.jpg": file.getvalue()[:-500]}))
    with pytest.raises(ValueError, match=r"a\.tar/d/2\.jpg: image file is truncated"):
        data.test_batch(0, 2)
    trainer = Trainer.__new__(Trainer)
    trainer.dataset, trainer.seed, trainer.batch_size = data, 0, 2
    with pytest.raises(GanError, match=r"dataset: .*a\.tar/d/2\.jpg: image file is truncated"):
        trainer._batch(0)


def test_broken_settings(tmp_path: Path, cache_folder: Path) -> None:
    fill(tmp_path / "set")
    for root, words in (
        (tmp_path / "sett", r"there is no folder .*sett; did you mean .*set\?"),
        (tmp_path / "set/s-{004..005}.tar", r"there is no shard .*s-005\.tar; set dataset\.root"),
        (tmp_path / "set/*.tgz", r"no shards in .*\.tgz: files that count end in \.tar"),
        ("pipe:cat a.tar", "names files or http"),
        ("s3://bucket/a.tar", "names files or http"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            small(root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no shards in .*empty: .*; set dataset.test_shards"):
        small(tmp_path / "set", test_shards=str(tmp_path / "empty"))
    with pytest.raises(ValueError, match="shuffle_shards 0: it must be at least 1"):
        small(tmp_path / "set", shuffle_shards=0)
    cache_folder.joinpath("shards").rename(tmp_path / "away")
    cache_folder.joinpath("shards").write_text("a file where the folder should be")
    with pytest.raises(ValueError, match="the index of the shards is stored there, see GAN_CACHE"):
        small(tmp_path / "set")


# -- whole runs

DEADLY = """
import os, signal
from gan_cli.data.webdataset import WebDataset

class Deadly(WebDataset):
    def train_batch(self, seed, start, count):
        if start >= 30 and os.path.exists("armed"):
            os.remove("armed")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().train_batch(seed, start, count)
"""
RUN = [
    *("train", "modules=[deadly]", "dataset=webdataset", "dataset._target_=deadly.Deadly", "dataset.root=set"),
    *("dataset.image_size=8", "dataset.num_classes=3", "dataset.shuffle_shards=2", "dataset.flip=true"),
    *("network=mlp_points", "model=dcgan", "model.generator.widths=[8]", "model.discriminator.widths=[8]"),
    *("trainer.batch_size=6", "trainer.iterations=12", "trainer.checkpoint_every=3", "trainer.device=cpu"),
    *("trainer.sample_count=4", "trainer.sample_every=1000", "trainer.log_every=1", "hydra.run.dir=run"),
]


def test_killed_and_resumed(tmp_path: Path) -> None:
    """As tests/test_resume.py. Killed at its sixth batch, the run goes on from its third, amid an epoch and a block."""
    for place in ("whole", "killed"):
        fill(tmp_path / place / "set")
        (tmp_path / place / "deadly.py").write_text(DEADLY)
    (tmp_path / "killed/armed").touch()
    process = start_gan(RUN, tmp_path / "killed")
    code, output = run_gan(RUN, tmp_path / "whole")
    assert code == 0, output
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert float(checkpoint_values(tmp_path / "killed/run")["/position"]) == 18
    code, output = run_gan(["resume", "run", "modules=[deadly]"], tmp_path / "killed")
    assert code == 0 and "will differ" not in output, output
    whole, killed = checkpoint_values(tmp_path / "whole/run"), checkpoint_values(tmp_path / "killed/run")
    assert whole.keys() == killed.keys() and float(whole["/position"]) == 72
    assert [key for key in whole if not torch.equal(whole[key], killed[key])] == []
