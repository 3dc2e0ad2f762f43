"""What a run directory holds may come from a stranger: everything that is loaded is checked first, in one line."""

import json
from pathlib import Path

import pytest
from helpers import refused
from omegaconf import OmegaConf

from gan_cli.cli.main import main
from gan_cli.training import run_history
from gan_cli.training.run_dir import RunDir
from gan_cli.utils.errors import GanError

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


def test_null_is_a_value_that_is_missing(run: Path) -> None:
    (run / "provenance.json").write_text('{"schema_version": 1, "overrides": null, "command": null, "paths": null}')
    assert run_history.read(run).overrides == [] and main(["compare", "run"]) == 0


def test_a_schema_version_that_is_no_number(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "provenance.json").write_text('{"schema_version": "3"}')
    assert "run has the schema version '3', which is no whole number" in refused(capsys, "sample", "run", "n=2")


def test_a_file_of_curves_that_no_run_writes(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Iterations beyond the integers of a float, values that overflow an axis, and thousands of losses."""
    lines = [{"iteration": 2**63 - 1, "d/x": 1e308}, {"iteration": 2, **{f"d/{n}": -1e308 for n in range(3000)}}]
    with (run / "metrics.jsonl").open("a") as file:
        file.write("".join(json.dumps(line) + "\n" for line in [*lines, {"iteration": 3, "d/0": 1e308}]))
    assert main(["compare", "run"]) == 0
    output = capsys.readouterr()
    assert "compare.png has the first 60 of 3" in output.out and "1 line" in output.err


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


VERBS = (["resume", "run", "trainer.iterations=4", "trainer.keep_checkpoints=1"], ["sample", "run", "n=2"],
         ["evaluate", "run", "metric=modes", "n=50", "device=cpu"], ["export", "run", "format=torch"])  # fmt: skip


def contents(folder: Path) -> dict[str, bytes | str]:
    """Every file below a folder, and where links lead."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_symlink() or path.is_file()}
    return {name: str(path.readlink()) if path.is_symlink() else path.read_bytes() for name, path in found.items()}


@pytest.mark.parametrize(
    "name",
    ["checkpoints", "samples", "evaluation", ".hydra", "checkpoints/last.pt", "checkpoints/000002.pt",
     "samples/000003.png", "evaluation/grid.png", "metrics.jsonl", "evaluation.jsonl", "config.yaml", "provenance.json",
     "failure.json", ".lock", "output.txt", "events.out.tfevents.1"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["there", "dangling"])
def test_a_link_that_leads_out_of_a_run_is_refused(
    kind: str, name: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is written, deleted or shown through it, and nothing in the run changes."""
    home, link = Path("home"), run / name
    home.mkdir()
    link.parent.mkdir(exist_ok=True)
    target = home / link.name
    if link.exists():
        link.rename(target)
    else:
        target.write_text("secret: [of mine\n")
    if kind == "dangling":
        target = home / "absent"
    link.symlink_to(target.absolute())
    before = contents(Path())
    for words in VERBS:
        error = refused(capsys, *words)
        assert f"{link} is a link to {target.absolute()}" in error and "copy" in error and "secret" not in error, words
        assert contents(Path()) == before, words
    if kind == "there":
        assert main(["compare", "run"]) == 2 and f"{link} is a link" in capsys.readouterr().out
        with pytest.raises(GanError, match="is a link to"):
            RunDir(run).lock()
        assert contents(Path()) == before


def test_no_run_begins_in_a_folder_with_links_out_of_it(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("home", "new"):
        Path(name).mkdir()
    Path("new/.hydra").symlink_to(Path("home").absolute())
    error = refused(capsys, "train", "network=mlp_points", "dataset=ring", "hydra.run.dir=new")
    assert "new/.hydra is a link to" in error and not list(Path("home").iterdir()) and len(contents(Path("new"))) == 1


def test_links_within_a_run_and_to_a_run_are_followed(run: Path) -> None:
    (run / "checkpoints/last.pt").rename(run / "checkpoints/kept.pt")
    (run / "checkpoints/last.pt").symlink_to("kept.pt")
    (run / "photos").symlink_to(Path.cwd())  # nothing that belongs to a run
    run.rename("elsewhere")
    run.symlink_to("elsewhere")
    assert main(["sample", "run", "n=2"]) == 0 and main(["resume", "run", "trainer.iterations=4"]) == 0
    assert run_history.read(run).done == 4


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
