"""Every swept value is built before the first trial starts: what cannot be trained is named, and nothing is written."""

import json
import shlex
from pathlib import Path

import pytest
from helpers import ROOT, TINY_RING, composed, run_gan

from gan_cli.cli import main
from gan_cli.experiments import value_checks
from gan_cli.training import build

SMALL = ["trainer.batch_size=4", "trainer.sample_count=4", "trainer.device=cpu", "trainer.iterations=1"]


@pytest.mark.parametrize(
    ("line", "messages"),
    [
        ("loss.critic_steps=1,-1", ["(sweep: loss.critic_steps=-1)"]),
        ("dataset.image_size=16,33", ["(sweep: dataset.image_size=33)"]),
        # the first value is the wrong one, and does not spoil the seeds that were tried with it
        ("loss.critic_steps=-1,1,-2 seed=0,1", ["(sweep: loss.critic_steps=-1)", "(sweep: loss.critic_steps=-2)"]),
        ("optimizer.lr=-1,0.1 seed=range(3)", ["(sweep: optimizer.lr=-1)"]),
        ("trainer/schedule=linear,constant dataset=ring,nothing", ["(sweep: dataset=nothing)"]),
        ("dataset=image_folder dataset.root=none,nowhere", ["(sweep: dataset.root=none)", "dataset.root=nowhere)"]),
        ("model=dcgan,pix2pix dataset=shapes", ["(sweep: model=pix2pix)"]),
    ],
)
def test_every_failing_value_is_named_and_nothing_is_written(line, messages, refused_at_once):
    lines = refused_at_once("train", "-m", *SMALL, *line.split(), lines=len(messages)).splitlines()
    assert all(message in text for message, text in zip(messages, lines, strict=True)), lines


def test_what_all_trials_share_is_named_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main.main(["train", "-m", *SMALL, "model=pix2pix", "dataset=shapes", "seed=0,1,2"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "(sweep" not in error and "is trained on Pairs" in error


def test_a_value_that_works_only_with_another_one_is_run_and_the_rest_is_announced(tmp_path):
    line = ["train", "-m", *SMALL, "hydra.sweep.dir=s", "dataset=shapes,ring",
            "network=dcgan,mlp_points"]  # fmt: skip
    status, output = run_gan(line, tmp_path, fork_trials=True)
    assert status == 1 and "s: 3 of 4 ok" in output
    notes = [text for text in output.splitlines() if text.startswith("note: ") and " will fail: " in text]
    assert len(notes) == 1 and notes[0].startswith("note: dataset=ring network=dcgan will fail: model.generator: ")


def test_few_trials_are_built_and_none_that_exists(tmp_path, monkeypatch):
    """As many as values, not as combinations; seeds alone need none; a sweep that is continued builds nothing."""
    built = []
    prepare = value_checks.run.prepare
    monkeypatch.setattr(value_checks.run, "prepare", lambda cfg, *more: built.append(cfg) or prepare(cfg, *more))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gan_cli.experiments.sweep.Sweep.run_in_pool", lambda self: list(self.trials()))
    line = ["train", "-m", *TINY_RING, "optimizer.lr=1,2,3", "trainer.batch_size=4,8,16", "seed=range(20)"]
    assert main.main([*line, "hydra.sweep.dir=s"]) == 0
    assert len(built) == 5 and not list(Path("s").glob("*/*"))
    assert json.loads(Path("s/sweep.json").read_text())["overrides"][-1] == "seed=range(20)"


def test_the_summary_names_each_warning_once_with_its_trials(tmp_path):
    """The penalty's warning is in the output of the trials only, where nobody looks."""
    line = ["train", "-m", *SMALL, "dataset.image_size=16", "model.generator.width=4", "model.discriminator.width=4",
            "loss=wgan_gp,lsgan", "seed=0,1", "hydra.sweep.dir=s"]  # fmt: skip
    status, output = run_gan(line, tmp_path, fork_trials=True)
    assert status == 0
    warnings = [text for text in output.splitlines() if text.startswith("warning: loss.penalty takes the gradient")]
    assert len(warnings) == 1 and warnings[0].endswith("(0-loss_wgan_gp-seed_0, 1-loss_wgan_gp-seed_1)")
    assert "try model.discriminator.norm=layer" in warnings[0]


def test_the_sweep_of_the_readme_compares_fairly():
    """Its critic has a norm that suits the gradient penalty."""
    lines = (ROOT / "README.md").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("gan train -m") and "loss=wgan_gp," in line]
    words = [word for word in shlex.split(line, comments=True)[3:] if not word.startswith(("loss=", "seed="))]
    assert not build.warn_batchnorm_penalty(build.system(composed(*words, "loss=wgan_gp")))
