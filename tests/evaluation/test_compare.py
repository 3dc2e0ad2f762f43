"""`gan compare` on run directories written by hand, and on two that were trained."""

import csv
import json
from pathlib import Path

import pytest
from helpers import FID, TINY, begin_run, make_run
from PIL import Image

from gan_cli.cli.main import main
from gan_cli.evaluation import charts
from gan_cli.evaluation.compare import compare
from gan_cli.evaluation.run_settings import short_names
from gan_cli.training.run_history import training_seconds
from gan_cli.utils.errors import GanError


def table(folder: Path) -> list[dict[str, str]]:
    with open(folder / "compare.csv", newline="") as file:
        return list(csv.DictReader(file))


def order(folder: Path) -> list[str]:
    return [Path(row["run"]).name for row in table(folder)]


@pytest.fixture
def no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of the table: no figure, which takes a second."""
    monkeypatch.setattr(charts, "plot", lambda rows, columns, path: None)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three runs: b has the lowest FID, c the most modes and no FID."""
    folder = tmp_path / "runs"
    make_run(folder / "a", lr=0.1, overrides=["optimizer.lr=0.1"],
             records=[("fid", {FID: 9.0}, {}), ("fid", {FID: 7.0}, {}), ("modes", {"modes": 3.0}, {})])  # fmt: skip
    make_run(folder / "b", lr=0.2, overrides=["optimizer.lr=0.2"], logged=[5.0, 6.0],
             records=[("fid", {FID: 4.0}, {}), ("fid", {FID: 3.0}, {"checkpoint": "best", "iteration": 20}),
                      ("modes", {"modes": 1.0}, {})])  # fmt: skip
    make_run(folder / "c", lr=0.3, seed=1, overrides=["optimizer.lr=0.3"], samples=False,
             records=[("modes", {"modes": 8.0}, {})])  # fmt: skip
    return folder


def test_latest_score_of_each_metric_and_checkpoint(runs: Path, no_figure: None) -> None:
    compare([runs])
    rows = {Path(row["run"]).name: row for row in table(runs)}
    assert rows["a"][FID] == "7.0"  # the later of two records
    assert rows["b"][FID] == "4.0"
    assert (rows["b"][f"{FID} of best.pt"], rows["b"][f"{FID} of best.pt iteration"]) == ("3.0", "20")
    assert (rows["b"][f"{FID} last"], rows["b"][f"{FID} last iteration"]) == ("6.0", "40")
    assert (rows["b"][f"{FID} best"], rows["b"][f"{FID} best iteration"]) == ("5.0", "20")
    assert rows["c"][FID] == rows["c"][f"{FID} iteration"] == ""
    assert rows["a"]["iterations"] == "40" and rows["c"]["optimizer.lr"] == "0.3"


def test_sorted_by_the_better_direction(runs: Path, no_figure: None) -> None:
    compare([runs])
    assert order(runs) == ["b", "a", "c"]  # FID: lower, and c has none
    compare([runs], metric=["modes"])
    assert order(runs) == ["c", "a", "b"] and FID not in table(runs)[0]
    compare([runs], sort="modes")
    assert order(runs) == ["c", "a", "b"] and FID in table(runs)[0]
    compare([runs], sort="lr")
    assert order(runs) == ["a", "b", "c"]
    compare([runs / "c", runs / "b", runs / "a"], sort="run", out=str(runs))
    assert order(runs) == ["a", "b", "c"]


def test_terminal_table(runs: Path, no_figure: None, capsys: pytest.CaptureFixture[str]) -> None:
    compare([runs], sort="FID")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["run", "lr", "iterations", FID]
    assert lines[1].split()[:4] == ["b", "0.2", "40", "4"]
    assert "seed" not in lines[0]  # lr tells the runs apart; the table in compare.csv has it
    assert table(runs)[2]["seed"] == "1"
    assert any(line == "modes: generated 100, seed 0" for line in lines)


def test_protocols_that_differ(tmp_path: Path, no_figure: None, capsys: pytest.CaptureFixture[str]) -> None:
    for name, count in (("a", 100), ("b", 200)):
        make_run(tmp_path / name, records=[("modes", {"modes": 3.0}, {"generated": count})])
    compare([tmp_path])
    out = capsys.readouterr().out
    assert "warning: modes was evaluated by different protocols" in out and "generated: 100, 200" in out


def test_failed_and_unreadable_runs(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "d").mkdir()
    failure = {"status": 3, "error": "loss is NaN", "overrides": ["optimizer.lr=9"]}
    (runs / "d" / "failure.json").write_text(json.dumps(failure))
    make_run(runs / "e")
    (runs / "e" / "config.yaml").write_text("a: [")
    (make_run(runs / "f") / "samples" / "000040.png").write_bytes(b"no picture")
    compare([runs])
    out = capsys.readouterr().out
    assert "skipped: " in out and "config.yaml is not a run's config" in out
    assert next(line for line in out.splitlines() if line.startswith("d ")).endswith("failed: loss is NaN")
    assert order(runs) == ["b", "a", "c", "f", "d"]
    assert table(runs)[4]["failure"] == "loss is NaN" and table(runs)[4]["optimizer.lr"] == "9"


def test_where_it_writes(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    compare([runs / "a"])
    compare([runs / "a", runs / "b", runs / "a"], out="elsewhere")
    assert (tmp_path / "compare.csv").exists() and not (runs / "a" / "compare.csv").exists()
    assert order(tmp_path / "elsewhere") == ["b", "a"]  # a was named twice
    with Image.open(tmp_path / "elsewhere" / "compare.png") as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"sort": "mode"}, "sort=mode: no such column; did you mean 'modes'?"),
        ({"metric": ["fidd"]}, "metric=fidd: no run has such a score; did you mean 'fid'?"),
    ],
)
def test_unknown_names(runs: Path, options: dict, message: str) -> None:
    with pytest.raises(GanError) as error:
        compare([runs], **options)
    assert str(error.value).startswith(message)
    assert not (runs / "compare.csv").exists()


def test_nothing_to_compare(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(GanError, match="holds no run"):
        compare([tmp_path / "empty"])
    begin_run(tmp_path / "broken")
    with pytest.raises(GanError, match="none of these runs can be read"):
        compare([tmp_path / "broken"])


def test_fifty_runs_with_long_names_and_no_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(50):
        make_run(tmp_path / f"{number}-{'model_dcgan-' * 6}seed_{number}", seed=number, losses=(2.0,) * (number % 3))
    compare([tmp_path])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 52 and max(map(len, lines[:51])) < 90
    assert [row["seed"] for row in table(tmp_path)] == [str(number) for number in range(50)]  # 2 before 10
    assert [line.split()[1] for line in lines[1:51]] == [str(number) for number in range(50)]
    with Image.open(tmp_path / "compare.png") as picture:
        assert picture.height > 1500


def test_short_names() -> None:
    assert short_names(["optimizer.lr", "seed", "G.width", "D.width"]) == ["lr", "seed", "G.width", "D.width"]
    assert short_names(["width", "G.width"]) == ["width", "G.width"]


def test_training_time_is_read_from_the_speeds(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    assert training_seconds(run, batch_size=18) == pytest.approx(40 * 18 / 9)


def test_runs_that_were_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for loss in ("non_saturating", "wgan_gp"):
        words = ["dataset=ring", "network=mlp_points", f"loss={loss}", f"hydra.run.dir=runs/{loss}"]
        assert main(["train", *words, *TINY, "trainer.batch_size=8"]) == 0
    assert main(["evaluate", "runs/wgan_gp", "metric=modes", "n=50"]) == 0
    capsys.readouterr()
    assert main(["compare", "runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:5] == ["run", "loss", "iterations", "modes", "high_quality"]
    assert [line.split()[:3] for line in lines[1:3]] == [
        ["wgan_gp", "wgan_gp", "2"], ["non_saturating", "non_saturating", "2"],
    ]  # fmt: skip
    assert len(lines) == 5 and (tmp_path / "runs" / "compare.png").exists()


def test_no_two_columns_have_one_name(tmp_path: Path, no_figure: None, capsys: pytest.CaptureFixture[str]) -> None:
    """The setting trainer.iterations beside the iterations that are done."""
    for number in (1, 2):
        folder = make_run(tmp_path / f"{number}-x", overrides=[f"trainer.iterations={number * 40}"])
        text = (folder / "config.yaml").read_text().replace("iterations: 40", f"iterations: {number * 40}")
        (folder / "config.yaml").write_text(text)
    compare([tmp_path])
    head = capsys.readouterr().out.splitlines()[0].split()
    assert len(set(head)) == len(head) and {"iterations", "trainer.iterations"} <= set(head)
    assert short_names(["a.run", "a.seed", "b.failure"]) == ["a.run", "seed", "b.failure"]


def test_a_half_line_does_not_swallow_the_next_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A process that was killed while it wrote evaluation.jsonl; the record after it has a line of its own."""
    words = ["model=dcgan", "network=mlp_points", "dataset=ring", *TINY, f"hydra.run.dir={tmp_path / 'run'}"]
    assert main(["train", *words]) == 0
    (tmp_path / "run/evaluation.jsonl").write_text('{"metric": "fi')
    assert main(["evaluate", str(tmp_path / "run"), "metric=fid", "n=300"]) == 0
    assert main(["compare", str(tmp_path / "run"), f"out={tmp_path}"]) == 0
    (row,) = table(tmp_path)
    assert float(next(value for name, value in row.items() if name.startswith("FID[pixels:"))) > 0


@pytest.mark.parametrize(
    "line",
    ["[1, 2]", "7", "null", '{"metric": 3, "values": {}}', '{"metric": "fid"}', '{"metric": "fid", "values": [1]}',
     '{"metric": "fid", "values": {"FID": "low"}}', '{"metric": "fid", "values": {"FID": {"a": 1}}}',
     '{"metric": "fid", "values": {"FID": 1' + "0" * 400 + "}}", '{"metric": "fid", "values": {"FID": NaN}}',
     '{"metric": "fid", "values": {"FID": 1}, "protocol": [1]}', '{"metric": "fid", "values": {"FID": 1}, "better": 5}',
     '{"metric": "fid", "values": {"FID": 1}, "better": {"FID": 5}}',
     '{"metric": "fid", "values": {"FID": 1}, "protocol": {"iteration": "x"}}',
     '{"metric": "fid", "values": {"FID": 1}, "protocol": {"iteration": [1], "checkpoint": {}}}',
     "[" * 5000, '{"metric": "fi', '{"metric": "../../x", "values": {"FID": 1}}'],
)  # fmt: skip
def test_records_of_another_shape_are_skipped_or_shown(line: str, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "a", records=[("fid", {FID: 9.0}, {})])
    make_run(tmp_path / "b", seed=1, records=[("fid", {FID: 8.0}, {})])
    with open(folder / "evaluation.jsonl", "a") as file:
        file.write(line + "\n")
    assert main(["compare", str(tmp_path), "histogram=FID"]) == 0
    assert {row[FID] for row in table(tmp_path)} >= {"8.0"}


def test_names_of_a_stranger_neither_reach_the_terminal_raw_nor_make_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "a\x1b]0;title\x07\u202e"
    for name in (evil, "b"):
        make_run(tmp_path / name, lr=len(name), records=[("fid", {FID + "\x1b[2J": 9.0}, {"x": "\x1b[1m"})])
        text = (tmp_path / name / "config.yaml").read_text()
        text += f"note: {json.dumps(name + chr(10) + 'gan: all is well')}\n"
        (tmp_path / name / "config.yaml").write_text(text)
    assert main(["compare", str(tmp_path), "histogram=FID"]) == 0
    captured = capsys.readouterr()
    text = captured.out + captured.err
    assert not {"\x1b", "\x07", "\u202e"} & set(text) and "\\x1b]0;title" in text
    assert not [line for line in text.splitlines() if line.startswith("gan: all is well")]
    assert "Warning" not in text and (tmp_path / "compare.png").exists()
