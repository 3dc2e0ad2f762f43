"""`gan compare ... histogram=`: bins counted by hand, conditions, and the score that is counted."""

import csv

import pytest
from helpers import FID, make_run
from PIL import Image

from gan_cli.cli.main import main
from gan_cli.evaluation.compare import compare
from gan_cli.evaluation.histogram import edges, shares
from gan_cli.evaluation.run_settings import satisfies
from gan_cli.training.run_history import read
from gan_cli.utils.errors import GanError


def test_bins_by_hand():
    bounds = edges([[0.05, 0.1, 0.3], [0.29999]], 0.1)
    assert bounds == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert shares([0.05, 0.1, 0.3, 0.29999], bounds) == [0.25, 0.25, 0.25, 0.25]  # [a, b): 0.1 is in the second
    assert shares([0.3], edges([[0.7]], 0.1)) == [0, 0, 0, 1, 0, 0, 0, 0]  # 0.3 < 3 * 0.1, and yet
    assert edges([[-0.5, 1.0]], 1.0) == [-1, 0, 1, 2]
    assert len(edges([[0.0, 40.0]], None)) == 22 and edges([[0.0]], None) == [0, 1]
    with pytest.raises(GanError, match="more than 10,000 bins"):
        edges([[1e9]], 0.1)


@pytest.fixture
def sweeps(tmp_path):
    """Two sweeps whose last FID is 0.05, 0.15, 0.16 (an earlier one was better) and 0.95, none."""
    for number, score in enumerate([0.05, 0.15, 0.16]):
        make_run(tmp_path / "a" / f"{number}-x", lr=0.1 * (number + 1), logged=(0.01, score), losses=(1, 1))
    make_run(tmp_path / "b" / "0-x", records=[("fid", {FID: 0.95}, {})], losses=(1, 1))
    make_run(tmp_path / "b" / "1-x", lr=9.0, losses=(1, 1))
    return tmp_path


def test_the_spread_of_each_folder(sweeps, capsys, monkeypatch):
    monkeypatch.chdir(sweeps)
    assert main(["compare", "a", "b", "histogram=FID", "bin_width=0.1", "out=o"]) == 0
    out = capsys.readouterr().out
    assert "a: 3 runs, median FID 0.15, 33.3 % below 0.1, all from 0.05 to 0.16" in out
    assert "b: 1 runs, median FID 0.95, 0.0 % below 0.1, all from 0.95 to 0.95" in out
    with open("o/histogram.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["a"]) for row in rows] == pytest.approx([1 / 3, 2 / 3] + [0] * 8)
    assert [float(row["b"]) for row in rows] == [0] * 9 + [1]
    assert (rows[0]["from"], rows[0]["to"]) == ("0", "0.1")
    with Image.open("o/histogram.png") as image:
        assert image.size[0] > 300


def test_conditions_choose_runs(sweeps, capsys):
    run = read(sweeps / "a" / "1-x")  # optimizer.lr 0.2, loss.penalty.weight 1
    assert satisfies(run, ["lr<=0.2", "penalty.weight=1", "optimizer.lr>=0.2"])
    assert not satisfies(run, ["lr<=0.1"]) and not satisfies(run, ["lr<=0.2", "weight=2"])
    assert not satisfies(run, ["r<=5"]) and not satisfies(run, ["nothing=1"])  # whole names only
    for wrong in ("lr", "lr<0.2", "lr<=low"):
        with pytest.raises(GanError):
            satisfies(run, [wrong])
    compare([sweeps / "a"], filter=["lr<=0.25"], histogram="FID", bin_width=0.1, out=str(sweeps))
    out = capsys.readouterr().out
    assert f"{sweeps / 'a'}: 2 runs, median FID 0.1, 50.0 %" in out and "2-x" not in out
    with pytest.raises(GanError, match="no run satisfies filter=lr<=0"):
        compare([sweeps / "a"], filter=["lr<=0"])


def test_a_condition_holds_for_every_setting_of_that_name(tmp_path):
    folder = make_run(tmp_path / "run")
    text = (folder / "config.yaml").read_text() + "model: {generator: {layers: 5}, discriminator: {layers: 3}}\n"
    (folder / "config.yaml").write_text(text)
    run = read(folder)
    assert satisfies(run, ["layers<=5", "layers>=3", "discriminator.layers<=3"]) and not satisfies(run, ["layers<=4"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("histogram=FIDD", "no run has such a score; did you mean 'FID'?"),
        ("histogram=FID bin_width=0", "above 0, not '0'"),
        ("histogram=FID bin_width=1e-320", "more than 10,000 bins"),
        ("histogram=FID bin_width=1e400", "bin_width must be a finite number"),
    ],
)
def test_mistakes(words, message, sweeps, capsys):
    assert main(["compare", str(sweeps / "a"), *words.split(), f"out={sweeps / 'new'}"]) == 2
    error = capsys.readouterr().err
    assert message in error.splitlines()[-1] and error.count("gan: ") == 1 and not (sweeps / "new").exists()
