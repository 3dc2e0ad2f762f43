"""Mistakes of users: for each a command, what is wrong on the disk, and the expected message, status and leftovers.

`make errors` runs this file, which writes docs/ERRORS.md: the table of these cases with their messages.
tests/cli/test_bad_inputs.py checks each case, and that the page is up to date.
"""

import contextlib
import errno
import fcntl
import io
import math
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from gan_cli.cli import main
from gan_cli.data import url_cache
from gan_cli.training import checkpoint
from gan_cli.utils.files import write_text

PAGE = Path(__file__).resolve().parent.parent / "docs/ERRORS.md"
HEAD = """\
<!-- Written by `make errors` from the cases of tests/bad_inputs.py. -->
# Bad input

Every mistake is answered with one line on standard error, `gan: MESSAGE`, and an exit status: 2 for a mistake, 3 for a
number that is not finite. `GAN_DEBUG=1` adds the traceback. The commands below omit the settings that make them small.
`run` is a finished run on points, `cycle` one of CycleGAN.

| mistake | command | message | status | left behind |
| --- | --- | --- | --- | --- |
"""

SMALL = (
    "trainer.iterations=2 trainer.batch_size=4 trainer.sample_count=4 trainer.log_every=1 trainer.device=cpu "
    "trainer.checkpoint_every=1 hydra.run.dir=new"
)
TOY = "network=mlp_points model.generator.widths=[8] model.discriminator.widths=[8]"
POINTS = f"{SMALL} {TOY} dataset=ring"
IMAGES = f"{SMALL} {TOY} dataset=image_folder dataset.image_size=8"
SHARDS = f"{SMALL} {TOY} dataset=webdataset dataset.image_size=8"
TABLES = f"{SMALL} {TOY} dataset=huggingface"
SHAPES = f"{SMALL} dataset.size=64"
CYCLE = (
    f"{SMALL} model=cyclegan dataset=shapes_stripes dataset.size=8 model.G.width=2 model.F.width=2 "
    "model.D_X.width=2 model.D_Y.width=2 model.G.blocks=1 model.F.blocks=1 "
    "model.D_X.n_layers=1 model.D_Y.n_layers=1"
)
PAIRS = f"{SMALL} model=pix2pix dataset=paired_folder model.generator.width=2 model.discriminator.width=2"
SHORT = {
    "pairs": PAIRS, "points": POINTS, "images": IMAGES, "shards": SHARDS, "tables": TABLES, "shapes": SHAPES,
    "cycle": CYCLE,
}  # fmt: skip
SHOWN = {
    "pairs": "model=pix2pix dataset=paired_folder",
    "points": "network=mlp_points dataset=ring",
    "images": "network=mlp_points dataset=image_folder",
    "shards": "network=mlp_points dataset=webdataset",
    "tables": "network=mlp_points dataset=huggingface",
    "shapes": "dataset=shapes",
    "cycle": "model=cyclegan",
}
"""The parts of SHORT that the table shows."""


class Case(NamedTuple):
    """One mistake.

    line: the words after `gan`, in which {points} and so on stand for small settings. words: parts of the message.
    setup: makes what is wrong in the folder; the stack undoes it. left: the only paths that may be new or changed.
    after: checks what is left.
    """

    what: str
    line: str
    words: tuple[str, ...]
    status: int = 2
    setup: Callable[[Path, contextlib.ExitStack], None] | None = None
    left: tuple[str, ...] = ()
    after: Callable[[Path], None] | None = None


# -- what is wrong on the disk


def save_image(path: Path, mode: str = "RGB", size: tuple[int, int] = (20, 20)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size).save(path)


def half_broken(here: Path, stack: contextlib.ExitStack) -> None:
    whole = (here / "photos/0.png").read_bytes()
    (here / "half").mkdir()
    (here / "half/whole.png").write_bytes(whole)
    (here / "half/cut.png").write_bytes(whole[: len(whole) // 2])


def text_as_jpg(here: Path, stack: contextlib.ExitStack) -> None:
    (here / "text").mkdir()
    (here / "text/a.jpg").write_text("not an image")


def tarred(here: Path, files: dict[str, bytes]) -> Path:
    """The archive tars/0.tar."""
    (here / "tars").mkdir()
    with tarfile.open(here / "tars/0.tar", "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return here / "tars/0.tar"


def whole_shard(here: Path, stack: contextlib.ExitStack) -> None:
    tarred(here, {f"{n}.png": (here / f"photos/{n}.png").read_bytes() for n in range(5)})


def cut_shard(here: Path, stack: contextlib.ExitStack) -> None:
    whole_shard(here, stack)
    whole = (here / "tars/0.tar").read_bytes()
    (here / "tars/0.tar").write_bytes(whole[:1200])


def text_in_shard(here: Path, stack: contextlib.ExitStack) -> None:
    tarred(here, {"a.jpg": b"not an image"})


def empty_shard(here: Path, stack: contextlib.ExitStack) -> None:
    tarred(here, {})


def torn_in_shard(here: Path, stack: contextlib.ExitStack) -> None:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(file, "jpeg")
    tarred(here, {"a.jpg": file.getvalue()[:-500]})


def no_patience(here: Path, stack: contextlib.ExitStack) -> None:
    patch = stack.enter_context(pytest.MonkeyPatch.context())
    patch.setattr(url_cache, "WAITS", ())
    patch.setenv("no_proxy", "*")


def no_library(here: Path, stack: contextlib.ExitStack) -> None:
    stack.enter_context(pytest.MonkeyPatch.context()).setitem(sys.modules, "datasets", None)


def every_mode(here: Path, stack: contextlib.ExitStack) -> None:
    for mode in ("L", "RGBA", "LA", "1", "P", "I;16", "CMYK"):
        save_image(here / f"modes/{mode}.{'tif' if mode == 'CMYK' else 'png'}", mode)
    deep = np.linspace(0, 65535, 400).reshape(20, 20).astype(np.uint16)
    Image.fromarray(deep).save(here / "modes/sixteen.png")


def tiny(here: Path, stack: contextlib.ExitStack) -> None:
    for number in range(3):
        save_image(here / f"tiny/{number}.png", size=(3, 5))


def odd_halves(here: Path, stack: contextlib.ExitStack) -> None:
    save_image(here / "halves/train/0.png", size=(9, 4))


def no_partner(here: Path, stack: contextlib.ExitStack) -> None:
    for name in ("trainA/0.png", "trainA/1.png", "trainB/0.png"):
        save_image(here / "lonely" / name)


def other_names(here: Path, stack: contextlib.ExitStack) -> None:
    for name in ("train_img/1.png", "train_img/3.png", "train_label/1.png", "train_label/2.png"):
        save_image(here / "streets" / name, "L")


def floating(here: Path, stack: contextlib.ExitStack) -> None:
    (here / "float").mkdir()
    Image.fromarray(np.array([[0.0, 1.01]], np.float32)).save(here / "float/a.tif")


def masks(here: Path, stack: contextlib.ExitStack) -> None:
    save_image(here / "masks/train_img/1.png", size=(32, 32))
    (here / "masks/train_label").mkdir()
    Image.fromarray(np.eye(32, dtype=np.uint8) * 255).save(here / "masks/train_label/1.png")


def other_files(here: Path, stack: contextlib.ExitStack) -> None:
    (here / "phone").mkdir()
    (here / "phone/1.psd").touch()
    os.mkfifo(here / "phone/2.png")


def labels_of(text: str) -> Callable[[Path, contextlib.ExitStack], None]:
    def setup(here: Path, stack: contextlib.ExitStack) -> None:
        save_image(here / "labeled/0.png")
        (here / "labeled/dataset.json").write_text(text)

    return setup


def unsafe_zip(here: Path, stack: contextlib.ExitStack) -> None:
    stack.callback((here / "photos.zip").unlink)
    with zipfile.ZipFile(here / "photos.zip", "w") as archive:
        archive.writestr("../0.png", b"")


def empty_folder(here: Path, stack: contextlib.ExitStack) -> None:
    (here / "bare").mkdir()


def domains(here: Path, stack: contextlib.ExitStack) -> None:
    for name in ("trainA/0.png", "trainB/1.png"):
        save_image(here / "domains" / name)


def odd_input(here: Path, stack: contextlib.ExitStack) -> None:
    save_image(here / "odd/fine.png", size=(32, 32))
    save_image(here / "odd/size.png", size=(33, 31))
    (here / "odd/broken.png").write_bytes(b"no image")


def weights(here: Path, stack: contextlib.ExitStack) -> None:
    stack.callback((here / "foreign.pth").unlink)
    torch.save({"fc.weight": torch.zeros(2, 2)}, here / "foreign.pth")


def pickled(here: Path, stack: contextlib.ExitStack) -> None:
    stack.callback((here / "code.pth").unlink)
    torch.save({"fc.weight": Path}, here / "code.pth")


def copied(here: Path, name: str) -> Path:
    return Path(shutil.copytree(here / "run", here / name))


def truncated(here: Path, stack: contextlib.ExitStack) -> None:
    last = copied(here, "cut") / "checkpoints/last.pt"
    last.write_bytes(last.read_bytes()[:1000])


def foreign(here: Path, stack: contextlib.ExitStack) -> None:
    torch.save({"state_dict": {}}, copied(here, "foreign") / "checkpoints/last.pt")


def older(here: Path, stack: contextlib.ExitStack) -> None:
    last = copied(here, "older") / "checkpoints/last.pt"
    torch.save({**torch.load(last, weights_only=True), "format": 0}, last)


def negative_iteration(here: Path, stack: contextlib.ExitStack) -> None:
    last = copied(here, "negative") / "checkpoints/last.pt"
    torch.save({**torch.load(last, weights_only=True), "iteration": -5}, last)


def listed_provenance(here: Path, stack: contextlib.ExitStack) -> None:
    (copied(here, "listed") / "provenance.json").write_text("[1, 2]")


def tagged_config(here: Path, stack: contextlib.ExitStack) -> None:
    (copied(here, "tagged") / "config.yaml").write_text("model: !!python/object/apply:os.system [touch pwned]\n")


def another_model(here: Path, stack: contextlib.ExitStack) -> None:
    shutil.copy(here / "cycle/checkpoints/last.pt", copied(here, "mixed") / "checkpoints/last.pt")


def garbage_config(here: Path, stack: contextlib.ExitStack) -> None:
    (copied(here, "garbage") / "config.yaml").write_text("model: [unclosed\n  : :")


def headless_config(here: Path, stack: contextlib.ExitStack) -> None:
    (copied(here, "headless") / "config.yaml").write_text("seed: 0\n")


def locked(here: Path, stack: contextlib.ExitStack) -> None:
    file = stack.enter_context((copied(here, "busy") / ".lock").open("w"))
    fcntl.flock(file, fcntl.LOCK_EX)


def mount(folder: Path, stack: contextlib.ExitStack, options: str) -> None:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("this test mounts a file system, which it may not do here")
    stack.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=True)


def read_only(here: Path, stack: contextlib.ExitStack) -> None:
    mount(here / "fixed", stack, "size=1m,ro")


def read_only_run(here: Path, stack: contextlib.ExitStack) -> None:
    mount(here / "sealed", stack, "size=4m")
    shutil.copytree(here / "run", here / "sealed", dirs_exist_ok=True)
    subprocess.run(["mount", "-o", "remount,ro", str(here / "sealed")], check=True)


def unreadable(here: Path, stack: contextlib.ExitStack) -> None:
    """Root may read every folder, so the refusal that other users get is simulated."""
    (here / "sealed").mkdir()
    scan = os.scandir

    def refused(path: str) -> object:
        if Path(path).name == "sealed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    undo = stack.enter_context(pytest.MonkeyPatch.context())
    undo.setattr("gan_cli.data.image_files.os.scandir", refused)


def full(here: Path, stack: contextlib.ExitStack) -> None:
    mount(here / "full", stack, "size=64k")
    (here / "full/stuff").write_bytes(bytes(64 * 1024))


def small_disk(here: Path, stack: contextlib.ExitStack) -> None:
    mount(here / "disk", stack, "size=400k")


def last_is_whole(here: Path) -> None:
    run = here / "disk/run"
    assert checkpoint.load(run / "checkpoints/last.pt")["iteration"] > 1
    assert not list(run.rglob("*.tmp"))


def nan_weights(here: Path, stack: contextlib.ExitStack) -> None:
    last = copied(here, "nan") / "checkpoints/last.pt"
    state = torch.load(last, weights_only=True)
    for weights in (state["system"], *state["ema"].values()):
        for tensor in weights.values():
            tensor.fill_(math.nan)
    torch.save(state, last)


def one_class(here: Path, stack: contextlib.ExitStack) -> None:
    for number in range(6):
        save_image(here / f"alike/cat/{number}.png")
    settings = f"{IMAGES} dataset.root=alike dataset.num_classes=1"
    assert run(f"train {settings} hydra.run.dir=classes") == (0, "")


CASES = [
    # -- words
    Case("misspelled verb", "trian", ("did you mean 'train'",)),
    Case("misspelled model", "train model=dcgn", ("no model 'dcgn'", "did you mean 'dcgan'")),
    Case("misspelled group", "train optimzer=adam", ("no key 'optimzer'", "'optimizer'")),
    Case("misspelled key", "train trainer.itrations=3", ("did you mean 'trainer.iterations'",)),
    Case("misspelled option", "train --mulitrun", ("did you mean '--multirun'",)),
    Case("misspelled network of the optimizer", "train optimizer.networks.generatr.lr=1", ("'generator'",)),
    Case("misspelled experiment", "train experiment=nope", ("no experiment 'nope'", "gan list experiment")),
    Case("misspelled member of a sweep", "train -m model=dcgn,wgan_gp", ("did you mean 'dcgan'", "sweep")),
    Case("misspelled metric", "evaluate run metric=mods", ("did you mean 'modes'",)),
    Case("misspelled option of a verb", "sample run sed=3", ("did you mean 'seed'",)),
    Case("renamed verb", "edit cycle", ("gan edit was renamed to gan web",)),
    Case("renamed option of a verb", "compare run where=lr=1", ("where was renamed to filter",)),
    Case("renamed network", "train network=toy", ("network=toy was renamed to network=mlp_points",)),
    Case("renamed metric", "evaluate run metric=fid,partner", ("metric=partner was renamed to metric=paired",)),
    Case("renamed setting of a metric", "evaluate run metric.iprime.reference=train", ("metric.modified_is",)),
    Case("renamed key", "train -m trainer.best_by=a,b", ("trainer.best_by was renamed to trainer.best_metric",)),
    Case("renamed key of a sweep", "train -m seed=0,1 sweep.draw=1", ("sweep.draw was renamed to sweep.sample",)),
    Case("renamed direction", "translate cycle input=photos output=o direction=x2y", ("direction=AtoB",)),
    Case("renamed key of a search", "search metric=modes space.trainer.momentum=[null]", ("trainer.momentum_sch",)),
    Case("removed key", "resume run trainer.cuda_graphs=true", ("trainer.cuda_graphs was removed",)),
    Case("class by its old name", "train loss._target_=gan_cli.objective.Objective", ("gan_cli.losses.objective",)),
    # -- values
    Case("seed is a word", "train seed=abc", ("seed must be a whole number",)),
    Case("number for a list", "train optimizer.betas=0.5", ("optimizer.betas must be a list",)),
    Case("negative batch", "train trainer.batch_size=-4", ("trainer.batch_size must be at least 1, not -4",)),
    Case("no iterations", "train trainer.iterations=0", ("trainer.iterations must be at least 1",)),
    Case("no time", "train trainer.max_time=soon", ("trainer.max_time: a time is a number", "1h30m")),
    Case("log never", "train trainer.log_every=0", ("trainer.log_every must be at least 1",)),
    Case("no images in the grid", "train trainer.sample_count=0", ("trainer.sample_count must be at least 1",)),
    Case("unknown precision", "train trainer.precision=float16", ("float32 or bfloat16",)),
    Case("channels last under instance norm", "train {cycle} trainer.channels_last=true", ("leave it false",)),
    Case("compiled penalty", "train {shapes} model=wgan_gp trainer.compile=true", ("second derivative",)),
    Case("unknown benchmark", "bench stap", ("did you mean 'step'",)),
    Case("benchmark of no known peer", "bench step {shapes} baseline=nowhere", ("no such checkout",)),
    Case("learning rate is nan", "train optimizer.lr=nan", ("optimizer.lr must be a finite number",)),
    Case("learning rate of a resumed run is nan", "resume run optimizer.lr=nan", ("lr must be a finite number",)),
    Case("beta above 1", "train {points} optimizer.betas=[0.5,2]", ("optimizer: ", "beta")),
    Case("negative critic steps", "train {points} loss.critic_steps=-1", ("critic_steps lies in [1, 1000], not -1",)),
    Case("range of bytes", "train dataset.value_range=[0,255]", ("value_range [0, 255]", "[-1, 1]")),
    Case("size that the network cannot take", "train {shapes} dataset.image_size=33", ("nearest: 32 and 56",)),
    Case("size that the translator cannot take", "train {cycle} dataset.image_size=33", ("nearest: 32 and 36",)),
    Case("size that a noisy U-Net cannot take", "train model=pix2pix_noise dataset.image_size=48", ("32 and 64",)),
    Case("images too small for DRIT's critics", "train model=drit network=drit", ("D_X", "needs 64 pixels or more")),
    Case("DRIT without turns of its critics", "train model=drit model.d_iter=0", ("at least 1", "lambda_content=0")),
    Case("more than every color", "train model=pix2pix_noise dataset.freedom=2", ("freedom=2", "[0, 1]")),
    Case("enhancer too wide", "train model=pix2pixhd model.G2.width=32", ("twice as wide as the enhancer",)),
    Case("phases without an enhancer", "train model=pix2pixhd model.G2=null", ("phases of G2", "set them to 0")),
    Case("features that never learn", "train model=pix2pixhd_features model.global_iterations=0",
         ("E is trained with G1 alone",)),
    Case("size that the U-Net cannot take", "train model=pix2pix dataset.image_size=48", ("nearest: 32 and 64",)),
    Case("size that DiscoGAN cannot take", "train model=discogan dataset.image_size=48", ("nearest: 32 and 56",)),
    Case("images too small for DiscoGAN", "train model=discogan dataset.image_size=8", ("needs 16 pixels or more",)),
    Case("a network that is never trained", "train model=discogan model.update_interval=1", ("update_interval 1",)),
    Case("rate of reconstruction above 1", "train model=recongan model.rate.then=2", ("lies in [0, 1]",)),
    Case("size that DualGAN cannot take", "train model=dualgan_code dataset.image_size=48", ("nearest: 32 and 64",)),
    Case("negative weight of a cycle", "train {cycle} model.lambda_cycle=[10,-1]", ("[forward, backward]",)),
    Case("domains without modes", "train model=discogan metric=[domain_modes]", ("dataset=mixture_domains",)),
    Case("halves of no archive", "train model=discogan dataset=edges2shoes_halves dataset.url=null "
         "dataset.root=photos", ("no folder train", "A|B")),
    Case("faces without attributes", "train model=discogan dataset=celeba_attributes dataset.root=photos",
         ("there is no photos/list_attr_celeba.txt",)),
    Case("nothing to learn", "train model=pix2pix model.lambda_L1=0 model.lambda_GAN=0", ("one at least is not 0",)),
    Case("no latent dimension", "train {shapes} model.latent_dim=-1", ("model.generator", "negative")),
    Case("an empty network", "train {shapes} model.generator.width=0", ("model.generator", "one of its sizes is 0")),
    Case("code of an untrusted config", "train loss._target_=os.system", ("'os.system' is not allowed",)),
    Case("seed beyond 64 bits", "sample run seed=99999999999999999999", ("seed must lie in",)),
    Case("an option without its value", "sample run n=", ("n has no value",)),
    Case("a comma too many", "evaluate run metric=fid,,kid", ("one of the values is empty",)),
    Case("no such device", "sample run device=gpu", ("device must be auto, cpu or cuda, not 'gpu'",)),
    Case("no samples", "sample run n=0", ("n=0", "at least one")),
    Case("unknown format of samples", "sample run format=avi", ("format=avi", "png, npz, gif, mp4")),
    Case("rate of what is no film", "sample run fps=5", ("fps=5", "omit fps=")),
    Case("film of points", "sample run format=gif", ("generates points", "of=training")),
    # -- what does not go together
    Case("model of two domains on digits", "train {cycle} dataset=shapes",
         ("CycleGAN is trained on Domains", "gan list")),
    Case("networks of another model", "train model=cyclegan network=dcgan", ("needs G, F", "omit network=...")),
    Case("label maps from a set without", "train model=pix2pixhd dataset=shapes", ("dataset.label_nc",)),
    Case("wrong number of classes", "train model=pix2pixhd dataset.label_nc=35", ("a scene has 7 classes",)),
    Case("networks without labels", "train {shapes} model=cgan network=dcgan", ("cannot be trained", "network=")),
    Case("label-needing model, no labels", "train model=cgan dataset.num_classes=null", ("needs labels", "mnist")),
    Case("label-needing model on points", "train model=cgan dataset=ring", ("needs labels", "choose")),
    Case("one image for batch normalisation", "train {shapes} model=infogan trainer.batch_size=1", ("batch_size",)),
    Case("label for a model without", "sample run label=3", ("label=3", "not conditional")),
    Case("translation by a noise model", "translate run input=photos output=o", ("does not translate",)),
    Case("metric that does not fit", "evaluate run metric=infogan_codes", ("model=infogan",)),
    Case("metric of another data set", "evaluate cycle metric=modes", ("dataset=ring",)),
    Case("cuda without a device", "train {points} trainer.device=cuda:99", ("device=cuda:99", "cpu or auto")),
    # -- images
    Case("missing folder", "train {images} dataset.root=photo", ("no folder photo", "did you mean photos")),
    Case("empty folder", "train {images} dataset.root=empty", ("no images in empty", ".png")),
    Case("half-broken folder", "train {images} dataset.root=half", ("half/cut.png",), setup=half_broken),
    Case("text named .jpg", "train {images} dataset.root=text", ("text/a.jpg: not an image",), setup=text_as_jpg),
    Case("root is a file", "train {images} dataset.root=photos/0.png", ("is a file", "a folder of images")),
    Case("wrong classes", "train {images} dataset.root=photos dataset.num_classes=3", ("num_classes=null",)),
    Case("no folder of shards", "train {shards} dataset.root=photo", ("no folder photo", "did you mean photos")),
    Case("no shards in it", "train {shards} dataset.root=photos", ("no shards in photos", ".tar")),
    Case("a shard that is not there", "train {shards} dataset.root=a-{{0..1}}.tar", ("there is no shard a-0.tar",)),
    Case("shards by a command", "train {shards} dataset.root=pipe:cat", ("pipe:cat", "files or http(s)")),
    Case("half of a shard", "train {shards} dataset.root=tars", ("not a complete",), 2, cut_shard, ("cache",)),
    Case("text in a shard", "train {shards} dataset.root=tars", ("a.jpg: not an image",), 2, text_in_shard, ("cache",)),
    Case("empty shard", "train {shards} dataset.root=tars", ("no images in tars/0.tar",), 2, empty_shard, ("cache",)),
    Case("half of an image in a shard", "train {shards} dataset.root=tars", ("tars/0.tar/a.jpg: image file is trunc",),
         2, torn_in_shard, ("cache",)),
    Case("label-needing model, shards without", "train {shards} dataset.root=tars model=cgan", ("needs labels",), 2,
         whole_shard, ("cache",)),
    Case("shards without labels", "train {shards} dataset.root=tars dataset.num_classes=2",
         ("no label .cls beside it", "num_classes=null"), 2, whole_shard, ("cache",)),
    Case("shards behind a URL, none there", "train {shards} dataset.root=http://127.0.0.1:9/a.tar",
         ("cannot download http://127.0.0.1:9/a.tar (Connection refused)",), 2, no_patience, ("cache",)),
    Case("tables without their library", "train {tables} dataset.root=photos",
         ("pip install 'gan-cli[streams]'",), 2, no_library),
    Case("no label maps", "train model=pix2pixhd dataset=label_maps dataset.root=photos", ("no train_img in photos",)),
    Case("no pairs", "train model=pix2pix dataset=paired_folder dataset.root=photos", ("no training pairs in photos",)),
    Case("pairs of odd width", "train {pairs} dataset.root=halves", ("9 pixels wide", "even width"), setup=odd_halves),
    Case("no partner", "train {pairs} dataset.root=lonely", ("1 images of lonely/trainA", "1.png"), setup=no_partner),
    Case("label maps of other images", "train model=pix2pixhd dataset=label_maps dataset.root=streets",
         ("3.png", "2.png", "no partner"), setup=other_names),
    Case("floats above 1", "train {images} dataset.root=float", ("float/a.tif", "1.01", "dataset.window=[LOW,HIGH]"),
         setup=floating),
    Case("window without width", "train {images} dataset.root=photos dataset.window=[1,0]", ("window is [LOW, HIGH]",)),
    Case("masks of 0 and 255", f"train {SMALL} model=pix2pixhd dataset=label_maps dataset.root=masks "
         "dataset.label_nc=2 dataset.image_size=32 model.G1.width=4 model.G2.width=2 model.D.width=2",
         ("masks/train_label/1.png: class 255", "0 and 1", "dataset.void"), setup=masks),
    Case("labels of absent images", "train {images} dataset.root=labeled dataset.num_classes=2",
         ("labeled/dataset.json names 1.png that is no image",), setup=labels_of('{"labels": [["1.png", 0]]}')),
    Case("label that is no class", "train {images} dataset.root=labeled dataset.num_classes=2",
         ("the label of 0.png is 0.5",), setup=labels_of('{"labels": [["0.png", 0.5]]}')),
    Case("zip with a path out of it", "train {images} dataset.root=photos.zip", ("unsafe member",), setup=unsafe_zip),
    Case("domains for a model of images", f"train {SMALL} model=dcgan dataset.root=domains",
         ("dataset=unpaired_folder reads it", "model=dcgan is trained on dataset=image_folder"), setup=domains),
    Case("data: no folder", "data check photo", ("no folder photo", "did you mean photos")),
    Case("data: no images", "data check bare", ("no images in bare",), setup=empty_folder),
    Case("data: no out", "data prepare photos", ("needs out=DIR",)),
    Case("data: out in itself", "data prepare photos out=photos/small", ("one in the other",)),
    Case("data: out is not empty", "data prepare photos out=run", ("run is not empty",)),
    Case("data: no such action", "data chek photos", ("what to do first", "check|prepare")),
    Case("no images but other files", "train {images} dataset.root=phone",
         ("1 non-image file (.psd)", "1 irregular file"), setup=other_files),
    Case("pairs: direction", "train {pairs} dataset.root=photos dataset.direction=A2B", ("dataset.direction", "AtoB")),
    Case("no domains", "train model=cyclegan dataset=unpaired_folder dataset.root=photos", ("trainA and trainB",)),
    Case(
        "gray, RGBA, palette, CMYK and 16-bit images",
        "train {images} dataset.root=modes",
        (),
        0,
        every_mode,
        left=("new", "cache"),
    ),
    Case("images smaller than asked", "train {images} dataset.root=tiny", (), 0, tiny, left=("new", "cache")),
    Case(
        "batch larger than the data",
        "train {images} dataset.root=photos trainer.batch_size=64",
        (),
        0,
        left=("new", "cache"),
    ),
    Case(
        "broken image to translate",
        "translate cycle input=odd output=out",
        ("images of odd could not be translated: broken.png: ",),
        2,
        odd_input,
        left=("out",),
    ),
    Case("translations into their inputs", "translate cycle input=photos output=photos", ("would be overwritten",)),
    Case("several outputs without noise", "translate cycle input=photos output=o n=3", ("draws no noise",)),
    Case("style for a model without", "translate cycle input=photos output=o style=photos", ("does not take",)),
    Case("tiles of four pixels", "translate cycle input=photos output=o tile=4", ("tile=4", "8 or more")),
    # -- other programs
    Case("unknown format", "export run format=tflite", ("onnx, torch, safetensors",)),
    Case("network that makes no image", "export cycle network=D_X format=torch", ("network=D_X is not used",)),
    Case("nothing to import", "import", ("needs a .pth file",)),
    Case("foreign weights", "import foreign.pth", ("is not a ResnetGenerator", "it has no model.1.weight"), 2, weights),
    Case("code in a weights file", "import code.pth", ("cannot be read as a state dict",), 2, pickled),
    Case("page of a noise model", "web run", ("does not translate",)),
    Case("no such port", "web cycle port=70000", ("port=70000", "65535")),
    Case("no images to translate", "translate cycle input=empty output=out", ("input=empty", "no images in empty")),
    # -- scores
    Case("misspelled metric of a training", "train {points} metric=[mods]", ("did you mean 'modes'",)),
    Case("setting of a metric not chosen", "train metric.fid.reference=test", ("add metric=[fid]",)),
    Case("misspelled best metric", "train {points} metric=[modes] trainer.best_metric=high_qualty",
         ("'high_quality'",)),
    Case("metric that cannot score the run", "train {shapes} metric=[modes]", ("dataset=ring",)),
    Case("misspelled extractor", "evaluate run metric=kid extractor=pixel", ("did you mean 'pixels'",)),
    Case("misspelled setting of a metric", "evaluate run metric=kid metric.kid.subset=3", ("did you mean 'subsets'",)),
    Case("misspelled source", "evaluate real=photo fake=photos", ("no such folder", "did you mean 'photos'")),
    Case("real noise", "evaluate real=noise fake=photos", ("noise can be fake= only",)),
    Case("folder for a record", "evaluate real=photos fake=noise out=photos", ("photos is a folder; name a file",)),
    Case("record where none can be", "evaluate real=photos fake=noise out=foreign/a.jsonl", ("name a folder",),
         setup=lambda here, stack: (here / "foreign").touch() or stack.callback((here / "foreign").unlink)),
    Case("direction of a noise model", "evaluate run metric=modes direction=AtoB", ("does not translate; omit it",)),
    Case("one source", "evaluate real=photos", ("fake= is missing",)),
    Case("sheets of a training run", "evaluate real=photos fake=run/samples", ("sheets of many samples", "gan sample")),
    Case("window of one number", "evaluate real=photos fake=photos window=[5]", ("two numbers that increase",)),
    Case("statistics in an image", "evaluate real=photos stats=photos.png", ("name a file that ends in .npz",)),
    Case("images for a run", "evaluate run real=photos metric=fid", ("real= is a file of statistics",)),
    Case("statistics that are not there", "evaluate run real=no.npz", ("real=no.npz: No such file",)),
    Case("settings of no data set", "evaluate real=photos fake=photos dataset.root=photos", ("there is none",)),
    Case("empty source", "evaluate real=photos fake=empty", ("no images in empty",)),
    Case("text among the images of a source", "evaluate real=text fake=photos", ("not an image",), setup=text_as_jpg),
    Case("sources of two sizes", "evaluate real=tiny fake=photos", ("image_size=N",), setup=tiny),
    Case(
        "too few samples for the features",
        "evaluate run metric=fid n=2 extractor=pixels",
        ("2 real samples", "in 2 features", "n="),
        left=("cache",),
    ),
    Case(
        "samples of NaN",
        "evaluate nan metric=kid extractor=pixels",
        ("generated samples hold NaN",),
        setup=nan_weights,
        left=("cache",),
    ),
    Case("no labels to learn", "evaluate real=photos fake=photos extractor=classifier", ("labeled data set",)),
    Case("one class", "evaluate classes metric=is extractor=classifier", ("all labels are the same",), 2, one_class),
    Case(
        "wrong weights file",
        "evaluate real=photos fake=photos metric=kid extractor=inception extractor.weights=text/a.jpg",
        ("text/a.jpg does not hold the weights of inception",),
        setup=text_as_jpg,
    ),
    Case("no class probabilities", "evaluate run metric=is extractor=pixels", ("choose extractor=classifier",)),
    Case("no maps to segment", "evaluate run metric=segmentation", ("dataset=shapes_scene",)),
    Case("comparison of nothing", "compare empty", ("holds no run",)),
    Case("misspelled value to sort by", "compare run sort=mods", ("sort=mods",)),
    Case("translations of a model of noise", "compare run input=photos", ("input=photos", "does not translate images")),
    Case("sheet without an image", "compare cycle input=empty", ("input=empty",)),
    Case("sheet of several kinds of models", "compare run cycle sheet=true", ("runs of one kind",)),
    Case("experiment that claims nothing", "reproduce quickstart", ("has no `expect`",)),
    Case("misspelled variant", "reproduce ring variant=unroled_5", ("did you mean 'unrolled_5'?",)),
    Case("odd batch of DRIT", "train model=drit trainer.batch_size=3",
         ("takes samples in groups of 2", "multiple of 2")),
    Case("one output for an image", "evaluate cycle metric=translation_diversity", ("model=pix2pix_noise or drit",)),
    Case(
        "packs that do not fill",
        "train dataset=ring model=pacgan network=mlp_points model.packing=3 trainer.batch_size=64",
        ("multiple of 3",),
    ),
    Case(
        "unrolling an optimizer without written steps",
        "train dataset=ring model=unrolled network=mlp_points optimizer=rmsprop",
        ("RMSprop", "optimizer=adam"),
    ),
    Case("slope of no cost", "train loss=gls_gan loss.adversarial.slope=2", ("needs a slope of at most 1",)),
    Case("file for a result", "reproduce ring out=photos/0.png", ("0.png is a file; name a folder",)),
    Case("no images to read", "bench data root=nope", ("root=nope: no such folder",)),
    Case("broken images to read", "bench data root=text", ("root=text: text/a.jpg: not an",), setup=text_as_jpg),
    Case("seeds that are words", "reproduce ring seeds=a,b", ("whole numbers",)),
    # -- runs
    Case("a file of a run", "resume run/checkpoints/last.pt", ("is a file; the run is run",)),
    Case("misspelled run", "resume rn", ("did you mean 'run'",)),
    Case("another group for a resumed run", "resume run dataset=grid", ("groups such as dataset cannot change",)),
    Case("another model for a resumed run", "resume run model=wgan", ("groups such as model cannot change",)),
    Case("folder without a run", "resume photos", ("photos holds no run",)),
    Case("resumed run with another network", "resume run model.latent_dim=3", ("keeps its model",)),
    Case("resume of a finished run", "resume run", ("has finished its 2 iterations", "trainer.iterations=N")),
    Case("directory that holds a run", "train {points} hydra.run.dir=run", ("already holds a run", "gan resume run")),
    Case("second process on a run", "resume busy trainer.iterations=4", ("another process",), setup=locked),
    Case("misspelled checkpoint", "sample run checkpoint=nope", ("no checkpoint 'nope'", "available: last")),
    Case("truncated checkpoint", "resume cut trainer.iterations=4", ("not a whole checkpoint",), setup=truncated),
    Case("foreign checkpoint", "sample foreign", ("was not written by gan",), setup=foreign),
    Case("older checkpoint", "sample older", ("checkpoint format 0", "provenance.json"), setup=older),
    Case("checkpoint of iteration -5", "resume negative", ("its iteration is -5",), setup=negative_iteration),
    Case("provenance.json of another shape", "sample listed", ("holds no keys",), setup=listed_provenance),
    Case("tag in config.yaml", "resume tagged", ("line 1: the tag", "only plain YAML"), setup=tagged_config),
    Case("checkpoint of another model", "sample mixed", ("does not fit the networks",), setup=another_model),
    Case("garbage in config.yaml", "resume garbage", ("config.yaml is not a run's config",), setup=garbage_config),
    Case("half of a config.yaml", "sample headless", ("no key 'trainer'",), setup=headless_config),
    # -- disks
    Case("folder that cannot be made", "train {points} hydra.run.dir=/proc/none/x", ("cannot make", "hydra.run.dir")),
    Case("read-only disk", "train {points} hydra.run.dir=fixed/run", ("cannot make", "Read-only"), setup=read_only),
    Case("output on a read-only disk", "sample run out=fixed/o", ("fixed/o", "Read-only"), setup=read_only),
    Case("read-only run", "resume sealed trainer.iterations=4", ("Read-only", "sealed"), setup=read_only_run),
    Case("score of a read-only run", "evaluate sealed metric=modes", ("Read-only", "sealed"), setup=read_only_run),
    Case("full disk", "train {points} hydra.run.dir=full/run", ("No space left",), setup=full),
    Case("images on a full disk", "sample run out=full", ("No space left", "full/grid.png"), setup=full),
    Case("comparison on a full disk", "compare run out=full", ("full/compare.csv: No space", "out=DIR"), setup=full),
    Case("folder that may not be read", "evaluate real=sealed fake=photos", ("sealed: Permission denied",),
         setup=unreadable),
    Case("training on a folder that may not be read", "train {images} dataset.root=sealed",
         ("sealed: Permission denied",), setup=unreadable),
    Case(
        "disk that a checkpoint fills",
        "train {points} hydra.run.dir=disk/run trainer.iterations=900 trainer.keep_checkpoints=900",
        ("No space left", "gan resume"),
        2,
        small_disk,
        ("disk",),
        last_is_whole,
    ),
    Case(
        "disk that the log fills",
        "train {points} hydra.run.dir=disk/run trainer.iterations=9000 trainer.sample_every=2",
        ("No space left", "gan resume"),
        2,
        small_disk,
        ("disk",),
        last_is_whole,
    ),
    # -- numbers that run away
    Case(
        "loss that is not finite",
        "train {points} optimizer.lr=1e30 trainer.iterations=50",
        ("'g/adversarial' is ", " at iteration 1", "a lower optimizer.lr"),
        3,
        left=("new",),
    ),
]


# -- the table


def run(line: str) -> tuple[int, str]:
    """Status and standard error of a command, in this process."""
    words = line.format(**SHORT).split()
    given = [word for word in words if "=" in word]  # a key that comes again replaces the first
    last = {word.partition("=")[0]: word for word in given}
    words = [word for word in words if "=" not in word or last[word.partition("=")[0]] is word]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as err:
        status = main.main(words)
    return status, err.getvalue()


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every path below a folder with its size and time."""
    stats = {path: path.lstat() for path in folder.rglob("*")}
    return {
        path.relative_to(folder).as_posix(): (0, 0) if path.is_dir() else (stat.st_size, stat.st_mtime_ns)
        for path, stat in stats.items()
    }


def changed(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> set[str]:
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def furnish(here: Path) -> None:
    """Put images and a run of each kind into the working folder."""
    for number in range(5):
        save_image(here / f"photos/{number}.png")
    for name in ("empty", "cache"):
        (here / name).mkdir()
    for name, settings in {"run": POINTS, "cycle": CYCLE}.items():
        assert run(f"train {settings} hydra.run.dir={name}") == (0, "")


@contextlib.contextmanager
def workplace(here: Path) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RANK", "WORLD_SIZE", "GAN_DEBUG"):
            patch.delenv(name, raising=False)
        patch.setenv("GAN_CACHE", str(here / "cache"))
        patch.setenv("GAN_DATA", str(here / "data"))
        patch.chdir(here)
        furnish(here)
        yield here


@contextlib.contextmanager
def outcome(case: Case, here: Path) -> Iterator[tuple[int, str, set[str]]]:
    """Status, standard error and changed paths of a case. What it made is deleted afterwards."""
    kept = set(os.listdir(here))
    try:
        with contextlib.ExitStack() as stack:
            if case.setup:
                case.setup(here, stack)
            before = tree(here)
            status, err = run(case.line)
            yield status, err, changed(before, tree(here))
    finally:
        for name in set(os.listdir(here)) - kept:
            shutil.rmtree(here / name)


def row(case: Case, here: Path, status: int, err: str, new: set[str]) -> str:
    """The line of docs/ERRORS.md for a case and its outcome."""
    message = err.strip().removeprefix("gan: ").replace(f"{here}/", "").replace("|", "\\|")
    tops = sorted({path.split("/")[0] for path in new})
    left = {"new": "the run", "cache": "decoded images", "disk": "the run with its last complete checkpoint"}
    kept = ", ".join(left.get(top, f"`{top}`") for top in tops) or "nothing"
    command = case.line.format(**SHOWN)
    return f"| {case.what} | `gan {command}` | {message or 'works'} | {status} | {kept} |"


def document() -> str:
    """The text of docs/ERRORS.md."""
    rows = []
    with tempfile.TemporaryDirectory() as folder, workplace(Path(folder).resolve()) as here:
        for case in CASES:
            with outcome(case, here) as (status, err, new):
                rows.append(row(case, here, status, err, new))
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    write_text(PAGE, document())
    print(f"{PAGE} written")
