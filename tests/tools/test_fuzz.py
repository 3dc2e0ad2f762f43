"""benchmarks/fuzz.py: what counts as a fault, verdicts that come with the cases, and a small slice of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

sys.path.append(str(ROOT / "benchmarks"))

import fuzz
from fuzz_settings import EITHER, REFUSED, RUN, Case, mutations, small

SEED = 42


@pytest.mark.parametrize(
    ("status", "expected", "output", "errors", "changed", "problem"),
    [
        (0, RUN, "training", "", ["run/config.yaml"], ""),
        (2, REFUSED, "", "gan: n must be 1 or more\n", [], ""),
        (0, EITHER, "", "", [], ""),
        (0, REFUSED, "", "", [], "status 0, not 2"),
        (2, RUN, "", "gan: n must be 1 or more\n", [], "status 2, not 0: gan: n must"),
        (1, EITHER, "", "gan: unexpected KeyError: 'n'\n", [], "status 1"),
        (2, REFUSED, "", "Traceback (most recent call last):\ngan: n\n", [], "a traceback"),
        (None, RUN, "", "", [], "it hangs"),
        (2, REFUSED, "", "", [], "0 lines of error"),
        (2, REFUSED, "", "UserWarning: old\ngan: n is wrong\n", [], "an error of 2 lines"),
        (2, REFUSED, "", "gan: " + 700 * "n" + "\n", [], "an error of 1 lines, 705 characters"),
        (2, REFUSED, "", "gan: n is wrong\n", ["run/.lock"], "refused, but it left run/.lock"),
    ],
)
def test_what_counts_as_a_fault(status, expected, output, errors, changed, problem) -> None:
    found = fuzz.wrong(Case(["train"], expected, ""), status, output, errors, changed)
    assert found.startswith(problem) and bool(found) == bool(problem)


def test_verdicts_follow_from_the_kind_of_a_value() -> None:
    found = {word: expected for group in mutations(small("dcgan"), "model.generator.width") for word, expected,
    _ in group}
    assert {found[f"model.generator.width={text}"] for text in ("true", "1.5", "abc", "null", "[1]", "nan",
    "-1")} == {REFUSED}
    found = {word: expected for group in mutations(small("dcgan"), "trainer.prefetch") for word, expected, _ in group}
    assert {found[f"trainer.prefetch={text}"] for text in ("true", "false")} == {RUN}
    assert found["trainer.prefetch=1.5"] == REFUSED and "trainer.prefetch=null" not in found


def test_a_hanging_command_is_killed_and_its_files_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "SECONDS", 0.5)
    monkeypatch.setattr(fuzz, "start", lambda words, folder, output: _sleeping(folder))
    (attempt,) = fuzz.attempts([(0, Case(["train"], RUN, ""))], tmp_path, 1)
    assert attempt.status is None and attempt.problem.startswith("it hangs") and attempt.seconds < 30
    with pytest.raises(ProcessLookupError):
        os.kill(attempt.child, 0)


def _sleeping(folder: Path) -> int:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], cwd=folder,
    start_new_session=True)
    process.returncode = 0  # waited for by its number
    return process.pid


def test_a_slice(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks/fuzz.py"), "--cases=6", f"--seed={SEED}",
    f"--accepted={tmp_path / 'a'}"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0 and f"6 of 6 as expected (seed {SEED}" in done.stdout, done.stdout + done.stderr
    assert 0 < len((tmp_path / "a").read_text().splitlines()) < 6
