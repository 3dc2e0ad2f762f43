"""Make runs_0_1.tar.xz and expected.json with version 0.1.

The runs of the archive were made by version 0.1 of this program, revision bf5bd1d, before modules, keys, metrics and
networks were renamed. tests/test_stored_runs.py resumes them with today's code. The files cannot be made again by
today's code; to make them by that revision:

    git worktree add ../gan-0.1 bf5bd1d
    OMP_NUM_THREADS=1 PYTHONPATH=../gan-0.1 python tests/stored_runs/make.py          # all, some minutes
    OMP_NUM_THREADS=1 PYTHONPATH=../gan-0.1 python tests/stored_runs/make.py dcgan    # try one run, print its size
    OMP_NUM_THREADS=1 PYTHONPATH=../gan-0.1 python tests/stored_runs/make.py expected # expected.json of the archive

Each command of COMMANDS is run as typed in an empty folder, so that a run holds relative paths only. What a run holds
of the machine that made it is replaced, and large weights are thinned out (see `thin`), before expected.json is
measured.
"""

import io
import json
import os
import re
import sys
import tarfile
import tempfile
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import machine, measure
from PIL import Image

HERE = Path(__file__).parent
ARCHIVE = HERE / "runs_0_1.tar.xz"
COMMON = """trainer.iterations=2 trainer.ema_decay=0.9 trainer.log_every=1 trainer.sample_every=2
    trainer.checkpoint_every=1 trainer.evaluate_every=1 trainer.evaluate_count=8 trainer.sample_count=2
    trainer.device=cpu trainer.batch_size=4"""
POINTS = "dataset=ring model.generator.widths=[4,4] metric=[modes] trainer.best_by=modes +evaluate={metric:[modes],n:8}"
GEN = "dataset.image_size=8 model.latent_dim=3 model.generator.width=2 model.discriminator.width=2"
FID = """extractor=pixels metric=[fid] metric.fid.allow_singular=true trainer.best_by=FID
    +evaluate={metric:[fid],n:8,extractor:pixels,settings:['metric.fid.allow_singular=true']}"""
KID = """extractor=pixels metric=[kid] metric.kid.subsets=2 metric.kid.size=4 trainer.best_by=KID
    +evaluate={metric:[kid],n:8,extractor:pixels}"""
ERROR = "metric=[error] trainer.best_by=error +evaluate={metric:[error],n:8}"
PARTNER = """metric=[partner] trainer.best_by=x2y trainer.evaluate_count=2
    +evaluate={metric:[partner],n:2,settings:['metric.partner.style=false']}"""
SHARP = """metric=[sharpness,kid] extractor=pixels metric.kid.subsets=2 metric.kid.size=2 trainer.best_by=KID
    trainer.evaluate_count=4 +evaluate={metric:[sharpness],n:2}"""
DISCO = "dataset.image_size=16 trainer.batch_size=2"
MNIST = "dataset.root=data/mnist dataset.image_size=8"
PIX2PIXHD = "dataset.image_size=32 model.D.width=2 model.D.n_layers=1 trainer.batch_size=1 model.fixed_iterations=1"
HD_SCENE = "model.global_iterations=1 metric=[segmentation] trainer.best_by=mean_iou trainer.evaluate_count=2 " \
    "+evaluate={metric:[segmentation],n:2}"


def widths(width: int, *networks: str) -> str:
    return " ".join(f"model.{name}.width={width}" for name in networks)


RUNS = {
    # images from noise
    "dcgan": f"model=dcgan {GEN} model.one_fake=true trainer.cpu_kernels=true {FID}",
    "dcgan_plain": f"model=dcgan {GEN} model.one_fake=false trainer.cpu_kernels=false {KID} trainer.schedule=null",
    "dcgan_fakes": f"model=dcgan {GEN} model.one_fake=false +model.fakes_per_real=2 loss=r1 {FID}",
    "lsgan": f"model=lsgan {GEN} {FID}",
    "wgan": f"model=wgan {GEN} loss.critic_steps.high=2 loss.critic_steps.low=1 {KID}",
    "wgan_gp": f"model=wgan_gp {GEN} loss.critic_steps=1 {FID} trainer/schedule=linear",
    "wgan_div": f"model=wgan_gp network=wgan_mlp loss=wgan_div loss.critic_steps=1 {GEN} {FID}",
    "dragan": f"model=dcgan loss=dragan {GEN} {FID}",
    "sngan": f"model=sngan loss=hinge {GEN} {FID}",
    "unrolled": f"model=unrolled {GEN} model.unroll_steps=1 {FID}",
    "began": f"""model=began dataset.image_size=16 model.latent_dim=3 {widths(2, "generator", "discriminator")}
        model.discriminator.code_dim=3 {KID}""",
    "ebgan": f"model=ebgan {GEN} model.discriminator.halvings=1 {FID}",
    "ebgan_pt": f"""model=ebgan_pt network=ebgan_mlp dataset.image_size=8 model.latent_dim=3 model.generator.layers=2
        model.generator.size=4 model.discriminator.size=4 {FID}""",
    "gan_grid": f"""model=sgan network=gan_grid_mlp dataset.image_size=8 model.latent_dim=3 model.generator.layers=2
        model.generator.size=4 model.discriminator.size=4 {FID}""",
    "sgan": f"""model=sgan dataset=mnist {MNIST} model.latent_dim=3 model.generator.widths=[4,4] optimizer=sgd
        model.discriminator.units=4 model.discriminator.pieces=2 trainer/schedule=exponential
        trainer.momentum={{_target_:gan_cli.schedules.MomentumRamp,start:0.5,end:0.7,length:4}} metric=[parzen]
        metric.parzen.validation=4 trainer.best_by=parzen +evaluate={{metric:[parzen],n:8}}""",
    "gmmn": """model=gmmn dataset.image_size=8 model.latent_dim=3 model.generator.widths=[4,4] optimizer.lr=0.1
        trainer.momentum={_target_:gan_cli.schedules.MomentumRamp,start:0.5,end:0.7,length:4} metric=[parzen_fgan]
        metric.parzen_fgan.folds=2 trainer.best_by=kde +evaluate={metric:[parzen_fgan],n:8}""",
    "gmmn_ae": f"""model=gmmn_ae dataset.image_size=8 model.latent_dim=3 model.generator.widths=[4,4]
        model.generator.code_dim=3 model.encoder.width=4 model.decoder.width=4 model.pretrain=3 {FID}""",
    "mmd_gan": f"model=mmd_gan {GEN} {widths(2, 'decoder')} loss.critic_steps.high=2 loss.critic_steps.low=1 {KID}",
    "mmd_gan_rq": f"model=mmd_gan_rq {GEN} model.discriminator.features=3 loss.critic_steps=1 {KID}",
    "repulsive": f"model=sngan network=repulsive loss=repulsive {GEN} model.discriminator.features=3 {KID}",
    "fgan": """model=fgan dataset.image_size=8 model.latent_dim=3 model.generator.widths=[4,4]
        model.discriminator.widths=[4,4] loss=fgan_gan metric=[decision,one_nn] trainer.best_by=one_nn_gap
        extractor=pixels +evaluate={metric:[decision],n:8}""",
    "fgan_single_step": """experiment=fgan_gaussian trainer.ema_decay=0.9 model.discriminator.widths=[4,4]
        metric=[gaussian_fit] trainer.best_by=kl""",
    "infogan": "experiment=infogan_mnist dataset.root=data/mnist dataset.image_size=4 model.noise_dim=3 "
    "metric=[codes] metric.codes.fit=8 trainer.best_by=L_I trainer.ema_decay=0.9 evaluate.n=8 "
    "optimizer=sgd optimizer.lr=0.01 optimizer.momentum=0.0",
    "pacgan": f"""model=pacgan network=pacgan_points {POINTS} model.discriminator.units=4
        model.discriminator.pieces=2 model.one_fake=true""",
    "pacgan_images": f"model=pacgan {GEN} {FID}",
    "stacked": f"""model=dcgan network=stacked_small dataset=stacked_mnist dataset.root=data/mnist dataset.size=50
        model.latent_dim=3 trainer.batch_size=2 {KID}""",
    "classified": f"""model=dcgan dataset=mnist {GEN} {MNIST} extractor=classifier metric=[iprime,is,mode_score,ndb]
        metric.ndb.bins=2 metric.is.splits=1 trainer.best_by=I_prime trainer.evaluate_count=20
        +evaluate={{metric:[iprime,mode_score],n:8,extractor:classifier,settings:['metric.iprime.reference=test']}}""",
    # with labels
    "cgan_digits": f"""model=cgan dataset=mnist {GEN} {MNIST} extractor=classifier optimizer=sgd
        metric=[conditional_accuracy] trainer.best_by=accuracy
        +evaluate={{metric:[conditional_accuracy],n:8,extractor:classifier}}""",
    "acgan": f"model=acgan {GEN} model.fakes_per_real=2 {ERROR}",
    "cgan": f"model=cgan {GEN} metric=[mmd] extractor=pixels trainer.best_by=MMD2 "
    "+evaluate={metric:[mmd],n:8,extractor:pixels}",
    "cgan_projection": f"model=cgan network=projection_dcgan loss=hinge {GEN} {FID}",
    "cls_gan": f"model=cls_gan {GEN} {ERROR}",
    "msgan": f"model=msgan {GEN} {FID}",
    "ladder": f"model=ladder model.discriminator.widths=[4,4] dataset.image_size=8 {ERROR}",
    "ladder_mnist": f"""model=ladder dataset=mnist_labels {MNIST} dataset.num_labels=10
        model.discriminator.widths=[4,4] {ERROR}""",
    "ebgan_ladder": f"""model=ebgan_ladder model.discriminator.widths=[4,4] dataset.image_size=8 model.latent_dim=3
        model.generator.layers=2 model.generator.size=4 {ERROR}""",
    # points
    "toy": f"model=sgan network=toy loss=relativistic {POINTS} model.discriminator.widths=[4,4] model.one_fake=false",
    "toy_average": """model=sgan network=toy loss=relativistic_average dataset=grid model.generator.widths=[4]
        model.discriminator.widths=[4] model.one_fake=true metric=[modes] trainer.best_by=high_quality
        +evaluate={metric:[modes],n:8}""",
    "toy_energy": f"""model=ebgan network=toy_energy {POINTS} model.discriminator.widths=[4,4]
        model.discriminator.code_dim=3""",
    "toy_features": f"""model=mmd_gan_rq network=toy_features loss=mmd_distance loss.critic_steps=2 {POINTS}
        model.discriminator.widths=[4,4] model.discriminator.features=3""",
    "toy_rbf": f"""model=mmd_gan_rq network=toy_features loss=mmd_rbf loss.critic_steps=1 {POINTS}
        model.discriminator.widths=[4,4] model.discriminator.features=3""",
    "toy_spectral": f"""model=sngan network=toy_spectral loss=hinge {POINTS} model.discriminator.widths=[4,4]
        trainer/schedule=linear""",
    "lsgan_ring": """model=lsgan network=lsgan_ring dataset=swissroll model.latent_dim=3 model.generator.width=4
        model.discriminator.width=4 metric=[prdc] extractor=pixels trainer.best_by=precision metric.prdc.k=2
        metric.prdc.k_density=2 +evaluate={metric:[prdc],n:8,extractor:pixels}""",
    # translation
    "cyclegan": f"""model=cyclegan loss=cyclegan dataset.image_size=12 {widths(2, "G", "F", "D_X", "D_Y")}
        model.G.blocks=1 model.F.blocks=1 model.D_X.n_layers=1 model.D_Y.n_layers=1 model.pool_size=3
        model.lambda_identity=0.5 trainer/schedule=epochs_torch trainer.batch_size=1 {PARTNER}""",
    "cyclegan_folder": f"""model=cyclegan dataset=unpaired_folder dataset.root=data/unpaired dataset.image_size=12
        {widths(2, "G", "F", "D_X", "D_Y")} model.G.blocks=1 model.F.blocks=1 model.D_X.n_layers=1
        model.D_Y.n_layers=1 trainer/schedule=epochs trainer.batch_size=1 {SHARP}""",
    "discogan": f"model=discogan {DISCO} {widths(2, 'G_AB', 'G_BA', 'D_A', 'D_B')} model.rate.length=3 {PARTNER}",
    "discogan_toy": """model=discogan network=discogan_toy dataset=mixture_domains dataset.value_range=null
        model.G_AB.widths=[4] model.G_BA.widths=[4] model.D_A.widths=[4,4] model.D_B.widths=[4,4]
        metric=[domain_modes] trainer.best_by=hit +evaluate={metric:[domain_modes],n:8}""",
    "one_way_gan": f"model=one_way_gan {DISCO} {widths(2, 'G_AB', 'D_B')} {PARTNER}",
    "recongan": f"model=recongan {DISCO} {widths(2, 'G_AB', 'G_BA', 'D_B')} model.rate.length=3 {PARTNER}",
    "drit": f"""model=drit dataset.image_size=32
        {widths(1, "content", "attribute", "generator", "D_X", "D_Y", "D2_X", "D2_Y")}
        metric=[translation_diversity] metric.translation_diversity.outputs=2 trainer.evaluate_count=2
        extractor=pixels trainer.best_by=features_x2y trainer.batch_size=2
        +evaluate={{metric:[translation_diversity],n:2,extractor:pixels}}""",
    "dualgan": f"model=dualgan loss=dualgan dataset.image_size=8 {widths(2, 'G_A', 'G_B', 'D_A', 'D_B')} "
    f"model.D_A.n_layers=1 model.D_B.n_layers=1 loss.critic_steps=1 trainer.batch_size=1 {SHARP}",
    "dualgan_code": f"model=dualgan_code loss=dualgan_gp dataset.image_size=8 "
    f"{widths(2, 'G_A', 'G_B', 'D_A', 'D_B')} trainer.batch_size=1 {SHARP}",
    "pix2pix": f"""model=pix2pix dataset.image_size=16 {widths(2, "generator", "discriminator")}
        model.discriminator.n_layers=1 model.one_fake=true trainer.batch_size=2 {PARTNER}""",
    "pix2pix_folder": f"""model=pix2pix dataset=paired_folder dataset.root=data/paired dataset.direction=BtoA
        dataset.image_size=16 {widths(2, "generator", "discriminator")} model.discriminator.n_layers=1
        model.one_fake=false trainer.batch_size=2 {PARTNER}""",
    "pix2pix_colors": f"""model=pix2pix dataset=colorization dataset.root=data/images dataset.image_size=16
        {widths(2, "generator", "discriminator")} model.discriminator.n_layers=1 model.generator.skips=false
        trainer.batch_size=2 {PARTNER}""",
    "pix2pix_noise": f"""model=pix2pix_noise loss=cyclegan dataset.image_size=16
        {widths(1, "generator", "discriminator")} model.discriminator.n_layers=1 model.discriminator.scales=1
        model.latent_dim=2 trainer.batch_size=2 {PARTNER}""",
    "pix2pixhd": f"model=pix2pixhd {PIX2PIXHD} {widths(2, 'G1')} {widths(1, 'G2')} model.G1.blocks=1 {HD_SCENE} "
    "model.D.num_D=2 model.G1.downs=1",
    "pix2pixhd_features": f"""model=pix2pixhd_features {PIX2PIXHD} {widths(2, "G1")} {widths(1, "G2", "E")}
        model.G1.blocks=1 model.G1.downs=1 model.E.downs=1 model.D.num_D=2 {HD_SCENE}""",
    "pix2pixhd_pairs": f"""model=pix2pixhd_pairs {PIX2PIXHD} dataset.image_size=16 {widths(2, "G1")}
        {widths(1, "G2")} model.G1.blocks=1 model.G1.downs=1 model.D.num_D=2 model.global_iterations=9
        model.pool_size=2 {PARTNER}""",
    # folders of images
    "label_maps": f"""model=pix2pixhd dataset=label_maps dataset.root=data/maps dataset.image_size=32 dataset.label_nc=7
        {widths(2, "G1", "D")} model.G2=null model.G1.blocks=1 model.G1.downs=1 model.D.n_layers=1 model.D.num_D=2
        model.global_iterations=0 model.fixed_iterations=0 trainer.batch_size=1 {KID.replace("=4", "=2")}""",
    "shards": f"""model=dcgan dataset=webdataset dataset.root=data/shards dataset.num_classes=3 {GEN}
        metric=[diversity] metric.diversity.pairs=4 extractor=random trainer.best_by=diversity
        +evaluate={{metric:[diversity],n:8,extractor:random}}""",
    "halves": f"""model=discogan dataset=edges2shoes_halves dataset.root=data/paired {DISCO}
        {widths(2, "G_AB", "G_BA", "D_A", "D_B")} model.rate.length=3 {SHARP}""",
    "folder": f"""model=dcgan dataset=image_folder dataset.root=data/images {GEN} metric=[memorisation]
        metric.memorisation.count=4 metric.memorisation.shown=2 metric.memorisation.k=2
        {KID.replace("[kid]", "[memorisation,kid]", 1)}""",
}
TRANSLATE = {  # the inputs that the translation models take
    "cyclegan": "photos", "cyclegan_folder": "photos", "discogan": "photos", "one_way_gan": "photos",
    "recongan": "photos", "drit": "photos", "dualgan": "photos", "dualgan_code": "photos", "pix2pix": "photos",
    "pix2pix_folder": "photos", "pix2pix_noise": "photos", "pix2pixhd": "labels", "pix2pixhd_features": "labels",
    "pix2pixhd_pairs": "photos", "label_maps": "labels", "halves": "photos", "pix2pix_colors": "photos",
}  # fmt: skip
TINY = f"""{" ".join(COMMON.split())} model=sgan dataset=ring model.generator.widths=[4]"""
POINT_NETWORKS = "model.discriminator.widths=[4]"
SWEEP = f"""train -m {TINY} model.one_fake=true {POINT_NETWORKS} metric=[modes] trainer.best_by=modes
    network=toy,toy_spectral seed=0,1 sweep.draw=3 sweep.slots=1 hydra.sweep.dir=sweep"""
# No word of the first search was renamed later; the second one searches among networks that were.
SEARCH = f"""search {TINY} model.discriminator.units=4 network=pacgan_points metric=modes trials=4 slots=1 out=search
    space.optimizer.lr=log(1e-4,1e-2)"""
SEARCH_NETWORKS = f"""search {TINY} {POINT_NETWORKS} metric=modes trials=4 slots=1 out=search_networks
    space.network=[toy,toy_spectral]"""
STOPS = {"sweep": "/1-", "search": "/2$", "search_networks": "/2$"}  # the second trial of three, the third of four


def commands() -> dict[str, list[str]]:
    """Folder -> the words after `gan`."""
    runs = {name: f"train {COMMON} {text} hydra.run.dir={name}".split() for name, text in RUNS.items()}
    several = {"sweep": SWEEP, "search": SEARCH, "search_networks": SEARCH_NETWORKS}
    return {name: _latest(words) for name, words in runs.items()} | {key: text.split() for key, text in several.items()}


def _latest(words: list[str]) -> list[str]:
    """The words without those whose key a later one sets again."""
    keys = [word.partition("=")[0] for word in words]
    return [word for i, word in enumerate(words) if keys[i] not in keys[i + 1 :]]


def gan(words: list[str], stop: str | None = None) -> tuple[int, str]:
    """Run `gan *words` of the code on PYTHONPATH in a process of its own; (exit status, output).

    stop: the end of a run's path; that run, of a sweep or a search, gets SIGTERM in its first iteration.
    """
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            status = 1
            try:
                status = _main(words, stop)
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        _, ended = os.waitpid(child, 0)
        output.seek(0)
        return os.waitstatus_to_exitcode(ended), output.read().decode()


def _main(words: list[str], stop: str | None) -> int:
    import multiprocessing

    from gan_cli import cli, loop, slots

    sys.argv = ["gan", *words]
    slots.CONTEXT = multiprocessing.get_context("fork")
    slots.PRELOAD.clear()
    agree = loop.Loop.agree

    def agree_to_stop(self: Any, received: list[int], check: bool) -> int:
        if stop and re.search(stop, str(self.run.path)) and self.trainer.iteration == 1:
            received.append(15)
        return agree(self, received, check)

    loop.Loop.agree = agree_to_stop
    return cli.main(words)


def write_data(root: Path) -> None:
    """Small folders of images and files of MNIST's format under root/data, inputs of translations under root/inputs."""
    generator = np.random.default_rng(0)

    def image(path: str, pixels: np.ndarray) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(root / path)

    def photo(width: int = 16) -> np.ndarray:
        coarse = generator.integers(0, 256, (4, width // 4, 3))
        return coarse.repeat(4, 0).repeat(4, 1)

    for i in range(6):
        image(f"data/images/{i}.png", photo())
        for part in ("trainA", "trainB", "testA", "testB"):
            image(f"data/unpaired/{part}/{i}.png", photo())
        for part in ("train", "test"):
            image(f"data/paired/{part}/{i}.png", photo(32))
        image(f"data/maps/train_img/{i}.png", photo(32).repeat(2, 0))
        image(f"data/maps/train_label/{i}.png", generator.integers(0, 7, (4, 4)).repeat(8, 0).repeat(8, 1))
    image("inputs/photos/a.png", photo(32)[:16].repeat(2, 0))
    image("inputs/labels/a.png", generator.integers(0, 7, (4, 4)).repeat(8, 0).repeat(8, 1))
    (root / "data" / "shards").mkdir()
    with tarfile.open(root / "data" / "shards" / "0.tar", "w") as tar:
        for i in range(6):
            tar.add(root / f"data/images/{i}.png", f"{i}.png", filter=plain)
            label = tarfile.TarInfo(f"{i}.cls")
            label.size = 1
            tar.addfile(label, io.BytesIO(str(i % 3).encode()))
    raw = root / "data" / "mnist" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for split, count in (("train", 40), ("t10k", 20)):
        digits = generator.integers(0, 256, (count, 7, 7)).repeat(4, 1).repeat(4, 2)
        head = np.array([0x00000803, count, 28, 28], dtype=">i4").tobytes()
        (raw / f"{split}-images-idx3-ubyte").write_bytes(head + digits.astype(np.uint8).tobytes())
        labels = (np.arange(count) % 10).astype(np.uint8)
        head = np.array([0x00000801, count], dtype=">i4").tobytes()
        (raw / f"{split}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())


def clean(folder: Path, scratch: Path) -> None:
    """Drop what is large or of one machine: events, images, locks, absolute paths; thin out large weights."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and (file.suffix == ".png" or file.name.startswith("events.") or "lock" in file.name):
            file.unlink()
        elif file.suffix in (".yaml", ".json", ".txt", ".log", ".jsonl") and file.is_file():
            text = file.read_text()
            text = text.replace(str(scratch), "/home/user/runs").replace(str(code()), "/home/user/gan")
            file.write_text(re.sub(r"(platform|system)\": \"[^\"]*", r'\1": "Linux', text))
        elif file.suffix == ".pt":
            torch.save(thin(torch.load(file, weights_only=True)), file)


def code() -> Path:
    import gan_cli

    return Path(gan_cli.__file__).parent.parent


def thin(value: Any) -> Any:
    """The state with float tensors rounded to bfloat16's digits and, above 2,000 values, all but every 32nd set to
    zero: they compress well, and a run resumes from them as from any others."""
    if isinstance(value, dict):
        return type(value)((key, thin(inner)) for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return type(value)(map(thin, value))
    if not isinstance(value, torch.Tensor) or value.dtype != torch.float32:
        return value
    rounded = value.bfloat16().float()
    if rounded.numel() > 2000:
        rounded = rounded * (torch.arange(rounded.numel()) % 32 == 0).view(rounded.shape)
    return rounded


def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """An entry of a tar without owner and time, so that equal files make an equal archive."""
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = 1_700_000_000
    info.mode = 0o755 if info.isdir() else 0o644
    return info


def pack(folder: Path, archive: Path) -> None:
    with tarfile.open(archive, "w:xz", format=tarfile.PAX_FORMAT, preset=9) as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, path.relative_to(folder), recursive=False, filter=plain)


def make(names: list[str], scratch: Path) -> None:
    """Run the commands in `scratch`."""
    os.chdir(scratch)
    os.environ["GAN_CACHE"] = str(scratch.parent / "cache")
    write_data(scratch)
    for name, words in commands().items():
        if names and name not in names:
            continue
        status, output = gan(words, STOPS.get(name))
        wanted = 143 if name in STOPS else 0
        if status != wanted:
            print(f"{name}: exit status {status}\n{output[-600:]}")
            continue
        clean(scratch / name, scratch)
        if name not in STOPS:
            assert (scratch / name / "checkpoints" / "best.pt").exists() or "best_by=null" in " ".join(words), name
        size = sum(f.stat().st_size for f in (scratch / name).rglob("*") if f.is_file())
        print(f"{name}: {size / 1024:.0f} KB", flush=True)


def expect(folder: Path) -> dict[str, Any]:
    """What version 0.1 does with the runs in `folder`, which they leave changed."""
    os.chdir(folder)
    runs = {}
    for name in RUNS:
        inputs = Path("inputs", TRANSLATE[name]) if name in TRANSLATE else None
        runs[name] = {"inputs": inputs and str(inputs), **measure(Path(name), inputs, gan)}
    return {"made_by": "version 0.1, revision bf5bd1d", "machine": machine(), "runs": runs}


def main() -> None:
    torch.set_num_threads(1)
    import gan_cli.runner  # so that the processes need not import it  # noqa: F401

    names = sys.argv[1:]
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary, "runs")
        scratch.mkdir()
        if names == ["expected"]:
            os.environ["GAN_CACHE"] = str(scratch.parent / "cache")
            with tarfile.open(ARCHIVE) as archive:
                archive.extractall(scratch, filter="data")
        else:
            make(names, scratch)
            if names:
                return
            pack(scratch, ARCHIVE)
        found = expect(scratch)
        (HERE / "expected.json").write_text(json.dumps(found, indent=1) + "\n")
    print(f"{ARCHIVE.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
