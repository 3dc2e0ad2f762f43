"""Learning from end to end: two losses find the modes of the ring in seconds."""

from pathlib import Path

import pytest

from gan_cli.cli.main import main


@pytest.mark.parametrize("loss", [["loss=non_saturating"], ["loss=wgan_gp", "loss.penalty.weight=0.1"]])
def test_learns_the_ring(
    loss: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["train", "experiment=ring", *loss, "trainer.iterations=600", "dataset.std=0.05", "trainer.device=cpu"]
    assert main([*words, "hydra.run.dir=run"]) == 0
    assert main(["evaluate", "run", "metric=modes", "n=2500"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("modes:"))
    words = line.split()
    modes, share = float(words[2]), float(words[4])
    assert modes >= 7 and share > 0.5, line
