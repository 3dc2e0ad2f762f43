"""`gan demo scores`: what each score must say about generators with a known failure."""

import csv
from pathlib import Path

import pytest
from pytest import approx

from gan_cli.tools.demos import scores


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    folder: Path = tmp_path_factory.mktemp("scores")
    scores.run(folder)
    assert 0 < (folder / "scores.png").stat().st_size < 150_000
    rows = csv.DictReader((folder / "scores.csv").open())
    return {row.pop("generated"): {name: float(value) for name, value in row.items()} for row in rows}


def test_the_classes_are_exact() -> None:
    probabilities = scores.logits(scores.DATA.modes).softmax(1)
    assert probabilities.argmax(1).tolist() == list(range(8))
    assert probabilities.diagonal().min() > 0.98


def test_a_second_sample_of_the_data_is_good_in_every_score(table) -> None:
    row = table["as the data"]
    assert row["FID"] < 0.01 and abs(row["KID"]) < 0.01
    assert row["IS"] == approx(8, abs=0.4) and row["mode score"] == approx(row["IS"], abs=0.1)
    assert min(row[name] for name in ("precision", "recall", "coverage")) > 0.95
    assert row["density"] == approx(1, abs=0.05)
    assert row["1-NN real"] == approx(0.5, abs=0.05) and row["1-NN generated"] == approx(0.5, abs=0.05)


def test_each_failure_is_noticed_by_some_scores_and_missed_by_others(table) -> None:
    good = table["as the data"]
    assert table["noise added"]["precision"] < 0.85 and table["noise added"]["recall"] > 0.95
    half = table["4 of 8 modes"]
    assert half["FID"] < 0.01 and half["precision"] > 0.95  # the same mean and covariance
    assert half["IS"] == approx(good["IS"] / 2, abs=0.3) and half["recall"] == approx(0.5, abs=0.05)
    assert half["mode score"] == approx(half["IS"] / 2, abs=0.1)  # KL(p(y) || p*(y)) = log 2
    one = table["1 of 8 modes"]
    assert one["FID"] > 1 and one["IS"] == approx(1, abs=0.1) and one["recall"] < 0.2
    collapsed = table["collapsed modes"]
    assert collapsed["IS"] > good["IS"] and collapsed["FID"] < 0.01  # both miss it
    assert collapsed["recall"] < 0.05 and collapsed["coverage"] < 0.15
    copies = table["copies of data"]
    assert copies["FID"] == approx(0, abs=1e-9) and copies["precision"] == copies["recall"] == 1
    assert copies["1-NN real"] == copies["1-NN generated"] == 0  # the only score that notices
