"""`gan reproduce` and the page that is built from its result files."""

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT
from omegaconf import OmegaConf

from gan_cli.cli.main import main
from gan_cli.config.groups import groups
from gan_cli.config.paths import conf_dir
from gan_cli.experiments import report, result_file
from gan_cli.experiments.experiment import diff_settings
from gan_cli.experiments.output_copy import copied_output
from gan_cli.experiments.paper_results import PaperResult, comparisons, parse_paper_results, variant_table
from gan_cli.experiments.reproduce import reproduce
from gan_cli.experiments.result_file import load, record
from gan_cli.training import launch
from gan_cli.utils.errors import Diverged, GanError, Interrupted, Terminated
from gan_cli.utils.progress import CLEAR, Progress
from gan_cli.utils.terminal import printable_output

TINY = """\
# @package _global_
# A ring in two updates
defaults:
  - override /dataset: ring
  - override /model: wgan_gp
  - override /network: mlp_points
  - override /loss: non_saturating
trainer: {iterations: 2, batch_size: 8, sample_count: 4, ema_decay: 0.0}
evaluate: {metric: [modes], n: 60}
expect:
  - {metric: modes, value: modes, paper: 1, better: higher, tolerance: 1, source: table 1, differs: "two updates"}
  - {metric: modes, value: high_quality, paper: 1.5, better: higher, source: table 2}
"""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An experiment `tiny` in the folder mine/; returns the option that finds it."""
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "tiny.yaml").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    return ["--config-dir=mine"]


def result(values: dict[int, float], *, iterations: int = 10, differs: dict[str, Any] | None = None) -> dict[str, Any]:
    """A result file in which the metric `m` gave its value `v`, published as 3 with lower better, for each seed."""
    protocol = {"n": 5, "iteration": iterations, "weights": "raw"}
    runs = [
        {"seed": seed, "iterations": iterations, "differs": differs or {}, "failed": None, "command": "gan train",
         "training_seconds": 60.0, "date": "2020-02-02", "git": None, "versions": {"torch": "2"},
         "machine": {"device": "cpu", "cores": 1, "threads": 1},
         "evaluations": [{"metric": "m", "values": {"v[net:ab]": value}, "protocol": protocol}]}
        for seed, value in values.items()
    ]  # fmt: skip
    expect = [{"metric": "m", "value": "v", "paper": 3.0, "better": "lower", "tolerance": 0.5, "source": "S"}]
    return {"experiment": "e", "title": "T", "iterations": 10, "evaluate": {"n": 5}, "expect": expect, "runs": runs,
            "commands": ["gan train", "gan evaluate"]}  # fmt: skip


# -- verdicts


@pytest.mark.parametrize(
    "better, ours, met",
    [("lower", 3.5, True), ("lower", 3.51, False), ("lower", 0.0, True), ("higher", 2.5, True), ("higher", 2.49, False),
     ("higher", 9.0, True), (None, 3.5, True), (None, 2.5, True), (None, 3.6, False), (None, 2.4, False),
     ("lower", float("nan"), False)],
)  # fmt: skip
def test_met_within_the_tolerance(better: Any, ours: float, met: bool) -> None:
    assert PaperResult("m", "v", 3.0, "S", better=better, tolerance=0.5).is_met(ours) == met


def test_comparison_by_hand() -> None:
    (row,) = comparisons(result({0: 1.0, 1: 2.0, 2: 6.0}))
    assert (row.median, row.mean(), row.verdict) == (2.0, "3 ± 2.646", "met")  # std: sqrt((4 + 1 + 9) / 2)
    (row,) = comparisons(result({0: 3.6}))
    assert (row.median, row.mean(), row.verdict) == (3.6, "", "missed")
    assert comparisons(result({}))[0].verdict == "not run"


def test_stopped_runs_and_other_settings_do_not_count() -> None:
    stopped, other = result({0: 1.0}, iterations=9), result({0: 1.0}, differs={"optimizer.lr": [1, 2]})
    assert comparisons(stopped)[0].verdict == comparisons(other)[0].verdict == "not finished"


def test_an_order_is_the_share_of_pairs_that_have_it() -> None:
    found = result({})
    values = {"a": {0: 4.0, 1: 1.0}, "b": {0: 2.0, 1: 2.0}, "c": {0: 2.0, 1: 3.0}, "d": {0: 3.0}}
    for variant, scores in values.items():
        found["runs"] += [run | {"variant": variant} for run in result(scores)["runs"]]
    found["expect"] = [{"metric": "m", "value": "v", "paper": 1, "source": "S", "better": "higher", "tolerance": 0.2,
                        "order": list("abc")}]  # fmt: skip
    (row,) = comparisons(found)
    assert (row.id, row.name(), row.values, row.verdict) == ("e/v/order", "v order", {0: 2.5 / 3, 1: 0.0}, "missed")
    found["expect"][0]["order"] = list("abdc")  # seed 1 lacks d; a > b, a > d, a > c, d > c, b = c, and b < d
    (row,) = comparisons(found)
    assert row.values == {0: 4.5 / 6} and row.verdict == "missed"
    with pytest.raises(GanError, match="order must be a list"):
        parse_paper_results([found["expect"][0] | {"order": ["a"]}])


def test_what_real_images_reach_stands_beside_a_row(tmp_path: Path) -> None:
    found = result({0: 3.0})
    (tmp_path / "e.json").write_text(json.dumps(found))
    assert "real images" not in report.pages(tmp_path)["others.md"]
    found["runs"][0]["evaluations"][0]["values"]["v_real[net:ab]"] = 2.75
    (tmp_path / "e.json").write_text(json.dumps(found))
    text = report.pages(tmp_path)["others.md"]
    assert "| real images |" in text and "| 3 |  | 1 | met | 2.75 |" in text


def test_a_run_is_finished_at_the_length_of_its_variant() -> None:
    found = result({0: 1.0, 1: 2.0})
    found["runs"][0]["length"] = 20  # of which 10 are done
    (row,) = comparisons(found)
    assert row.values == {1: 2.0}
    found["runs"][1]["length"] = 5
    assert comparisons(found)[0].values == {1: 2.0}


def test_averaged_weights_before_raw_and_the_latest_record() -> None:
    found = result({0: 1.0})
    (old,) = found["runs"][0]["evaluations"]
    ema = old["protocol"] | {"weights": "ema"}
    later = [(2.0, ema), (4.0, ema), (5.0, old["protocol"]), (6.0, ema | {"checkpoint": "best"}), (7.0, ema | {"n": 4})]
    for value, protocol in later:
        new = {"metric": "m", "values": {"v": value}, "protocol": protocol}
        found["runs"][0]["evaluations"].append(new)
    assert comparisons(found)[0].values == {0: 4.0}


@pytest.mark.parametrize(
    "entry, message",
    [
        ({"metric": "m", "valeu": "v"}, "no key 'expect[0].valeu'; did you mean 'value'?"),
        ({"metric": "m", "value": "v", "paper": 1}, "expect[0].source has no value"),
        ({"metric": "m", "value": "v", "paper": "x", "source": "S"}, "expect[0].paper must be a number"),
        ({"metric": "m", "value": "v", "paper": 1, "source": "S", "better": "more"}, "expect[0].better must be"),
        ({"metric": "m", "value": "v", "paper": 1, "source": "S", "verified": "no"}, "expect[0].verified must be"),
        ("m", "expect[0] must be a mapping"),
    ],
)
def test_entries_of_another_form(entry: Any, message: str) -> None:
    with pytest.raises(GanError) as error:
        parse_paper_results([entry])
    assert str(error.value).startswith(message)


# -- the page


def test_the_page_is_the_one_that_the_result_files_give() -> None:
    folder, texts = ROOT / report.PAGE.parent / report.FOLDER, report.pages(ROOT / report.RESULTS)
    assert {path.name for path in folder.glob("*.md")} == set(texts) - {report.PAGE.name}
    for name, text in texts.items():
        path = ROOT / report.PAGE if name == report.PAGE.name else folder / name
        assert path.read_text() == text, f"{name}: run `make reproduction`"
        for link in re.findall(r"\]\(([^)#:]+)[)#]", text):
            assert (path.parent / link).exists(), f"{name}: {link}"


def test_no_row_is_dropped() -> None:
    """The rows that this page once had stay on it, met or not: a target that is withdrawn counts as missed."""
    kept = report.first_rows(ROOT / report.RESULTS)
    files = sorted((ROOT / report.RESULTS).glob("*.json"))
    assert len(kept) == 132 and set(kept) <= {row.id for path in files for row in comparisons(load(path))}


def test_causes_belong_to_rows_that_are_not_met(tmp_path: Path) -> None:
    (tmp_path / "e.json").write_text(json.dumps(result({0: 9.0})))
    causes = tmp_path / "causes.yaml"
    causes.write_text("e/v: half the length\n")
    texts = report.pages(tmp_path)
    counts = "| [Other experiments](reproduction/others.md) | 0 | 1 (1) | 0 | 0 (0) | 1 | 0.0 |"
    assert counts in texts["REPRODUCTION.md"]
    assert "- `e/v`: half the length" in texts["others.md"]
    causes.write_text("e/w: half the length\n")
    with pytest.raises(GanError, match="there is no row 'e/w'"):
        report.pages(tmp_path)
    (tmp_path / "e.json").write_text(json.dumps(result({0: 3.0})))
    causes.write_text("e/v: half the length\n")
    with pytest.raises(GanError, match="row 'e/v' is met"):
        report.pages(tmp_path)


def test_pages_and_curves_of_families(tmp_path: Path) -> None:
    found = result({0: 3.0, 1: 4.0})
    found["runs"][0]["curves"] = {"v[net:ab]": [[5, 9.0], [10, None]], "w": [[5, 1.0]]}
    (tmp_path / "e.json").write_text(json.dumps(found))
    (tmp_path / "f.json").write_text(json.dumps(result({}) | {"experiment": "f"}))
    (tmp_path / "families.yaml").write_text("first: {title: First, experiments: [e, nowhere]}\n")
    report.build(tmp_path, tmp_path / "page.md")
    made = {path.name for path in (tmp_path / report.FOLDER).iterdir()}
    assert made == {"first.md", "others.md", "e.png", "overview.png"}
    assert "![Scores during training](e.png)" in (tmp_path / report.FOLDER / "first.md").read_text()


def file_of(name: str) -> dict[str, Any]:
    """An experiment's file over the one that it inherits from; composing them all would take a while."""
    own = OmegaConf.load(conf_dir() / "experiment" / f"{name}.yaml")
    parents = [entry for entry in own.defaults if isinstance(entry, str)]
    merged = OmegaConf.merge(*(OmegaConf.load(conf_dir() / "experiment" / f"{p}.yaml") for p in parents), own)
    found: Any = OmegaConf.to_container(merged)
    return found


def test_the_result_files_are_of_the_experiments_as_they_are() -> None:
    for path in sorted((ROOT / report.RESULTS).glob("*.json")):
        kept, file = load(path), file_of(path.stem)
        assert kept["expect"] == file.get("expect", []) and kept["evaluate"] == file.get("evaluate", {}), path.name
        assert kept["iterations"] == file["trainer"]["iterations"], path.name
        assert not any(text in path.read_text() for text in ("/tmp", "/home", "/work", "/root")), path.name


def test_every_published_number_names_a_metric_and_its_better_direction() -> None:
    from gan_cli.evaluation.score_table import directions_of_file
    from gan_cli.training.run_history import base_name

    files = groups()["experiment"]
    found = [claim for file in files for claim in parse_paper_results(file_of(file.stem).get("expect", []), file.stem)]
    assert len(found) > 20
    for claim in found:
        ways = directions_of_file(conf_dir() / "metric" / f"{claim.metric}.yaml")
        # Of a neutral value it is the claim's affair; an ablation's number is to be met from both sides.
        assert claim.better is None or ways[base_name(claim.value)] in (None, claim.better), claim


def test_page_by_hand(tmp_path: Path) -> None:
    (tmp_path / "e.json").write_text(json.dumps(result({0: 3.0, 1: 8.0})))
    (tmp_path / "e.md").write_text("Said by hand.\n")
    (tmp_path / "about.md").write_text("About all.\n")
    page = tmp_path / "page.md"
    report.build(tmp_path, page)
    text = page.read_text()
    assert "| [e/v](reproduction/others.md#e) | 3 | 5.5 | 5.5 ± 3.536 | 2 | **missed** | S |  |\n" in text
    assert text.endswith("About all.\n")
    text = (tmp_path / report.FOLDER / "others.md").read_text()
    assert "| `e/v` | lower | 3 | 0.5 | 5.5 | 5.5 ± 3.536 | 2 | **missed** | S |  |\n" in text
    assert "| 1 | 10 | raw | 5 | 8 | 1.0 min |\n" in text
    assert text.index("## e") < text.index("Said by hand.")
    assert "revision unknown" in text and text.endswith("Said by hand.\n")


def test_a_number_that_was_not_checked_is_marked_in_both_tables(tmp_path: Path) -> None:
    found = result({0: 3.0})
    found["expect"] += [found["expect"][0] | {"source": "T", "verified": False}]
    (tmp_path / "e.json").write_text(json.dumps(found))
    text = "".join(report.pages(tmp_path).values())
    rows = [line for line in text.splitlines() if line.startswith("|") and "e/v" in line]
    assert [row.endswith("| S |  |") for row in rows] == [True, False, True, False]
    assert [row.endswith("| T | unverified |") for row in rows] == [False, True, False, True]


def test_result_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(GanError, match="has no result files"):
        report.pages(tmp_path)
    (tmp_path / "e.json").write_text('{"experiment": "e"')
    with pytest.raises(GanError, match=r"e\.json is not a result file"):
        report.build(tmp_path, tmp_path / "page.md")
    assert not (tmp_path / "page.md").exists()


@pytest.mark.parametrize(
    "changes",
    [{"experiment": "../../evil"}, {"experiment": 3}, {"variant": ["a"]}, {"training_seconds": "1"}, {"machine": None},
     {"curves": [1]}, {"seed": None}],
    ids=str,
)  # fmt: skip
def test_a_result_file_of_a_stranger_names_no_other_file(changes: dict[str, Any], tmp_path: Path) -> None:
    found = result({0: 3.0})
    ({"experiment": found}.get(next(iter(changes)), found["runs"][0])).update(changes)
    (tmp_path / "r").mkdir()
    (tmp_path / "r/e.json").write_text(json.dumps(found))
    (tmp_path / "evil.md").write_text("secret")
    with pytest.raises(GanError, match=r"e\.json is not a result file"):
        report.build(tmp_path / "r", tmp_path / "r/page.md")
    assert {path.name for path in tmp_path.rglob("*")} == {"r", "e.json", "evil.md"}


# -- reproduce


def test_reproduce_trains_evaluates_and_continues(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "tiny", "seeds=0", "out=kept", *tiny]) == 0
    out = capsys.readouterr().out
    assert "tiny: paper against ours" in out and "training outputs/reproduce/tiny/seed-0  (0/1 runs)\n" in out
    run = Path("outputs/reproduce/tiny/seed-0")
    before = (run / "evaluation.jsonl").read_text()
    kept = json.loads(Path("kept/tiny.json").read_text())
    (entry,) = kept["runs"]
    (taken,) = entry["evaluations"]
    assert {"modes", "high_quality", "reverse_kl"} <= set(taken["values"]) and taken["protocol"]["generated"] == 60
    assert (entry["seed"], entry["iterations"], entry["differs"]) == (0, 2, {})
    assert kept["title"] == "A ring in two updates" and entry["training_seconds"] > 0
    assert [row.verdict for row in comparisons(kept)] == ["met", "missed"]  # 0 or more modes of 1 ± 1

    reproduce("tiny", seeds=[0, 1], out="kept", changes=tiny)  # seed 0 is neither trained nor scored again
    out = capsys.readouterr().out
    assert "seed-0 is trained already: 2 iterations" in out and "seed-0 is evaluated already" in out
    assert (run / "evaluation.jsonl").read_text() == before
    assert [run["seed"] for run in json.loads(Path("kept/tiny.json").read_text())["runs"]] == [0, 1]


def test_a_stopped_run_is_resumed_and_a_diverged_one_reported(
    tiny: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = launch.train_words

    def troubled(words: list[str]) -> None:
        if "seed=1" in words:
            raise Interrupted("stopped by SIGTERM after iteration 1; saved: `gan resume there` continues", 143)
        train(words)
        if "seed=0" in words:
            raise Diverged("loss is not finite")

    monkeypatch.setattr(launch, "train_words", troubled)
    Path("docs/results").mkdir(parents=True)
    with pytest.raises(Interrupted, match=r"^stopped by SIGTERM after iteration 1; the same command continues$") as end:
        reproduce("tiny", seeds=[0, 1, 2], changes=tiny)
    assert end.value.status == 143
    (entry,) = json.loads(Path("docs/results/tiny.json").read_text())["runs"]  # what was done is kept
    assert (entry["seed"], entry["failed"], entry["evaluations"]) == (0, "loss is not finite", [])
    assert not Path("outputs/reproduce/tiny/seed-2").exists()

    monkeypatch.setattr(launch, "train_words", train)
    run = Path("outputs/reproduce/tiny/seed-2")
    assert main(["train", *tiny, "experiment=tiny", "seed=2", f"hydra.run.dir={run}", "trainer.iterations=1"]) == 0
    with pytest.raises(GanError, match=r"other settings \(trainer.iterations 1 instead of 2\)"):
        reproduce("tiny", seeds=[2], changes=tiny)
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("iterations: 1\n", "iterations: 2\n"))
    capsys.readouterr()
    reproduce("tiny", seeds=[0, 2], changes=tiny)
    out = capsys.readouterr().out
    assert "seed-0 has failed already: loss is not finite" in out and f"resuming {run} after iteration 1" in out
    assert [run["iterations"] for run in json.loads(Path("docs/results/tiny.json").read_text())["runs"]] == [2, 2]


@pytest.mark.parametrize(("kind", "status"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_stopped_between_two_runs(
    kind: type[BaseException], status: int, tiny: list[str], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def stopped(words: list[str]) -> int:
        raise kind

    monkeypatch.setattr(launch, "train_words", stopped)
    assert main(["reproduce", "tiny", "seeds=0", *tiny]) == status
    assert capsys.readouterr().err == "gan: stopped; the same command continues\n"


def test_a_place_that_cannot_be_written_is_refused_first(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("taken").touch()
    for out, reason in (
        ("taken", "taken is a file; name a folder"),
        ("taken/deeper", "is a file; name a folder"),
        ("/proc/none/x", "name a folder that can be written"),
    ):
        assert main(["reproduce", "tiny", "seeds=0", f"out={out}", *tiny]) == 2
        out_, err = capsys.readouterr()
        assert err.startswith(f"gan: out={out}: ") and err.endswith(f"{reason}\n") and out_ == ""
    assert not Path("outputs").exists()


VARIANTS = """\
# @package _global_
# A ring in two updates, twice
defaults:
  - tiny
variants: {plain: [], squares: [loss=least_squares]}
expect:
  - {metric: modes, variant: squares, value: modes, paper: 7, better: higher, source: Someone 2020, tolerance: 7}
"""


def test_variants(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine/experiment/twice.yaml").write_text(VARIANTS)
    reproduce("twice", seeds=[0], variant=["squares"], out="kept", changes=tiny)
    assert [run["variant"] for run in json.loads(Path("kept/twice.json").read_text())["runs"]] == ["squares"]
    capsys.readouterr()
    reproduce("twice", seeds=[1, 0], out="kept", changes=tiny)
    out = capsys.readouterr().out
    assert "outputs/reproduce/twice/squares/seed-0 is trained already: 2 iterations" in out
    kept = json.loads(Path("kept/twice.json").read_text())
    assert [(run["variant"], run["seed"]) for run in kept["runs"]] == [
        ("plain", 0), ("plain", 1), ("squares", 0), ("squares", 1)
    ]  # fmt: skip
    assert not any(run["differs"] for run in kept["runs"])
    assert "loss=least_squares seed=0" in kept["runs"][2]["command"]
    settings = OmegaConf.load("outputs/reproduce/twice/squares/seed-0/config.yaml")
    assert settings.loss.adversarial._target_.endswith("LeastSquares")
    (row,) = comparisons(kept)
    assert row.verdict == "met" and set(row.values) == {0, 1}
    head, plain, squares = variant_table(kept)
    assert head[:4] == ["variant", "seeds", "modes", "published"]
    assert plain[:2] == ["plain", "2"] and plain[3] == "" and squares[3] == "7 Someone"
    assert "squares modes" in out and "twice: paper against ours" in out

    Path("docs").mkdir()
    report.build(Path("kept"), Path("docs/page.md"))
    page, section = Path("docs/page.md").read_text(), Path("docs/reproduction/others.md").read_text()
    assert "| squares 1 | 2 |" in section and "| [twice/squares/modes](reproduction/others.md#twice) | 7 |" in page


def test_variants_that_are_none(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine/experiment/twice.yaml").write_text(VARIANTS.replace("[loss=least_squares]", "least_squares"))
    assert main(["reproduce", "twice", *tiny]) == 2
    assert "variants.squares must be a list of overrides such as loss=wgan" in capsys.readouterr().err


def test_variant_table_by_hand() -> None:
    found = result({0: 1.0, 1: 2.0, 2: 6.0}) | {"variants": ["a", "b"]}
    for run in found["runs"]:
        run["variant"] = "a"
    found["expect"][0] |= {"variant": "a", "spread": 0.5}
    assert variant_table(found) == [
        ["variant", "seeds", "v", "published"], ["a", "3", "2 (1 to 6)", "3 ± 0.5 S"], ["b", "0", "", ""]
    ]  # fmt: skip
    found["runs"][0]["iterations"], found["runs"][1]["failed"] = 9, "nan"
    assert variant_table(found)[1] == ["a", "2, 1 failed", "4 (2 to 6)", "3 ± 0.5 S"]


def test_a_key_of_a_later_version_at_its_default_is_no_difference() -> None:
    old = {"dataset._target_": "gan_cli.data.gaussians.Ring", "dataset.n_modes": 8, "optimizer.lr": 1}
    new = old | {"dataset.radius": 1.0, "trainer.added_later": "neutral"}
    assert diff_settings(old, new) == diff_settings(new, old) == {}
    assert diff_settings(old, new | {"dataset.radius": 2.0}) == {"dataset.radius": (None, 2.0)}
    assert diff_settings(old, new | {"optimizer.beta": 1}) == {"optimizer.beta": (None, 1)}
    assert diff_settings(old | {"dataset.radius": 2.0}, old) == {"dataset.radius": (2.0, None)}


def test_result_files_keep_six_digits() -> None:
    records = [{"metric": "m", "values": {"v": 0.123456789, "w": float("inf")}, "protocol": {"iteration": 2}}] * 2
    (kept,) = result_file._evaluations(records)
    assert kept == {"metric": "m", "values": {"v": 0.123457, "w": None}, "protocol": {"iteration": 2}}


def test_another_experiment_keeps_apart(tiny: list[str]) -> None:
    Path("docs/results").mkdir(parents=True)
    changes = [*tiny, "trainer.iterations=1", "trainer.device=cpu"]
    reproduce("tiny", seeds=[0], changes=changes)
    assert not list(Path("docs/results").iterdir())
    folder = Path("outputs/reproduce/tiny-iterations_1")
    (entry,) = json.loads((folder / "tiny.json").read_text())["runs"]
    assert entry["iterations"] == 1 and entry["evaluations"][0]["values"]["reverse_kl"] is None  # NaN: no mode was hit
    found = record("ring", [folder / "seed-0"], Path("kept"), "pacgan_2")
    assert found["runs"][0]["differs"]["trainer.batch_size"] == [8, 512]
    verdicts = {row.verdict for row in comparisons(found) if row.published.variant == "pacgan_2"}
    assert verdicts == {"not finished"}
    assert record("ring", [], Path("kept"))["runs"] == found["runs"]  # what the file holds stays


@pytest.mark.parametrize(
    "words, message",
    [
        (["rinq"], "no experiment 'rinq'; did you mean 'ring'?"),
        (["ring", "variant=hing"], "experiment 'ring' has no variant 'hing'; did you mean 'hinge'?"),
        (["quickstart"], "experiment 'quickstart' has no `expect` and no `evaluate`: nothing to reproduce"),
        (["ring", "seed=3"], "seed=3: `gan reproduce` sets it itself"),
        (["ring", "-m"], "gan reproduce trains one experiment"),
        (["ring", "trainer.itrations=3"], "no key 'trainer.itrations'; did you mean"),
    ],
)
def test_mistakes(words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                  capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", *words]) == 2
    assert capsys.readouterr().err.startswith(f"gan: {message}")
    assert not list(tmp_path.iterdir())


# -- other settings than the paper's


def test_changed_settings_are_named_and_get_no_verdict(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("docs/results").mkdir(parents=True)
    assert main(["reproduce", "tiny", "seeds=0", "optimizer.lr=0.01", *tiny]) == 0
    out = capsys.readouterr().out
    assert "note: optimizer.lr=0.01 makes this another experiment than the paper's: no verdict" in out
    assert "tiny: paper against ours, which was trained with optimizer.lr=0.01" in out
    rows = [line for line in out.splitlines() if "table 1" in line or "table 2" in line]
    assert len(rows) == 2 and all("other settings" in row and "met" not in row and "missed" not in row for row in rows)
    assert list(Path("docs/results").iterdir()) == []
    written = load(Path("outputs/reproduce/tiny-lr_0.01/tiny.json"))
    assert written["changes"] == ["optimizer.lr=0.01"]
    for words, message in {
        ("optimizer.lr=0.01", "out=docs/results"): "out=docs/results is for the settings of the papers",
        ("out=outputs/reproduce/tiny-lr_0.01",): "holds results with optimizer.lr=0.01, not with those of the",
    }.items():
        assert main(["reproduce", "tiny", "seeds=0", *words, *tiny]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_the_console_says_which_number_was_not_checked(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    file = Path("mine/experiment/tiny.yaml")
    file.write_text(file.read_text().replace("source: table 2}", "source: table 2, verified: false}"))
    assert main(["reproduce", "tiny", "seeds=0", *tiny]) == 0
    lines = capsys.readouterr().out.splitlines()
    (checked,), (unchecked,) = ([line for line in lines if f"table {n}" in line] for n in (1, 2))
    assert unchecked.endswith("table 2  unverified") and checked.endswith("table 1")


def test_the_warnings_of_all_runs_are_listed_at_the_end(
    tiny: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each once, with the runs that print it, also those of an earlier start."""
    Path("mine/experiment/tiny.yaml").write_text(TINY + "variants: {a: [optimizer.lr=0.1], b: [optimizer.lr=0.2]}\n")
    shown = iter(["warning: 1 of 2 norms", None, "warning: 2 of 2 norms", None])
    monkeypatch.setattr("gan_cli.training.build.warn_batchnorm_penalty", lambda system: next(shown))
    for seeds, runs in (("0", "a/seed-0"), ("0,1", "a/seed-0, a/seed-1")):
        assert main(["reproduce", "tiny", f"seeds={seeds}", *tiny]) == 0
        summary = capsys.readouterr().out.partition("paper against ours")[2]
        found = [line for line in summary.splitlines() if line.startswith("warning: ")]
        assert found == [f"warning: 1 of 2 norms ({runs})"], f"seeds={seeds}: the summary is {summary}"
    output = Path("outputs/reproduce/tiny/a/seed-1/output.txt").read_text().splitlines()
    assert output[0] == "warning: 2 of 2 norms" and any("iteration 2" in line for line in output), output


def test_what_a_terminal_shows_is_copied_without_its_control_sequences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", terminal)
    file = tmp_path / "run/output.txt"
    with printable_output(), copied_output(file):
        progress = Progress(9, "iterations")
        print("before the folder")
        assert not file.parent.exists(), "a run that is refused must leave no folder"
        file.parent.mkdir()
        progress.rewrite("iteration 1")
        progress.say("warning: \x1b[31m red")
    assert terminal.getvalue() == f"before the folder\n{CLEAR}iteration 1{CLEAR}warning: \\x1b[31m red\n"
    assert file.read_text() == "before the folder\nwarning: \\x1b[31m red\n"


def test_no_seeds_are_refused(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "tiny", "seeds=[]", *tiny]) == 2
    assert capsys.readouterr().err == "gan: seeds=[]: name at least one seed, such as seeds=0,1,2\n"
    assert main(["reproduce", "tiny", "seeds=0,0", *tiny]) == 2
    assert capsys.readouterr().err == "gan: seeds=0,0: each seed once\n"
    assert not Path("outputs").exists()
