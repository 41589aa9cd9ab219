import json

import numpy as np
import pytest

from medq_engine.config import QualityGate
from medq_engine.gate import Comparison, as_metrics, compare, decide, hold, interval, items_more
from medq_engine.statistics import Difference
from medq_engine.tables import ITEM, PREDICTION, table


def difference(value, low, high, floor=None, ceiling=None, items=100) -> Difference:
    floor = (value + low) / 2 if floor is None else floor
    ceiling = (value + high) / 2 if ceiling is None else ceiling
    return Difference(items, 50, 0.5, 0.5 + value, value, low, high, floor, ceiling)


def comparison(overall: Difference, **modalities: Difference) -> Comparison:
    return Comparison(overall, {"modality": modalities}, {}, {})


BETTER = difference(0.06, 0.02, 0.10)
EVEN = difference(0.0, -0.02, 0.02)


def test_better_overall_and_no_modality_worse_passes():
    decision = decide(comparison(BETTER, mri=BETTER, ct=EVEN), margin=0.05)
    assert decision.verdict == "pass"
    assert "+6.0 points (+2.0 to +10.0)" in decision.reason
    assert decision.items_more == 0


def test_worse_overall_fails():
    worse = difference(-0.06, -0.10, -0.02)
    decision = decide(comparison(worse, mri=EVEN), margin=0.5)
    assert decision.verdict == "fail"
    assert "worse overall" in decision.reason


def test_a_modality_that_surely_loses_more_than_the_margin_fails_a_better_model():
    lost = difference(-0.12, -0.18, -0.05, ceiling=-0.06)
    decision = decide(comparison(BETTER, mri=BETTER, ct=lost), margin=0.05)
    assert decision.verdict == "fail"
    assert "CT" in decision.reason
    assert "MRI" not in decision.reason


def test_no_sure_gain_is_inconclusive_and_says_how_many_items_would_tell():
    unsure = difference(0.02, -0.02, 0.06, items=100)
    decision = decide(comparison(unsure, mri=EVEN), margin=0.05)
    assert decision.verdict == "inconclusive"
    # The interval reaches twice the difference: four times the items, 300 more.
    assert decision.items_more == 300


@pytest.mark.parametrize(("low", "verdict"), [(0.0, "inconclusive"), (1e-9, "pass")])
def test_the_interval_must_clear_zero(low, verdict):
    decision = decide(comparison(difference(0.05, low, 0.1), mri=EVEN), margin=0.05)
    assert decision.verdict == verdict


@pytest.mark.parametrize(("floor", "verdict"), [(-0.05, "inconclusive"), (-0.0499, "pass")])
def test_a_modality_must_be_shown_to_lose_less_than_the_margin(floor, verdict):
    close = difference(0.0, -0.08, 0.08, floor=floor, ceiling=0.05)
    decision = decide(comparison(BETTER, mri=BETTER, ct=close), margin=0.05)
    assert decision.verdict == verdict
    assert ("CT" in decision.reason) == (verdict == "inconclusive")


def test_a_modality_at_the_margin_is_not_yet_shown_to_lose():
    close = difference(-0.06, -0.08, -0.04, floor=-0.07, ceiling=-0.05)
    assert decide(comparison(BETTER, ct=close), margin=0.05).verdict == "inconclusive"


def test_identical_models_are_inconclusive():
    zero = difference(0.0, 0.0, 0.0)
    decision = decide(comparison(zero, mri=zero), margin=0.05)
    assert (decision.verdict, decision.items_more) == ("inconclusive", 0)


@pytest.mark.parametrize(
    ("value", "bound", "target", "expected"),
    [
        (0.02, -0.02, 0.0, 300),
        (0.04, 0.02, 0.0, 0),
        (-0.01, -0.05, 0.0, 0),  # no number of items makes a loss a gain
        (0.0, -0.1, -0.05, 300),
        (0.0, -0.05, -0.05, 0),
    ],
)
def test_items_more_scales_the_width_with_the_root_of_the_items(value, bound, target, expected):
    found = items_more(difference(value, -0.5, 0.5, items=100), bound, target)
    assert found == pytest.approx(expected, abs=1)


def test_an_interval_is_printed_in_points():
    assert interval(difference(-0.013, -0.05, 0.021)) == "-1.3 points (-5.0 to +2.1)"


@pytest.fixture
def items(item_row):
    rows = [
        item_row(f"q{n}", scene_id=f"s{n // 2}", modality=["mri", "ct"][n // 2 % 2])
        for n in range(40)
    ]
    rows.append(item_row("open", task="description", question_type="", options=[], answer=""))
    return table(rows, ITEM)


def predictions(right: list[bool]):
    rows = [
        {"item_id": f"q{n}", "correct": ok, "failure": not ok, "probabilities": [0.6, 0.4]}
        for n, ok in enumerate(right)
    ]
    axes = dict.fromkeys(("completeness", "preciseness", "consistency", "quality"), 1)
    return table([*rows, {"item_id": "open", **axes}], PREDICTION)


def compared(items, before, after, seed=0) -> Comparison:
    pair = (predictions(before), predictions(after))
    return compare(items, *pair, 200, 0.95, np.random.default_rng(seed))


def test_models_are_compared_item_by_item_whatever_the_order_of_rows(items):
    before = [n % 2 == 0 for n in range(40)]
    after = [n % 4 != 1 for n in range(40)]
    found = compared(items, before, after)
    assert found.overall.items == 40
    assert found.overall.clusters == 20
    assert found.overall.value == pytest.approx(0.25)
    # The gain is on the odd items of the second pair of every four, all CT.
    assert found.slices["modality"]["ct"].value == pytest.approx(0.5)
    assert found.slices["modality"]["mri"].value == 0.0
    shuffled = predictions(after).sample(fraction=1, shuffle=True, seed=3)
    rng = np.random.default_rng(0)
    again = compare(items, predictions(before), shuffled, 200, 0.95, rng)
    assert again.overall == found.overall


def test_descriptions_do_not_decide(items):
    found = compared(items, [True] * 40, [True] * 40)
    assert found.overall.items == 40
    assert found.challenger["description"]["overall"] == 4.0


def test_metrics_are_plain_numbers(items):
    found = as_metrics(compared(items, [True] * 40, [False] * 40))
    assert found["overall"]["value"] == -1.0
    assert found["modality"]["ct"]["items"] == 20
    assert found["incumbent"]["accuracy"] == 1.0
    assert json.loads(json.dumps(found)) == found


SETTINGS = QualityGate(resamples=100, confidence=0.95, margin=0.05)
ALL, NONE, HALF = [True] * 40, [False] * 40, [n % 4 < 2 for n in range(40)]


def held(items, gate, test) -> dict[str, object]:
    """`hold` on predictions: gate = (incumbent, challenger), test = (base, incumbent, challenger).

    The same items stand for both splits.
    """
    right = {("base", "test"): test[0], ("incumbent", "test"): test[1]}
    right |= {("challenger", "test"): test[2]}
    right |= {("incumbent", "gate"): gate[0], ("challenger", "gate"): gate[1]}
    given = {key: predictions(value) for key, value in right.items()}
    return hold({"gate": items, "test": items}, given, SETTINGS, seed=1)


@pytest.mark.parametrize(
    ("gate", "verdict"),
    [((NONE, ALL), "pass"), ((ALL, NONE), "fail"), ((HALF, HALF), "inconclusive")],
)
def test_verdict_and_gate_do_not_move_with_the_test_predictions(items, gate, verdict):
    found = [held(items, gate, (NONE, *test)) for test in ((NONE, ALL), (ALL, NONE), (HALF, ALL))]
    assert found[0]["verdict"] == verdict
    assert found[0]["test"] != found[1]["test"]
    for other in found[1:]:
        for key in ("verdict", "reason", "items_more", "gate"):
            assert other[key] == found[0][key]


@pytest.mark.parametrize(
    ("gate", "in_force"),
    [((NONE, ALL), 1.0), ((ALL, NONE), 0.5), ((HALF, HALF), 0.5)],
    ids=["pass", "fail", "inconclusive"],
)
def test_since_base_is_about_the_model_in_force_after_the_verdict(items, gate, in_force):
    # On test the base is never right, the incumbent half of the time, the challenger always.
    found = held(items, gate, (NONE, HALF, ALL))["test_since_base"]
    assert found["incumbent"] == 0.0
    assert found["challenger"] == found["value"] == in_force
    assert found["items"] == sum(part["items"] for part in found["origin"].values()) == 40


def test_the_gate_is_held_the_same_way_twice(items):
    mixed = [n % 3 == 0 for n in range(40)]
    assert held(items, (mixed, HALF), (NONE, HALF, mixed)) == held(
        items, (mixed, HALF), (NONE, HALF, mixed)
    )
