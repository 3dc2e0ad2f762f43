"""Progress lines at times that are set by hand."""

import contextlib
import io

import pytest

from gan_cli.training.logger import TrainingProgress
from gan_cli.utils import progress
from gan_cli.utils.progress import Progress, clock


class Clock:
    now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that progress reads; add to its `now`."""
    fake = Clock()
    monkeypatch.setattr(progress.time, "perf_counter", fake.perf_counter)
    return fake


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_clock() -> None:
    assert [clock(s) for s in (0, 59.6, 3599, 3600, 90061)] == ["0:00", "1:00", "59:59", "1:00:00", "25:01:01"]


def test_a_line_every_five_seconds(time: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    work = Progress(2000, "images", label="decoding")
    for _ in range(12):
        time.now += 1
        work.advance(100)
    assert capsys.readouterr().out.splitlines() == [
        "decoding 600/2,000 images  100 images/s  left 0:14",
        "decoding 1,200/2,000 images  100 images/s  left 0:08",
    ]


def test_rates_below_one_per_second_and_work_done_before(time: Clock) -> None:
    trials = Progress(10, "trials", done=2)
    trials.skip(2)
    assert trials.status() == "4/10 trials"
    time.now += 30
    trials.advance()
    assert trials.status() == "5/10 trials  2 trials/min  left 2:30"  # one in 30 s: the four skipped ones do not count
    time.now += 330
    assert trials.status() == "5/10 trials  10 trials/h  left 30:00"
    unknown = Progress(0, "MB")
    time.now += 2
    unknown.advance(5)
    assert unknown.status() == "5 MB  2.5 MB/s"


def test_a_terminal_shows_one_line_that_ends(time: Clock) -> None:
    with contextlib.redirect_stdout(Terminal()) as screen:
        work = Progress(3, "images")
        time.now += 1
        work.advance()
        work.say("note")
        work.advance()  # at the same time: not shown
        work.advance()
    first, note, last = screen.getvalue().split(progress.CLEAR)[1:]
    assert first == "1/3 images  1 images/s  left 0:02" and note == "note\n"
    assert last == "3/3 images  3 images/s  left 0:00\n"


def test_training_shows_the_first_iterations_and_the_last_one(time: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    run = TrainingProgress(10, 20, batch_size=8)
    for iteration in range(11, 21):
        time.now += 0.5
        run.show(iteration, run.rate(iteration), {"d/adversarial": 1.25, "d/grad_norm": 9.0})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "iteration 11/20  2 it/s  16 images/s  left 0:04  d/adversarial 1.25" and len(lines) == 2
    assert lines[1].startswith("iteration 20/20  2 it/s  16 images/s  left 0:00")
