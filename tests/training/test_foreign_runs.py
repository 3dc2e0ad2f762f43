"""What a run directory holds may come from a stranger: everything that is loaded is checked first, in one line."""

import json
from pathlib import Path

import pytest
from helpers import refused
from omegaconf import OmegaConf

from gan_cli.cli.main import main
from gan_cli.training import run_history

# -- provenance.json, metrics.jsonl, evaluation.jsonl


@pytest.mark.parametrize(
    "text",
    ["[1,2]", '"abc"', "", "{", "[" * 100_000, '{"overrides": "seed=0"}', '{"overrides": [1]}', '{"machine": 5}',
     '{"schema_version": "2"}', '{"schema_version": 99}', '{"imported": 7}', '{"data": {"a": 1}}',
     '{"paths": {"a": 1}}', '{"choices": []}', '{"resumes": 3}', '{"device": [1]}', '{"a": "' + "x" * 2**24 + '"}'],
    ids=range(17),
)  # fmt: skip
def test_provenance_of_another_shape(text: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "provenance.json").write_text(text)
    for words in (["resume", "run", "trainer.iterations=4"], ["sample", "run", "n=2"]):
        error = refused(capsys, *words)
        assert "provenance.json cannot be read" in error or "schema version" in error
    assert main(["compare", "run"]) == 2


def test_lines_of_another_shape_are_skipped_and_said(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = ['{"iteration": "abc", "d/x": 1}', '{"iteration": 2, "d/x": "high"}', "[1, 2]", "null", "{", "[" * 100_000,
           '{"iteration": 1' + "0" * 400 + "}", '{"iteration": -1}', '{"d/x": 3}', "\x00\xff"]  # fmt: skip
    metrics = run / "metrics.jsonl"
    before = metrics.read_text()
    metrics.write_text("\n".join(bad) + "\n" + before + '{"iteration": 2, "d/y": NaN}\n{"iterat')
    history = run_history.read(run)
    note = capsys.readouterr().err.splitlines()
    assert note == [f"note: {metrics}: {len(bad) + 1} lines that are no record skipped"]
    assert history.done == 2 and set(history.curves) >= {"d/adversarial", "d/y"}
    assert run_history.training_seconds(run, 8)
    assert main(["resume", "run", "trainer.iterations=3"]) == 0
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2, 2, 3]


def test_a_half_line_does_not_swallow_the_next_record(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "evaluation.jsonl").write_text('{"metric": "mo')
    assert main(["evaluate", "run", "metric=modes", "n=50", "device=cpu"]) == 0
    (record,) = run_history.read(run).records
    assert record["metric"] == "modes"
    assert main(["compare", "run"]) == 0
    assert "modes" in capsys.readouterr().out
    for values in ('5, "values": {}}', '"a", "values": [1]}', '"a", "values": {"b": "c"}}', '"a"}'):
        line = '{"metric": ' + values
        (run / "evaluation.jsonl").write_text(line + "\n")
        assert run_history.read(run).records == []


def test_files_of_a_run_that_are_links_are_not_written_through(run: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("mine\n")
    (run / "evaluation.jsonl").symlink_to(precious)
    assert main(["evaluate", "run", "metric=modes", "n=50", "device=cpu"]) == 2
    (run / "metrics.jsonl").unlink()
    (run / "metrics.jsonl").symlink_to(precious)
    assert main(["resume", "run", "trainer.iterations=4"]) == 0
    assert precious.read_text() == "mine\n"
    (run / ".lock").unlink()
    (run / ".lock").symlink_to(tmp_path / "elsewhere")
    assert main(["resume", "run", "trainer.iterations=5"]) == 2 and not (tmp_path / "elsewhere").exists()


# -- config.yaml and .hydra


@pytest.mark.parametrize("text, words", [
    ("a: !!python/object/apply:os.system ['touch pwned']\n", "line 1: the tag"),
    ("a: &x [1]\nb: *x\n", "line 1: anchors and aliases"),
    ("seed: 0\nloss:\n  penalty: ${oc.env:HOME}\n", "line 3: interpolations"),
    ("[" * 100 + "]" * 100, "nested more than"),
    ("a: 1\n---\nb: 2\n", "one YAML mapping"),
    ("- 1\n", "one YAML mapping"),
    ("a: [\n", "line 2"),
    ("a: 1\na: 2\n", "duplicate key"),
    ("a: " + "x" * 2**18, "larger than"),
    ("a: \x07\n", "config.yaml is not a run's config"),
])  # fmt: skip
def test_a_config_that_is_not_plain_yaml(
    text: str, words: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "config.yaml").write_text(text)
    for verb in ("resume", "sample", "evaluate"):
        error = refused(capsys, verb, "run", *(["metric=modes"] if verb == "evaluate" else []))
        assert words in error and "config.yaml" in error
    assert not Path("pwned").exists()


def test_a_hostile_hydra_folder_changes_nothing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "run"]) == 0
    before = capsys.readouterr().out
    for file in (run / ".hydra").iterdir():
        tag = "a: !!python/object/apply:os.system ['touch pwned']"
        file.write_text(tag + "\nhydra: {runtime: {choices: {model: evil}}}\n")
    (run / ".hydra/fifo.yaml").touch()
    assert main(["compare", "run"]) == 0 and capsys.readouterr().out == before
    assert run_history.read(run).choices["model"] == "dcgan"
    assert main(["sample", "run", "n=2"]) == 0 and main(["resume", "run", "trainer.iterations=3"]) == 0
    assert not Path("pwned").exists()


def test_the_config_is_saved_as_plain_yaml(run: Path) -> None:
    saved = OmegaConf.load(run / "config.yaml")
    assert OmegaConf.to_yaml(run_history.config(run)) == OmegaConf.to_yaml(saved)
