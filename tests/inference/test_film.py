"""Films of `gan sample`: paths through the latent space, frames of GIF and MP4 files, and truncated noise."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import TINY, TINY_RING
from PIL import Image

import gan_cli
from gan_cli.cli import main
from gan_cli.data.shapes import KINDS
from gan_cli.inference import film, npz_file
from gan_cli.inference.film import Film, Walk, slerp, write_film
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.systems.base import DrawsNoise, noise_from
from gan_cli.utils import random
from gan_cli.utils.errors import GanError

SMALL = ["dataset=shapes", "dataset.size=8", "dataset.image_size=16"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """gaussian: a DCGAN; classes: a conditional GAN with uniform noise; info: InfoGAN; ring: points."""
    folder = tmp_path_factory.mktemp("runs")
    width = ["model.generator.width=2", "model.discriminator.width=2"]
    words = {
        "gaussian": ["model=dcgan", *SMALL, *width, *TINY],
        "classes": ["model=cgan", *SMALL, *width, *TINY],
        "info": ["model=infogan", *SMALL, *TINY],
        "ring": [*TINY_RING, "trainer.iterations=3", "trainer.sample_every=1"],
    }
    for name, settings in words.items():
        assert main.main(["train", *settings, f"hydra.run.dir={folder / name}"]) == 0
    return folder


def gan(*words: object) -> int:
    return main.main([str(word) for word in words])


def frames_of(path: Path) -> list[np.ndarray]:
    with Image.open(path) as image:
        return [np.asarray(image.convert("RGB")) for i in range(image.n_frames) if image.seek(i) is None]


def noises(run: TrainedRun, walk: Walk) -> torch.Tensor:
    """The noise of each frame, (frames, count, latent_dim)."""
    drawn = []

    def keep(z: torch.Tensor, *rest: object) -> torch.Tensor:
        drawn.append(z.clone())
        return torch.zeros(len(z), 1, 1, 1)

    run.system.generator.forward = keep  # type: ignore[union-attr, method-assign, assignment]
    for index in range(len(walk)):
        walk[index]
    return torch.stack(drawn)


def test_arcs_keep_the_norm_and_lines_do_not() -> None:
    start, end = torch.tensor([[3.0, 0.0], [1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 3.0], [2.0, 0.0], [-2.0, 0.0]])
    middle = slerp(start, end, torch.tensor(0.5))
    assert middle[0].tolist() == pytest.approx([3 / 2**0.5] * 2)
    assert middle[1:].tolist() == [[1.5, 0], [-0.5, 0]]  # of one direction, and of opposite ones
    third = slerp(start, end, torch.tensor(1 / 3))[0]
    assert torch.atan2(third[1], third[0]).item() == pytest.approx(torch.pi / 6)


@pytest.mark.parametrize(("name", "label"), [("gaussian", None), ("classes", 2), ("info", None)])
def test_a_walk_is_a_closed_path_through_its_noises(runs: Path, name: str, label: int | None) -> None:
    """On arcs for Gaussian noise and on straight lines for uniform noise; codes stay as they are."""
    run = TrainedRun(runs / name, device="cpu")
    labels = None if label is None else torch.tensor([label] * 2)
    walk = Walk(run, 3, 4, count=2, seed=5, labels=labels)
    path = noises(run, walk)
    assert len(walk) == 12 and path.shape[:2] == (12, 2)
    assert isinstance(run.system, DrawsNoise)
    dimension = path.shape[2] if name != "info" else 62
    for point in range(3):
        with run.test_mode(5 + point):
            if name == "info":
                assert torch.equal(path[4 * point, :, :62], run.system.prior(2).z)  # type: ignore[operator]
            else:
                assert torch.equal(path[4 * point], run.system.noise(2, dimension))
    z = path[..., :dimension]
    between = slerp if name == "gaussian" else torch.lerp
    for index in (1, 3, 11):
        start, end = z[index // 4 * 4], z[(index // 4 + 1) % 3 * 4]
        assert torch.allclose(z[index], between(start, end, torch.tensor(index % 4 / 4)), atol=1e-6)
    assert (path[:, :, dimension:] == path[:1, :, dimension:]).all()


def test_interpolate_from_python(runs: Path) -> None:
    run = gan_cli.load(runs / "classes", device="cpu")
    images = run.interpolate(2, 3, seed=1, label=4)
    assert images.shape == (6, 3, 16, 16) and images.min() >= 0 and images.max() <= 1
    assert torch.equal(images[:1], run.sample(1, seed=1, label=4)) and not torch.equal(images[0], images[1])
    with pytest.raises(GanError, match="label=6"):
        run.interpolate(2, 3, label=6)
    with pytest.raises(GanError, match="n=1, frames=3: a walk has at least 2 points"):
        run.interpolate(1, 3)


def test_truncated_noise_is_that_of_the_seed_within_the_threshold(runs: Path) -> None:
    run = gan_cli.load(runs / "gaussian", device="cpu")
    assert isinstance(run.system, DrawsNoise)
    with run.test_mode(0):
        plain = run.system.noise(2000, 50)
    with run.test_mode(0):
        cut = random.TruncatedNormal(0.7)(2000, 50)
    within = plain.abs() <= 0.7
    assert cut.abs().max() <= 0.7 and torch.equal(cut[within], plain[within])
    # The variance of N(0, 1) on [-a, a] is 1 - 2 a phi(a) / (2 Phi(a) - 1).
    density, share = torch.tensor(-0.245).exp() / (2 * torch.pi) ** 0.5, torch.erf(torch.tensor(0.7 / 2**0.5))
    assert cut.var().item() == pytest.approx((1 - 2 * 0.7 * density / share).item(), rel=0.02)
    assert cut[~within].abs().mean().item() == pytest.approx(cut[within].abs().mean().item(), rel=0.02)

    sampled = run.sample(4, seed=3, truncation=0.5)
    with run.test_mode(3), noise_from(run.system, random.TruncatedNormal(0.5)):
        assert torch.equal(sampled, run._unit(run.generate(4)))
    assert not torch.equal(sampled, run.sample(4, seed=3)) and run.system.noise == random.Normal()


def test_gif_of_walks(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One column per class with its name; the frames are those of the walk, in a palette with white."""
    words = ["format=gif", "n=2", "frames=3", "fps=10", f"out={tmp_path}", "device=cpu"]
    assert gan("sample", runs / "classes", *words) == 0
    assert f"6 frames (ema weights, iteration 2, seed 0) in {tmp_path}/interpolation.gif" in capsys.readouterr().out
    frames = frames_of(tmp_path / "interpolation.gif")
    run = TrainedRun(runs / "classes", device="cpu")
    made = film.latent_film(run, 2, 3, seed=0, label=None, truncation=None)
    assert len(frames) == made.count == 6
    for i in (0, 4):
        shown, exact = frames[i].astype(int), np.asarray(made.frame(i)).astype(int)
        assert shown.shape == exact.shape and abs(shown - exact).mean() < 4 and (shown[:14, -1] == 255).all()
    with Image.open(tmp_path / "interpolation.gif") as image:
        assert image.info["duration"] == 100 and image.info["loop"] == 0


def test_film_of_the_training_needs_no_weights(runs: Path, tmp_path: Path) -> None:
    """The sample grids in order; grids of another size are on white paper of the largest size."""
    shutil.copytree(runs / "ring", run := tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    (run / "samples/notes.png").write_bytes(b"no grid")
    with Image.open(run / "samples/000000.png") as image:
        image.crop((0, 0, 100, 90)).save(run / "samples/000000.png")
    assert gan("sample", run, "format=gif", "of=training", "fps=5") == 0
    frames = frames_of(run / "films/training.gif")
    grids = [np.asarray(Image.open(run / f"samples/{i:06d}.png")) for i in range(4)]
    assert len(frames) == 4 and all(frame.shape == grids[3].shape for frame in frames)
    assert (abs(frames[3].astype(int) - grids[3]).max(2) < 60).mean() > 0.99
    assert (frames[0][90:] == 255).all() and (frames[0][:, 100:] == 255).all()
    shutil.rmtree(run / "samples")
    assert gan("sample", run, "format=gif", "of=training") == 2


def test_a_grid_that_is_no_image_or_too_large_is_named(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "ring", run := tmp_path / "run")
    (run / "samples/000003.png").write_bytes(b"BM" + bytes(100))
    assert gan("sample", run, "format=gif", "of=training") == 2
    error = capsys.readouterr().err
    assert "000003.png cannot be read" in error and error.count("\n") == 1 and not (run / "films").exists()
    monkeypatch.setattr(film, "PIXELS", 100)
    with pytest.raises(GanError, match="too many for a frame"):
        film.training_film(runs / "ring")


def test_grids_that_make_a_large_page_together_are_refused(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "ring", run := tmp_path / "run")
    Image.new("L", (20000, 20)).save(run / "samples/000000.png")
    Image.new("L", (20, 20000)).save(run / "samples/999999.png")
    with pytest.raises(GanError, match="20000 x 20000 pixels are too large for a film"):
        film.training_film(run)


def test_long_trainings_are_thinned_out_and_end_with_the_last_grid(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film, "TRAINING_FRAMES", 2)
    made = film.training_film(runs / "ring")
    assert made.count == 2
    with Image.open(runs / "ring/samples/000003.png") as last:
        assert np.array_equal(np.asarray(made.frame(1)), np.asarray(last))


def test_mp4_has_even_sides_and_holds_its_end(tmp_path: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    colors = [(200, 30, 30), (30, 200, 30)]
    made = Film(2, lambda i: Image.new("RGB", (33, 47), colors[i]), hold=1.0)
    write_film(made, tmp_path / "film.mp4", 5)
    reader = ffmpeg.read_frames(str(tmp_path / "film.mp4"))
    meta = next(reader)
    frames = [np.frombuffer(frame, np.uint8).reshape(48, 34, 3) for frame in reader]
    assert meta["size"] == (34, 48) and meta["fps"] == 5 and meta["codec"] == "h264" and len(frames) == 2 + 5
    for frame, color in ((frames[0], colors[0]), (frames[-1], colors[1])):
        assert abs(frame[20, 15].astype(int) - color).max() < 16


def test_mp4_without_its_package_is_refused(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(film.importlib.util, "find_spec", lambda name: None)
    assert gan("sample", runs / "gaussian", "format=mp4") == 2
    assert capsys.readouterr().err == "gan: format=mp4 needs imageio_ffmpeg: pip install 'gan-cli[video]'\n"
    assert not (runs / "gaussian/films").exists()


def test_a_file_of_samples_holds_the_images_of_the_same_command(runs: Path, tmp_path: Path) -> None:
    """As numpy.savez writes it: arr_0 (n, H, W, C), and arr_1, the labels of a conditional model."""
    for kind in ("npz", "png"):
        assert gan("sample", runs / "classes", f"format={kind}", "n=9", "seed=2", f"out={tmp_path}", "device=cpu") == 0
    with np.load(tmp_path / "samples.npz") as file:
        images, labels = file["arr_0"], file["arr_1"]
    assert images.shape == (9, 16, 16, 3) and images.dtype == np.uint8 and labels.dtype == np.int64
    assert all(np.array_equal(images[i], np.asarray(Image.open(tmp_path / f"{i:06d}.png"))) for i in range(9))
    run = TrainedRun(runs / "classes", device="cpu")
    with run.test_mode(2):
        expected = random.randint(9, len(KINDS))
        raw = run.system.generate_from(run.system.prior(9), expected)  # type: ignore[operator]
    assert labels.tolist() == expected.tolist()
    assert np.array_equal(images, ((raw + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
    assert gan("sample", runs / "ring", "format=npz", "n=5", f"out={tmp_path}/points", "device=cpu") == 0
    with np.load(tmp_path / "points/samples.npz") as file:
        assert file["arr_0"].shape == (5, 2) and file["arr_0"].dtype == np.float32 and file.files == ["arr_0"]


def test_a_file_is_written_batch_by_batch_and_whole_or_not_at_all(tmp_path: Path) -> None:
    def batches(count: int) -> Iterator[npz_file.Batch]:
        for i in range(count):
            if i == 3:
                raise OSError(28, "No space left on device")
            yield np.full((2, 4), i, np.uint8), None

    npz_file.write_npz(tmp_path / "a.npz", 6, batches(3))
    with np.load(tmp_path / "a.npz") as file:
        assert file["arr_0"].tolist() == [[i] * 4 for i in (0, 0, 1, 1, 2, 2)]
    before = (tmp_path / "a.npz").read_bytes()
    with pytest.raises(GanError, match="No space left on device"):
        npz_file.write_npz(tmp_path / "a.npz", 8, batches(4))
    assert (tmp_path / "a.npz").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("run", "options", "words"),
    [
        ("gaussian", "format=avi", "format=avi: choose one of png, npz, gif, mp4"),
        ("gaussian", "format=gif of=latents", "of=latents: choose interpolation or training"),
        ("gaussian", "fps=5", "fps=5: format=png is no film, unlike gif and mp4; omit fps="),
        ("gaussian", "format=npz of=training", "of=training: format=npz is no film"),
        ("gaussian", "format=gif of=training n=5", "n=5: a film of the training shows the sample grids as they are"),
        ("gaussian", "format=gif fps=60", "fps=60: a film has 1 to 50 frames per second"),
        ("gaussian", "format=gif n=100 frames=31", "n=100, frames=31: a walk has at least 2 points"),
        ("gaussian", "truncation=0.001", "truncation=0.001: choose at least 0.01"),
        ("classes", "truncation=0.7", "truncation=0.7: the noise of this ConditionalGAN is not Gaussian"),
        ("ring", "format=gif", "generates points: of=training shows them"),
    ],
)
def test_what_does_not_go_together_is_refused(
    runs: Path, run: str, options: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gan("sample", runs / run, "device=cpu", *options.split()) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and not (runs / run / "films").exists()
