"""What several test files share: small settings, models by hand, runs of `gan`, image files, and run directories."""

import gzip
import io
import json
import multiprocessing
import os
import resource
import signal
import struct
import sys
import tarfile
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from torch import Tensor, nn

from gan_cli.config.composer import Composer, arguments, without_hydra
from gan_cli.config.paths import conf_dir
from gan_cli.config.schema import check
from gan_cli.data.base import Batch
from gan_cli.data.folders import UnpairedFolder
from gan_cli.systems.base import System, Terms, Turn

ROOT = Path(__file__).resolve().parent.parent  # of the repository

# -- settings

SMALL_BATCHES = ["trainer.batch_size=2", "trainer.sample_count=4", "trainer.log_every=1", "trainer.device=cpu"]
TINY = ["trainer.iterations=2", *SMALL_BATCHES]
TINY_RING = [
    "network=mlp_points", "dataset=ring", "trainer.batch_size=8", "trainer.sample_count=4", "trainer.device=cpu",
]  # fmt: skip
TINY_CYCLEGAN = [
    "model=cyclegan", "dataset.size=8", "model.G.blocks=1", "model.F.blocks=1", "model.D_X.n_layers=1",
    "model.D_Y.n_layers=1", *(f"model.{network}.width=2" for network in ("G", "F", "D_X", "D_Y")),
]  # fmt: skip


def composed(*overrides: str) -> DictConfig:
    """The configuration of `gan train *overrides`."""
    return without_hydra(Composer(arguments([])).compose(arguments(overrides).overrides))


def checked(*overrides: str) -> DictConfig:
    """The configuration of `gan train *overrides`, which has passed the checks. A missing folder of data is named."""
    cfg = composed(*overrides)
    if OmegaConf.is_missing(cfg.dataset, "root"):
        cfg.dataset.root = "FOLDER"
    check(cfg)
    return cfg


def config_names(group: str) -> list[str]:
    """The choices of a group of conf/, such as the models."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


# -- networks and systems


def count(network: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in network.parameters())


def count_on_meta(build: Callable[[], nn.Module]) -> int:
    """Number of parameters of a large network, which takes no memory."""
    with torch.device("meta"):
        return count(build())


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Affine(nn.Module):
    """x -> scale * x + shift; the scale is trained."""

    def __init__(self, scale: float, shift: float = 0.0) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.tensor(scale)), shift

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x + self.shift


def run_turn(system: System, turn: Turn, batch: Batch) -> Terms:
    """Loss and gradients of a turn; only the networks in `trains` are trainable, as in the trainer."""
    for name, network in system.named_children():
        network.requires_grad_(name in turn.trains)
    system.zero_grad()
    terms = turn.loss(batch)
    torch.stack(list(terms.values())).sum().backward()
    return terms


def values(terms: Terms) -> dict[str, float]:
    """The terms as numbers."""
    return {name: term.item() for name, term in terms.items()}


# -- runs of `gan` in processes of their own, forked from a server that has imported everything already

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["torch", "torch._dynamo", "torch.utils.tensorboard", "gan_cli.training.run"])


def _main(words: list[str], folder: Path, fork_trials: bool) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # a test of WorkerPool may have started the server
    os.chdir(folder)
    output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    torch.set_num_threads(1)
    if fork_trials:
        from gan_cli.experiments import workers

        workers.CONTEXT = multiprocessing.get_context("fork")  # safe here: nothing has been computed yet
        workers.PRELOAD.clear()
    from gan_cli.cli.main import main

    sys.argv = ["gan", *words]
    status = main(words)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status or 0)


def start_gan(words: list[str], folder: Path, fork_trials: bool = False) -> ForkServerProcess:
    """Start `gan *words` in `folder`; its output goes to folder/output.txt.

    fork_trials: the trials of a sweep or a search are forked from the process, so that nothing is imported twice.
    """
    (folder / "output.txt").unlink(missing_ok=True)
    process = CONTEXT.Process(target=_main, args=(words, folder, fork_trials))
    process.start()
    return process


def run_gan(words: list[str], folder: Path, fork_trials: bool = False) -> tuple[int, str]:
    """Run `gan *words` in `folder` to its end: exit status and output."""
    process = start_gan(words, folder, fork_trials)
    process.join(300)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"gan {' '.join(words)} ran longer than 300 s")
    return process.exitcode, (folder / "output.txt").read_text()


def killed_at(words: list[str], folder: Path, number: int) -> None:
    """Run `gan *words` in `folder`, and kill it at the `number`-th folder or rename of the run directory."""
    seen = []

    def watched(plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(*paths: Any, **options: Any) -> Any:
            if "/run" in str(paths[-1]):
                seen.append(paths)
            if len(seen) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return plain(*paths, **options)

        return call

    os.mkdir, os.replace = watched(os.mkdir), watched(os.replace)
    _main(words, folder, False)


def limited_main(words: list[str], folder: Path, megabytes: int) -> None:
    """Run `gan *words` in `folder` with this much address space left."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 2**20,) * 2)
    _main(words, folder, False)


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Return as soon as `condition()` is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.01)


def checkpoint_values(run: Path) -> dict[str, Tensor]:
    """All tensors and numbers of a run's last checkpoint, by path."""
    flat: dict[str, Tensor] = {}

    def walk(value: object, name: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{name}/{key}")
        elif isinstance(value, (list, tuple)):
            for index, inner in enumerate(value):
                walk(inner, f"{name}/{index}")
        elif isinstance(value, Tensor):
            flat[name] = value
        elif isinstance(value, (int, float)):
            flat[name] = torch.tensor(value, dtype=torch.float64)

    walk(torch.load(run / "checkpoints" / "last.pt", weights_only=True), "")
    return flat


def same_checkpoints(run: Path, other: Path) -> bool:
    """Whether the last checkpoints of two runs are equal to the bit."""
    one, two = checkpoint_values(run), checkpoint_values(other)
    return one.keys() == two.keys() and all(torch.equal(value, two[name]) for name, value in one.items())


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The only line of a command that ends with status 2."""
    from gan_cli.cli.main import main

    capsys.readouterr()
    status = main(list(words))
    error = capsys.readouterr().err
    assert status == 2 and len(error.splitlines()) == 1 and "Traceback" not in error, (status, error)
    return error


# -- image files


def save_plain(path: Path, color: tuple[int, int, int], size: tuple[int, int] = (20, 20)) -> None:
    """Save an image of one color, and make its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


def save_ramp(path: Path, number: int, size: int = 22) -> None:
    """Save an image in which red is `number`, green the column and blue the row: a crop shows where it came from."""
    pixels = np.zeros((size, size, 3), np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = number, np.arange(size), np.arange(size)[:, None]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def in_bytes(image: Tensor) -> Tensor:
    """[0, 1] -> 0, 1, ..., 255."""
    return (image * 255).round()


def unpaired_folder(root: Path, **options: object) -> UnpairedFolder:
    """Crops of 16 from 22 pixels."""
    return UnpairedFolder(**{"root": str(root), "image_size": 16, "load_size": 22, "value_range": (0, 1), **options})


# -- the files of MNIST

TRAIN, TEST = 20, 6  # images per split
RAW = Path("MNIST", "raw")


def mnist_files() -> dict[str, bytes]:
    """By name: image i of a split is filled with i, its label is i % 10; held-out images start at 100."""
    made = {}
    for split, size, first in (("train", TRAIN, 0), ("t10k", TEST, 100)):
        number = torch.arange(size)
        made[f"{split}-images-idx3-ubyte"] = _idx((first + number)[:, None, None].expand(-1, 28, 28).contiguous())
        made[f"{split}-labels-idx1-ubyte"] = _idx(number % 10)
    return made


def _idx(array: Tensor) -> bytes:
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return head + array.to(torch.uint8).numpy().tobytes()


def write_mnist(root: Path, packed: bool = False, folder: Path = RAW) -> Path:
    """Write the files below `root`, compressed if `packed`; returns `root`."""
    (root / folder).mkdir(parents=True)
    for name, data in mnist_files().items():
        (root / folder / (name + ".gz" * packed)).write_bytes(gzip.compress(data) if packed else data)
    return root


# -- run directories without a training

CONFIG = {"seed": 0, "trainer": {"iterations": 40}, "optimizer": {"lr": 0.1}, "loss": {"penalty": {"weight": 1}}}
FID = "FID[classifier:mnist:ab12]"


def begin_run(folder: Path) -> None:
    """What a run has in its folder as soon as it has begun."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "provenance.json").write_text("{}")


def small_state(iteration: Any = 1, **changed: Any) -> dict[str, Any]:
    """The smallest state of a run, with some parts changed."""
    bits = torch.arange(3, dtype=torch.uint8)
    process = {"random": {"cpu": bits}, "torch": bits, "cuda": None, "system": {}}
    state = {"system": {"w": torch.arange(4)}, "ema": {}, "optimizers": {}, "processes": [process]}
    return {"iteration": iteration, "position": 2, **state, **changed}


def make_run(folder: Path, *, seed=0, lr=0.1, overrides=(), losses=(3.0, 2.0), logged=(), records=(), samples=True):
    """A run directory with a loss every 20 iterations; logged: scores at them; records: (metric, values, protocol)."""
    (folder / "checkpoints").mkdir(parents=True)
    config = OmegaConf.merge(CONFIG, {"seed": seed, "optimizer": {"lr": lr}})
    OmegaConf.save(config, folder / "config.yaml")
    (folder / "provenance.json").write_text(json.dumps({"overrides": list(overrides)}))
    lines = [{"iteration": 20 * i, "d/adversarial": loss, "images_per_second": 9} for i, loss in enumerate(losses, 1)]
    lines += [{"iteration": 20 * i, f"metric/{FID}": score} for i, score in enumerate(logged, 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"iterat')
    better = {"fid": {"FID": "lower"}, "modes": {"modes": "higher"}}
    with open(folder / "evaluation.jsonl", "w") as file:
        for metric, scores, protocol in records:
            protocol = {"generated": 100, "seed": 0, "iteration": 40, "checkpoint": "last", **protocol}
            entry = {"metric": metric, "values": scores, "better": better[metric], "protocol": protocol}
            file.write(json.dumps(entry) + "\n")
    if samples:
        (folder / "samples").mkdir()
        Image.new("L", (30, 20), 128).save(folder / "samples" / "000040.png")
    return folder


# -- tar archives


def png(number: int, size: tuple[int, int] = (20, 14)) -> bytes:
    """Red says which image, green which column."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = number, 10 * np.arange(size[0])
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def pack(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def fill_shards(folder: Path, sizes: tuple[int, ...] = (3, 5, 2, 4, 6), first: int = 0) -> Path:
    """Archives of images 0, 1, ..., whose class is their number modulo 3."""
    number = first
    for place, size in enumerate(sizes):
        files = {}
        for _ in range(size):
            files[f"{number:06d}.png"] = png(number)
            files[f"{number:06d}.cls"] = b"%d\n" % (number % 3)
            files[f"{number:06d}.json"] = json.dumps({"label": number % 3, "caption": "a"}).encode()
            number += 1
        pack(folder / f"s-{place:03d}.tar", files)
    return folder
