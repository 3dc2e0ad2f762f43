"""What is refused before a run directory is made, and what a run that cannot begin leaves behind."""

from pathlib import Path

import pytest

from gan_cli.cli.main import main
from gan_cli.training import run
from gan_cli.utils.errors import Busy

TOY = ["train", "network=mlp_points", "dataset=ring", "trainer.iterations=2", "hydra.run.dir=run"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hydra.run.dir="], "hydra.run.dir has no value"),
        (["hydra.run.dir=''"], "hydra.run.dir has no value"),
        (["dataset=image_folder", "dataset.root="], "dataset.root has no value"),
        (["seed= "], "seed has no value; give one, or seed=null for none"),
        (["trainer/schedule=linear", "trainer.schedule.begin=2"], "trainer.schedule: "),
        (["trainer/schedule=exponential", "trainer.schedule.factor=0"], "trainer.schedule: "),
        (["trainer.schedule=linear"], "write trainer/schedule=linear"),
        (["trainer/schedule=linear", "~trainer.schedule._target_"], "trainer.schedule has no _target_"),
        (["trainer.schedule=5"], "trainer.schedule has no _target_"),
        (["optimizer=sgd", "trainer.momentum_schedule={a:1}"], "trainer.momentum_schedule has no _target_"),
        (["model.noise._target_=gan_cli.utils.random.Uniform", "+model.noise.low=5"], "low=5 must be below high=1"),
        (["extractor=inception", "~extractor._target_"], "extractor has no _target_"),
        (["~loss._target_"], "loss has no _target_"),
        (["loss=[[[]]]"], "cannot use 'loss=[[[]]]': a group takes the name of one of its choices"),
        (["model=cyclegan", "dataset.root=photos"], "reads no folder; your own images are dataset=image_folder, "),
        (["+loss._partial_=-1"], "loss._partial_: only true is allowed"),
        (["optimizer.lr=1e39"], "optimizer.lr=1e+39 does not fit into a float32"),
        (["trainer.iterations=9223372036854775808"], "does not fit into 64 bits"),
        (["loss.critic_steps=0"], "critic_steps lies in [1, 1000], not 0"),
        (["loss.critic_steps=1.5"], "loss.critic_steps must be a whole number"),
        (["loss.adversarial=null"], "loss.adversarial must be AdversarialLoss, not None"),
        (["loss=wgan_gp", "loss.penalty=foo"], "loss.penalty must be "),
        (["loss=wgan", "loss.constraint.limit=-1"], "limit is a positive number, not -1"),
        (["loss=wgan_gp", "loss.penalty.weight=-1"], "penalty.weight is 0 or more, not -1"),
        (["loss=r1", "loss.penalty.gamma=-0.5"], "loss.penalty.gamma is 0 or more, not -0.5"),
        (["modules=nope"], "modules=nope does not exist: no module 'nope'"),
        (["modules=[json,nope.losses]"], "modules=nope.losses does not exist: no module 'nope'"),
        (["model=../model/dcgan"], "a choice is a name without folders and ending; write model=dcgan"),
        (["model=dcgan.yaml"], "write model=dcgan"),
        (["loss=.//wgan"], "write loss=wgan"),
        (["metric=[modes,../metric/fid]"], "metric=../metric/fid: a choice is a name"),
        (["loss=../../mine"], "no loss/../.. 'mine'"),
        (["dataset.radius=0"], "radius is a positive number, not 0"),
        (["metric=[modes]", "metric.modes.radius=-1"], "metric.modes.radius must be positive, not -1"),
        (["-m", "seed=0,1"], "the folder of a sweep is hydra.sweep.dir="),
        (["model.generator.widths=[]"], "model.generator.widths=[] is an empty list; give it values"),
        (["network=mlp_points_sn", "model.discriminator.widths=[]"], "model.discriminator.widths=[] is an empty list"),
        (["=5"], "'=5' names no key: write key=value"),
        (["optimizer.betas=[0.5]"], "a list of 2 values, each a number, not [0.5]"),
    ],
)
def test_refused_and_nothing_is_left(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*TOY, *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and "unexpected" not in error
    assert list(tmp_path.iterdir()) == []


def test_a_network_without_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    widths = [f"model.{name}.width=4" for name in ("content", "attribute", "generator", "D_X", "D_Y", "D2_X", "D2_Y")]
    assert main(["train", "model=drit", *widths, "model.D_Y.scales=-1", "hydra.run.dir=run"]) == 2
    assert "network 'D_Y' has no weights" in capsys.readouterr().err and list(tmp_path.iterdir()) == []


def test_too_large_for_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*TOY, "trainer.batch_size=1048576", "model.generator.widths=[65536]"]) == 2
    error = capsys.readouterr().err
    assert "no memory for trainer.batch_size=1048576" in error and "run and start again" in error


@pytest.mark.parametrize(("error", "stays"), [(Busy("another process trains it"), True), (OSError("no"), False)])
def test_the_loser_of_a_race_removes_nothing(
    error: Exception, stays: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes find no directory; the other one holds the lock and has not written its provenance yet."""
    monkeypatch.chdir(tmp_path)

    def lost(prepared: object, run_dir: Path, *rest: object) -> None:
        (run_dir / "samples").mkdir(parents=True)
        raise error

    monkeypatch.setattr(run, "train", lost)
    assert main(TOY) == 2
    assert (tmp_path / "run/samples").exists() is stays
