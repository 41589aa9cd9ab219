"""Reliability bins: every answer in one bin, and the error that confidence computes."""

import pytest

from medq_engine.forecasts import reliability_bins
from medq_engine.tables import ITEM, PREDICTION, table

# probability of the chosen answer, right
GIVEN = [(0.95, True), (0.91, False), (1.0, True), (0.55, False)]


def measured():
    items = [{"item_id": f"i{n}", "task": "perception"} for n in range(len(GIVEN))]
    said = [
        {"item_id": f"i{n}", "probabilities": [1 - p, p], "correct": right}
        for n, (p, right) in enumerate(GIVEN)
    ]
    items.append({"item_id": "d", "task": "description"})
    said.append({"item_id": "d"})
    return reliability_bins(table(items, ITEM), table(said, PREDICTION))


def test_every_answer_stands_in_one_bin():
    found = measured()
    assert found["items"] == sum(row["items"] for row in found["bins"]) == 4
    assert [row["items"] for row in found["bins"]] == [0, 0, 0, 0, 0, 1, 0, 0, 0, 3]
    assert found["bins"][9]["confidence"] == pytest.approx((0.95 + 0.91 + 1.0) / 3)
    assert found["bins"][9]["accuracy"] == pytest.approx(2 / 3)
    assert found["bins"][0]["accuracy"] is None


def test_the_error_is_the_gap_weighted_by_items():
    gaps = 3 * abs((0.95 + 0.91 + 1.0) / 3 - 2 / 3) + 0.55
    assert measured()["ece"] == pytest.approx(gaps / 4)
