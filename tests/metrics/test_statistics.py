"""Files of mean and covariance: the same numbers as in pytorch-fid and clean-fid, and what is refused."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from helpers import save_ramp

from gan_cli.cli import main
from gan_cli.metrics.base import EvaluationData, Samples
from gan_cli.metrics.extractors import RandomFeatures
from gan_cli.metrics.fid import FrechetInceptionDistance, frechet, gaussian
from gan_cli.metrics.statistics import WIDEST, read_statistics, statistics_samples, write_statistics

RANDOM = RandomFeatures()


def features(seed: int, n: int = 300, d: int = 24) -> numpy.ndarray:
    random = numpy.random.default_rng(seed)
    return random.normal(size=(n, d)) @ random.normal(size=(d, d)) + seed


def fitted(x: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    return x.mean(0), numpy.cov(x, rowvar=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """As pytorch-fid's --save-stats and clean-fid's make_custom_stats write it."""
    mu, sigma = fitted(features(1))
    numpy.savez_compressed(tmp_path / "stats.npz", mu=mu, sigma=sigma)
    return tmp_path / "stats.npz"


# --- the same numbers as elsewhere


def test_what_numpy_wrote_is_read(file: Path) -> None:
    found, (mu, sigma) = read_statistics(file), fitted(features(1))
    assert numpy.array_equal(found.mean, mu) and numpy.array_equal(found.covariance, sigma)
    assert found.mean.dtype == torch.float64 and found.extractor is found.size is None
    mu32, sigma32 = (x.astype(numpy.float32) for x in (mu, sigma))
    numpy.savez(file, mu=mu32, sigma=sigma32)
    single = read_statistics(file)
    assert single.mean.dtype == torch.float64 and numpy.array_equal(single.mean, mu32) and single.hash != found.hash


def test_pytorch_fid_reads_the_same(file: Path, tmp_path: Path) -> None:
    module = pytest.importorskip("pytorch_fid.fid_score")
    found = read_statistics(file)
    for path in (file, tmp_path / "ours.npz"):
        write_statistics(tmp_path / "ours.npz", found.mean, found.covariance, "inception:0123", 300)
        mu, sigma = module.compute_statistics_of_path(str(path), None, 1, 24, "cpu")
        numpy.testing.assert_allclose(mu, found.mean, rtol=1e-6)
        numpy.testing.assert_allclose(sigma, found.covariance, rtol=1e-6)
    other = fitted(features(2))
    theirs = module.calculate_frechet_distance(mu, sigma, *other)
    ours = frechet(found.mean, found.covariance, *map(torch.from_numpy, other))
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_clean_fid_reads_the_same(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cleanfid")
    import cleanfid
    from cleanfid.features import get_reference_statistics
    from cleanfid.fid import frechet_distance

    found = read_statistics(file)
    monkeypatch.setattr(cleanfid, "__file__", str(file.parent / "__init__.py"))
    folder = file.parent / "stats"
    folder.mkdir()
    path = folder / "ours_clean_custom_na.npz"
    write_statistics(path, found.mean, found.covariance, "inception:0123", 300)
    mu, sigma = get_reference_statistics("ours", "na", split="custom")
    numpy.testing.assert_allclose(mu, found.mean, rtol=1e-6)
    numpy.testing.assert_allclose(sigma, found.covariance, rtol=1e-6)
    other = fitted(features(2))
    ours = frechet(found.mean, found.covariance, *map(torch.from_numpy, other))
    assert ours == pytest.approx(frechet_distance(mu, sigma, *other), rel=1e-6)


def test_distance_against_scipy(file: Path) -> None:
    sqrtm = pytest.importorskip("scipy.linalg").sqrtm
    (m, S), (mu, sigma) = fitted(features(2)), fitted(features(1))
    expected = ((m - mu) ** 2).sum() + numpy.trace(S + sigma - 2 * sqrtm(S @ sigma).real)
    generated = torch.from_numpy(features(2)).float()
    real = statistics_samples(str(file))
    data = EvaluationData(Samples("generated", 300, lambda: iter(())), real, real, extractor=RandomFeatures())
    data._features[data.generated] = type("F", (), {"values": generated})  # type: ignore[assignment]
    ((name, value),) = FrechetInceptionDistance()(data).items()
    assert value == pytest.approx(expected, rel=1e-6)
    assert name == f"FID[random:8369:statistics:{read_statistics(file).hash[:4]}]"  # the file names no extractor


# --- what is refused


def arrays(**changes: Any) -> dict[str, Any]:
    return {"mu": numpy.zeros(3), "sigma": numpy.eye(3), **changes}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"feats": numpy.zeros((4, 3))}, "it holds no array 'mu'"),
        (arrays(mu=numpy.array([None] * 3)), "its array 'mu' is of type object"),
        (arrays(mu=numpy.arange(3)), "its array 'mu' is of type int64"),
        (arrays(mu=numpy.zeros((3, 1))), r"'mu' is of type float64 and shape \(3, 1\)"),
        (arrays(sigma=numpy.zeros((3, 4))), r"mu has shape \(3,\) and sigma \(3, 4\), not"),
        (arrays(mu=numpy.zeros(0), sigma=numpy.zeros((0, 0))), r"mu has shape \(0,\)"),
        (arrays(sigma=numpy.full((3, 3), numpy.nan)), "holds NaN or infinite"),
        (arrays(sigma=numpy.triu(numpy.ones((3, 3)))), "no covariance: it is not symmetric"),
        (arrays(sigma=-numpy.eye(3)), "no covariance"),
        (arrays(mu=numpy.zeros(WIDEST + 1)), "too large; 4,096 features are the most"),
        (arrays(extractor=numpy.array("x" * 300)), "'extractor' of shape .* is too large"),
        (arrays(samples=numpy.array([1, 2])), "'samples' is of type int64 and shape"),
    ],
)  # fmt: skip
def test_wrong_arrays_are_refused(content: dict[str, Any], words: str, tmp_path: Path) -> None:
    numpy.savez(tmp_path / "a.npz", **content)
    with pytest.raises(ValueError, match=rf"a\.npz.*{words}"):
        read_statistics(tmp_path / "a.npz")


@pytest.mark.parametrize("harm", ["text", "empty", "cut", "flipped", "header", "long", "pipe", "gone"])
def test_broken_files_are_refused(harm: str, file: Path) -> None:
    content = bytearray(file.read_bytes())
    file.unlink()
    if harm == "header":  # one that declares more than the file holds
        header = io.BytesIO()
        declared = {"descr": "<f8", "fortran_order": False, "shape": (WIDEST, WIDEST)}
        numpy.lib.format.write_array_header_1_0(header, declared)
        with zipfile.ZipFile(file, "w") as archive:
            numpy.lib.format.write_array(archive.open("mu.npy", "w"), numpy.zeros(WIDEST))
            archive.writestr("sigma.npy", header.getvalue())
    elif harm == "long":  # a header that numpy would read whole before it refused it
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("mu.npy", b"\x93NUMPY\x02\x00" + (10**8).to_bytes(4, "little") + b" " * 10**6)
            archive.writestr("sigma.npy", b"")
    elif harm == "pipe":
        os.mkfifo(file)
    elif harm != "gone":
        content[200] ^= 255
        file.write_bytes({"text": b"hello", "empty": b"", "cut": content[:900], "flipped": content}[harm])
    words = r"stats\.npz.*header of 100,000,000 bytes" if harm == "long" else r"stats\.npz"
    with pytest.raises(OSError if harm == "gone" else ValueError, match=words):
        read_statistics(file)


def test_a_count_of_samples_is_a_count(file: Path) -> None:
    content = dict(numpy.load(file))
    numpy.savez(file, **content | {"samples": numpy.array(-5)})
    with pytest.raises(ValueError, match="it counts -5 samples"):
        read_statistics(file)


# --- the command


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders a and b of 12 images each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAN_CACHE", str(tmp_path / "cache"))
    for number in range(12):
        save_ramp(tmp_path / f"a/{number}.png", number, 12)
        save_ramp(tmp_path / f"b/{number}.png", 3 * number, 12)
    return tmp_path


def evaluate(*words: str) -> tuple[str, float, dict[str, Any]]:
    """Name and value of the last score, and its record."""
    assert main.main(["evaluate", *words, "metric.fid.allow_singular=true"]) == 0
    record = json.loads(Path("outputs/evaluation.jsonl").read_text().splitlines()[-1])
    ((name, value),) = record["values"].items()
    return name, value, record


def test_statistics_stand_for_images(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, value, _ = evaluate("real=a", "fake=b", "metric=fid", "extractor=random")
    for folder in "ab":
        assert main.main(["evaluate", f"real={folder}", f"stats=out/{folder}.npz", "extractor=random"]) == 0
    assert "out/b.npz: mean and covariance of 256 features of 12 images of 'b', extractor random:8369" in (
        capsys.readouterr().out
    )
    found = read_statistics(Path("out/a.npz"))
    assert (found.extractor, found.size) == (f"random:{RANDOM.hash}", 12)
    for words in (("real=out/a.npz", "fake=b"), ("real=a", "fake=out/b.npz", "extractor=random"),
                  ("real=out/a.npz", "fake=out/b.npz")):  # fmt: skip
        again, other, record = evaluate(*words)
        assert again == name == "FID[random:8369]" and other == pytest.approx(value, rel=1e-9)
        assert record["protocol"]["extractor"].startswith("random:8369")
    assert record["protocol"]["out/a.npz"] == f"statistics {found.hash[:12]}"
    assert "the statistics of 'out/b.npz' against the statistics of 'out/a.npz'" in capsys.readouterr().out

    stated = numpy.load("out/a.npz")
    numpy.savez("foreign.npz", mu=stated["mu"], sigma=stated["sigma"])
    again, other, _ = evaluate("real=foreign.npz", "fake=b", "extractor=random")
    assert again == f"FID[random:8369:statistics:{found.hash[:4]}]" and other == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("real=foreign.npz fake=b", "foreign.npz does not say which extractor made it: extractor=inception"),
        ("real=foreign.npz fake=b extractor=auto", "does not say which extractor"),
        ("real=foreign.npz fake=b extractor=pixels metric.fid.allow_singular=true",
         "real samples have 24 features and generated ones 432: foreign.npz must be of extractor=pixels"),
        ("real=own.npz fake=b extractor=pixels", "own.npz was made with random:0123, and the extractor is pixels:"),
        ("real=own.npz fake=b", "own.npz was made with random:0123, and the extractor is random:8369"),
        ("real=other.npz fake=b", "other.npz was made with resnet50: choose it, such as extractor=torchvision"),
        ("real=few.npz fake=b", "24 real samples give no covariance of full rank in 24 features"),
        ("real=own.npz fake=b metric=kid", "metric=kid: own.npz holds no samples, only statistics of features"),
        ("real=own.npz fake=noise", "fake=noise has the shape of the real images, and real=own.npz holds none"),
        ("real=own.npz fake=b window=[0,9] dataset.root=x", "dataset.root=x is for a data set as a source"),
        ("real=nothing.npz fake=b extractor=random", "real=nothing.npz: No such file"),
        ("real=a.pt fake=b extractor=random", "real=a.pt: torch-fidelity's cache holds NumPy arrays in a pickle"),
        ("real=a stats=a.png", "stats=a.png: name a file that ends in .npz, such as stats=a.npz"),
        ("real=a fake=b stats=s.npz", "stats=FILE.npz writes the statistics of real= alone: omit fake="),
        ("real=own.npz stats=s.npz", "real=own.npz is a file of statistics already"),
        ("stats=s.npz", "real=SOURCE and fake=SOURCE (real= is missing)"),
        ("real=nowhere stats=s.npz", "real=nowhere: no such folder, and no data set of that name"),
    ],
)  # fmt: skip
def test_what_the_command_refuses(words: str, line: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mean, covariance = gaussian(torch.from_numpy(features(0)), "real")
    write_statistics(Path("own.npz"), mean, covariance, "random:0123", 300)
    write_statistics(Path("other.npz"), mean, covariance, "resnet50:0123", 300)
    write_statistics(Path("few.npz"), mean, covariance, f"random:{RANDOM.hash}", 24)
    numpy.savez("foreign.npz", mu=mean.numpy(), sigma=covariance.numpy())
    torch.save({"mu": mean.numpy(), "sigma": covariance.numpy()}, "a.pt")
    assert main.main(["evaluate", *words.split()]) == 2
    err = capsys.readouterr().err
    assert line in err and err.count("\n") == 1 and not Path("s.npz").exists()


def test_a_run_against_statistics(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = ["dataset=ring", "network=mlp_points", "trainer.iterations=1", "trainer.batch_size=8", "hydra.run.dir=run"]
    assert main.main(["train", *tiny]) == 0
    assert main.main(["evaluate", "run", "metric=fid", "n=500"]) == 0
    assert main.main(["evaluate", "real=ring:train", "stats=ring.npz", "n=500"]) == 0
    assert main.main(["evaluate", "run", "real=ring.npz", "n=500"]) == 0
    first, second = (json.loads(line) for line in Path("run/evaluation.jsonl").read_text().splitlines())
    assert list(first["values"]) == list(second["values"])
    assert list(first["values"].values()) == pytest.approx(list(second["values"].values()), rel=1e-6)
    assert second["protocol"]["ring.npz"].startswith("statistics ") and second["protocol"]["generated"] == 500
    assert main.main(["evaluate", "run", "real=a", "metric=fid"]) == 2
    assert "real=a: with a run directory, real= is a file of statistics" in capsys.readouterr().err
    assert main.main(["evaluate", "run", "stats=a.npz"]) == 2
    assert "stats=a.npz: allowed only without a run directory" in capsys.readouterr().err
