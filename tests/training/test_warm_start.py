"""`trainer.init_from`: which weights a run starts from, and what it says; `trainer.freeze`: which weights stay."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from helpers import TINY_RING, refused, same_checkpoints
from torch import Tensor

from gan_cli.cli.main import main
from gan_cli.training import checkpoint

WIDE = ["model.generator.widths=[8]", "model.discriminator.widths=[8]"]
SECOND = ["train", *TINY_RING, *WIDE, "seed=5", "trainer.log_every=1", "trainer.iterations=3", "hydra.run.dir=second"]


def weights(run: str | Path, name: str = "last") -> dict[str, Tensor]:
    return checkpoint.load(Path(run) / f"checkpoints/{name}.pt")["system"]


def begin(monkeypatch: pytest.MonkeyPatch, *overrides: str) -> None:
    """Run `second` up to its first iteration, before which it is interrupted."""

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("gan_cli.training.trainer.Trainer.iterate", stop)
        assert main([*SECOND, *overrides]) == 130


def test_all_networks_start_from_the_run(run: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    before = weights(run)
    files = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    begin(monkeypatch, f"trainer.init_from={run}", "loss=hinge", "optimizer.lr=0.1")
    state = checkpoint.load(Path("second/checkpoints/last.pt"))
    assert state["iteration"] == 0 and all(torch.equal(state["system"][key], before[key]) for key in before)
    averages = checkpoint.load(run / "checkpoints/last.pt")["ema"]["generator"]
    assert all(torch.equal(state["ema"]["generator"][key], averages[key]) for key in averages)
    assert not torch.equal(averages["layers.0.weight"], before["generator.layers.0.weight"])
    assert "starting from run/checkpoints/last.pt, iteration 2: generator 4 of 4 tensors, discriminator 4 of 4" in (
        capsys.readouterr().out
    )
    assert files == {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}


def test_some_networks_and_what_does_not_fit(run: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    before = weights(run)
    begin(monkeypatch, f"trainer.init_from={run}/checkpoints/last.pt", "trainer.init_networks=[discriminator]",
          "model.discriminator.widths=[8,8]")  # fmt: skip
    out = capsys.readouterr().out
    assert "discriminator 2 of 6 tensors" in out and "not chosen: generator" in out
    reasons = "discriminator.layers.3.weight: shape (1, 8) there and (8, 8) here"
    assert reasons in out and "discriminator.layers.5.weight: not in the checkpoint" in out
    after = weights("second")
    assert torch.equal(after["discriminator.layers.1.weight"], before["discriminator.layers.1.weight"])
    assert not torch.equal(after["generator.layers.0.weight"], before["generator.layers.0.weight"])


def test_the_source_is_in_the_provenance_and_not_needed_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256((run / "checkpoints/last.pt").read_bytes()).hexdigest()
    line = [*SECOND, f"trainer.init_from={run}", "trainer.checkpoint_every=1"]
    assert main(line) == 0
    shutil.move("second", "whole")
    begin(monkeypatch, *line[len(SECOND) :])
    fact = json.loads(Path("second/provenance.json").read_text())["initialized"]
    assert fact["sha256"] == digest and fact["iteration"] == 2 and fact["skipped"] == {}
    assert fact["networks"] == {"generator": 4, "discriminator": 4}
    shutil.rmtree(run)
    assert main(["resume", "second"]) == 0
    assert same_checkpoints(Path("second"), Path("whole"))


def test_a_run_without_a_checkpoint_does_not_open_the_source(run: Path, capsys) -> None:
    assert main([*SECOND, f"trainer.init_from={run}"]) == 0
    Path("second/checkpoints/last.pt").unlink()
    assert "only `gan train` opens trainer.init_from=run" in refused(capsys, "resume", "second")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.init_from=rum"], "trainer.init_from: rum does not exist"),
        (["trainer.init_from=run/config.yaml"], "it is a run directory or a checkpoint, NAME.pt"),
        (["trainer.init_from=run", "trainer.init_networks=[generater]"], "no network 'generater'; did you mean"),
        (["trainer.init_from=run", "model.generator.widths=[9]", "model.discriminator.widths=[9]",
          "model.latent_dim=3", "trainer.init_networks=[generator]"], ""),
        (["trainer.init_networks=[generator]"], "trainer.init_networks chooses from trainer.init_from=RUN"),
        (["trainer.freeze=[discriminator]"], "nothing of network 'discriminator' is left for turn 'd' to train"),
        (["trainer.freeze=[discriminator.layers.9]"], "no network or layer 'discriminator.layers.9'; did you mean"),
        (["trainer.freeze=3"], "trainer.freeze"),
        (["model=unrolled", "trainer.freeze=[discriminator.layers.1]"], "the unrolled steps train all of D"),
    ],
)  # fmt: skip
def test_mistakes(overrides: list[str], message: str, run: Path, capsys) -> None:
    if not message:  # the bias of the last layer still fits
        assert main([*SECOND, *overrides]) == 0
        assert "generator 1 of 4 tensors" in capsys.readouterr().out
        return
    assert message in refused(capsys, *SECOND, *overrides)
    assert not Path("second").exists()


def test_frozen_weights_stay_and_the_others_are_trained(run: Path) -> None:
    assert main([*SECOND, f"trainer.init_from={run}", "trainer.freeze=[discriminator.layers.1,generator.layers.0.bias]",
                 "optimizer.lr=0.1", "loss=wgan", "+optimizer.weight_decay=0.1"]) == 0  # fmt: skip
    before, after = weights(run), weights("second")
    kept = {key for key in before if torch.equal(before[key], after[key])}
    assert kept == {"discriminator.layers.1.weight", "discriminator.layers.1.bias", "generator.layers.0.bias"}


def test_a_frozen_run_is_resumed_to_the_bit(run: Path) -> None:
    line = [*SECOND, "trainer.freeze=[discriminator.layers.1]", "trainer.checkpoint_every=1"]
    assert main(line) == 0
    shutil.move("second", "whole")
    assert main([*line, "trainer.iterations=2"]) == 0
    assert main(["resume", "second", "trainer.iterations=3"]) == 0
    assert same_checkpoints(Path("second"), Path("whole"))


def test_frozen_weights_stay_where_both_turns_share_the_samples(run: Path) -> None:
    """The graph of the shared samples is made while all weights of G are tracked."""
    assert main([*SECOND, "model=dcgan", f"trainer.init_from={run}", "trainer.freeze=[generator.layers.0]",
                 "model.share_fakes=true", "optimizer.lr=0.1", "+optimizer.weight_decay=0.1"]) == 0  # fmt: skip
    before, after = weights(run), weights("second")
    assert {key for key in before if torch.equal(before[key], after[key])} == {
        "generator.layers.0.weight", "generator.layers.0.bias"
    }  # fmt: skip
