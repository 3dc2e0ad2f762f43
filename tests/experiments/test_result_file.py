"""What a result file keeps of a run."""

from __future__ import annotations

from gan_cli.experiments.result_file import CURVE_POINTS, _curves


def test_curves_keep_the_scores_and_their_last_point() -> None:
    scores = [(10 * (i + 1), float(i)) for i in range(CURVE_POINTS * 3 + 1)]
    kept = _curves({"metric/modes": scores, "metric/kl": [(5, float("inf"))], "d/adversarial": [(1, 0.5)]})
    assert list(kept) == ["modes", "kl"] and kept["kl"] == [[5, None]]
    assert kept["modes"][-1] == [10 * len(scores), float(len(scores) - 1)] and len(kept["modes"]) <= CURVE_POINTS
    distances = {after[0] - before[0] for before, after in zip(kept["modes"], kept["modes"][1:])}
    assert distances == {40}
