"""A pickle that runs code, as each file of weights or statistics that a user or a cache may hold."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import save_ramp

from gan_cli.cli.main import main
from gan_cli.metrics.base import Features
from gan_cli.metrics.feature_cache import FeatureCache
from gan_cli.metrics.lpips import LPIPS


class Touch:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def write(kind: str, file: Path, ran: Path) -> None:
    """A file with the payload, as a plain pickle, in torch's formats, or as an array of objects."""
    payload: Any = {"features.0.weight": Touch(ran)}
    if kind == "pickle":
        file.write_bytes(pickle.dumps(payload))
    elif kind.startswith("torch"):
        torch.save(payload, file, _use_new_zipfile_serialization=kind == "torch zip")
    else:
        with open(file, "wb") as out:
            np.savez(out, mu=np.array([Touch(ran)], dtype=object))


KINDS = ["pickle", "torch zip", "torch old", "npz"]
FILES = {
    "LPIPS": ["evaluate", "real=a", "fake=b", "metric=lpips", "metric.lpips.pairs=2", "metric.lpips.alexnet=w"],
    "inception": ["evaluate", "real=a", "fake=b", "metric=kid", "extractor=inception", "extractor.weights=w"],
    "torchvision": ["evaluate", "real=a", "fake=b", "metric=kid", "extractor=torchvision", "extractor.weights=w"],
    "VGG": ["train", "model=pix2pixhd", "dataset=shapes_scene", "trainer.iterations=1",
            "model.perceptual={_target_:gan_cli.networks.vgg.VGGLoss,weights:w}"],
}  # fmt: skip


@pytest.mark.filterwarnings("error:Detected pickle protocol")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FILES)
def test_weights_with_code_are_refused_in_one_line(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(LPIPS, "files", staticmethod(lambda alexnet: (Path(alexnet), Path(alexnet))))
    if name == "inception":
        pytest.importorskip("torch_fidelity")
    for number in range(4):
        save_ramp(Path(f"a/{number}.png"), number, 64)
        save_ramp(Path(f"b/{number}.png"), number + 9, 64)
    write(kind, Path("w"), tmp_path / "ran")
    before = sorted(Path().rglob("*"))
    assert main(FILES[name]) == 2
    error = capsys.readouterr().err
    assert error.startswith("gan: ") and error.count("\n") == 1 and "w " in error
    assert not (tmp_path / "ran").exists() and not Path("outputs/evaluation.jsonl").exists()
    assert [path for path in sorted(Path().rglob("*")) if path not in before and path.is_file()] == []


@pytest.mark.parametrize("kind", KINDS)
def test_cached_features_with_code_are_computed_again(kind: str, tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "features")
    cache.put("key", Features(torch.ones(2, 3)))
    write(kind, cache.path("key"), tmp_path / "ran")
    assert cache.get("key") is None and not (tmp_path / "ran").exists() and not cache.path("key").exists()
