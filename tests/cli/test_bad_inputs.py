"""Each mistake of tests/bad_inputs.py: one line, a status, nothing half-done, and its row in docs/ERRORS.md."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_inputs import CASES, HEAD, PAGE, Case, outcome, row, run, workplace


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with workplace(tmp_path_factory.mktemp("bad")) as folder:
        yield folder


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what.replace(" ", "_"))
def test_bad_input(case: Case, here: Path) -> None:
    with outcome(case, here) as (status, err, new):
        assert status == case.status, err
        assert [word for word in case.words if word not in err] == [], err
        assert not case.status or re.fullmatch(r"gan: [^\n]+\n", err), err
        assert "Traceback" not in err and "unexpected" not in err
        assert {path for path in new if path.split("/")[0] not in case.left} == set()
        if case.after:
            case.after(here)
        assert row(case, here, status, err, new) in PAGE.read_text().splitlines(), "run `make errors`"


def test_the_page_has_no_other_rows() -> None:
    text = PAGE.read_text()
    assert text.startswith(HEAD), "run `make errors`"
    assert len(text.removeprefix(HEAD).splitlines()) == len(CASES)
    assert len({case.what for case in CASES}) == len(CASES)


def test_debug_shows_the_traceback(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_DEBUG", "1")
    assert "Traceback" in run("train seed=abc")[1]


def test_divergence_keeps_the_last_good_checkpoint(here: Path) -> None:
    shutil.copytree(here / "run", here / "wild")
    before = (here / "wild/checkpoints/last.pt").read_bytes()
    status, err = run("resume wild trainer.iterations=50 optimizer.lr=1e30 trainer.checkpoint_every=50")
    assert status == 3 and "checkpoint wild/checkpoints/last.pt is kept" in err
    assert (here / "wild/checkpoints/last.pt").read_bytes() == before
    failure = json.loads((here / "wild/failure.json").read_text())
    assert (failure["status"] == 3 and "is not finite" in failure["error"]) or "is nan" in failure["error"]
    assert run("resume wild trainer.iterations=50 optimizer.lr=1e-4")[0] == 0
    assert not (here / "wild/failure.json").exists()
