"""The time that a process may run."""

import time

import pytest

from gan_cli.utils import time_limit
from gan_cli.utils.time_limit import STARTED, TimeLimit, seconds, started


@pytest.mark.parametrize("text, value", [
    ("2h", 7200), ("90m", 5400), ("1h30m", 5400), (3600, 3600), ("3600", 3600), ("1.5h", 5400), ("1d", 86400),
    ("1h 5s", 3605),
])  # fmt: skip
def test_seconds(text: float | str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "h", "2 hours", "-1", 0, "1e400", float("nan"), True, "1..2h", "2h?"])
def test_no_time(text: float | str) -> None:
    with pytest.raises(ValueError, match="a time is a number of seconds"):
        seconds(text)


def test_the_process_began_before_now(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < time.monotonic() - started() < 24 * 3600
    monkeypatch.setenv(STARTED, "12.5")  # a trial counts from the start of its sweep
    assert started() == 12.5


def test_the_margin_is_a_save_and_an_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    """With saves of 10 s and iterations of 2 s, a limit of 100 s ends after second 88."""
    now = [0.0]
    monkeypatch.setenv(STARTED, "0")
    monkeypatch.setattr(time_limit.time, "monotonic", lambda: now[0])
    limit = TimeLimit("100")
    assert not TimeLimit(None).reached() and not limit.measured
    with limit.saving():
        now[0] = 10.0
    stops = []
    while not stops:
        now[0] += 2.0
        if limit.reached():
            stops.append(now[0])
    assert stops == [90.0] and limit.measured
