"""What several test files share."""

import gzip
import json
import struct
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from torch import Tensor

from gan_cli.config.composer import Composer, arguments, without_hydra

TRAIN, TEST = 20, 6
RAW = Path("MNIST", "raw")


def composed(*overrides: str) -> DictConfig:
    """The configuration of `gan train *overrides`."""
    return without_hydra(Composer(arguments([])).compose(arguments(overrides).overrides))


def idx(values: Tensor) -> bytes:
    head = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    return head + values.to(torch.uint8).numpy().tobytes()


def files() -> dict[str, bytes]:
    """Image i of a split is filled with i, its label is i % 10; held-out images start at 100."""
    made = {}
    for split, count, first in (("train", TRAIN, 0), ("t10k", TEST, 100)):
        number = torch.arange(count)
        made[f"{split}-images-idx3-ubyte"] = idx((first + number)[:, None, None].expand(-1, 28, 28).contiguous())
        made[f"{split}-labels-idx1-ubyte"] = idx(number % 10)
    return made


def write(root: Path, packed: bool = False, folder: Path = RAW) -> Path:
    (root / folder).mkdir(parents=True)
    for name, data in files().items():
        (root / folder / (name + ".gz" * packed)).write_bytes(gzip.compress(data) if packed else data)
    return root


CONFIG = {"seed": 0, "trainer": {"iterations": 40}, "optimizer": {"lr": 0.1}, "loss": {"penalty": {"weight": 1}}}
FID = "FID[classifier:mnist:ab12]"


def make_run(folder: Path, *, seed=0, lr=0.1, overrides=(), losses=(3.0, 2.0), logged=(), records=(), picture=True):
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
        for metric, values, protocol in records:
            protocol = {"generated": 100, "seed": 0, "iteration": 40, "checkpoint": "last", **protocol}
            entry = {"metric": metric, "values": values, "better": better[metric], "protocol": protocol}
            file.write(json.dumps(entry) + "\n")
    if picture:
        (folder / "samples").mkdir()
        Image.new("L", (30, 20), 128).save(folder / "samples" / "000040.png")
    return folder
