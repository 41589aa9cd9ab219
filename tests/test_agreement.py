import json

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from medq_engine.agreement import (
    MISSING,
    ac1,
    agreement_of,
    alpha,
    below_floor,
    gold_accuracy,
    kappa,
)
from medq_engine.annotations import reading, verdict_said
from medq_engine.descriptions import describe
from medq_engine.language import Finding
from medq_engine.statistics import wilson

# Krippendorff (2011), four observers, twelve units, missing values; in Gwet's irrCAC package it is
# the data set cac.raw4raters. 0 stands for no value.
FOUR_OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
).T
FOUR = FOUR_OBSERVERS - 1
# Krippendorff (2011), two observers, binary.
BINARY = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]]).T
# irrCAC's cont3x3abstractors: 100 patients, two abstractors.
ABSTRACTORS = np.repeat(
    [(one, other) for one in range(3) for other in range(3)],
    [13, 0, 0, 0, 20, 7, 0, 4, 56],
    axis=0,
)


@pytest.fixture
def task(task_row):
    """A task as the queue holds it."""

    def made(task_id, kind="yes-no", **changes):
        options = {"yes-no": ["Yes", "No"], "how": ["None", "Mild", "Severe"]}
        what = ["no degradation", "aliasing", "zipper artifact"]
        return task_row(task_id, question_type=kind, options=options.get(kind, what)) | changes

    return made


def read(tasks, **answers):
    """First readings of tasks by annotator name; "" is no reading."""
    return [
        reading(task, name, "batch", said)
        for name, given in answers.items()
        for task, said in zip(tasks, given, strict=True)
        if said
    ]


def agree(tasks, readings, seed=0, resamples=200):
    return agreement_of(tasks, readings, np.random.default_rng(seed), resamples)


@pytest.mark.parametrize(
    ("value", "published", "digits"),
    [
        (alpha(FOUR, 5, False), 0.743, 3),
        (alpha(FOUR, 5, True), 0.815, 3),
        (ac1(FOUR, 5), 0.77544, 5),
        (alpha(BINARY, 2, False), 0.095, 3),
        (alpha(ABSTRACTORS, 3, False), 0.7972585, 7),
        (ac1(ABSTRACTORS, 3), 0.8493305, 7),
        (kappa(ABSTRACTORS, 3, False), 0.7964094, 7),
    ],
)
def test_published_examples_come_out_as_published(value, published, digits):
    assert value.shape == (1,)
    assert round(float(value[0]), digits) == published


@pytest.mark.parametrize("weights", [None, "quadratic"])
def test_kappa_of_two_readers_is_scikit_learns(weights):
    rng = np.random.default_rng(0)
    one = rng.integers(0, 4, 80)
    other = np.where(rng.random(80) < 0.6, one, rng.integers(0, 4, 80))
    expected = cohen_kappa_score(one, other, weights=weights)
    found = kappa(np.stack([one, other], 1), 4, weights is not None)
    assert found[0] == pytest.approx(expected)


def test_kappa_of_three_readers_is_the_mean_over_pairs_by_tasks_shared():
    rng = np.random.default_rng(1)
    ratings = rng.integers(0, 3, (40, 3))
    ratings[:10, 2] = MISSING
    pairs = [(0, 1, slice(0, 40)), (0, 2, slice(10, 40)), (1, 2, slice(10, 40))]
    values = [cohen_kappa_score(ratings[rows, a], ratings[rows, b]) for a, b, rows in pairs]
    expected = np.average(values, weights=[40, 30, 30])
    assert kappa(ratings, 3, False)[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    "coefficient",
    [
        lambda *given: alpha(*given[:2], True, *given[2:]),
        lambda *given: kappa(*given[:2], True, *given[2:]),
        ac1,
    ],
)
def test_a_task_with_weight_two_counts_like_two_tasks(coefficient):
    weights = np.ones(12)
    weights[[1, 5]] = 2, 0
    rows = [0, 1, 1, 2, 3, 4, *range(6, 12)]
    weighted = coefficient(FOUR, 5, np.stack([np.ones(12), weights]))
    assert weighted[0] == pytest.approx(coefficient(FOUR, 5)[0])
    assert weighted[1] == pytest.approx(coefficient(FOUR[rows], 5)[0])


def test_ordinal_scales_forgive_neighbours_and_nominal_ones_do_not():
    near = np.array([[0, 0], [1, 1], [2, 2], [0, 1]])
    far = np.array([[0, 0], [1, 1], [2, 2], [0, 2]])
    for coefficient in (alpha, kappa):
        assert coefficient(near, 3, True) > coefficient(far, 3, True)
    assert kappa(near, 3, False) == pytest.approx(kappa(far, 3, False))


def test_each_kind_of_question_has_its_scale(task):
    tasks = [
        *(task(f"p{n}") for n in range(3)),
        *(task(f"s{n}", "how") for n in range(4)),
        *(task(f"f{n}", "what") for n in range(2)),
    ]
    first = ["Yes", "No", "Yes", "None", "Mild", "Severe", "Mild", "aliasing", "zipper artifact"]
    second = ["Yes", "No", "No", "None", "Mild", "Severe", "Severe", "aliasing", ""]
    found = agree(tasks, read(tasks, a=first, b=second))
    assert {scale: block["tasks"] for scale, block in found.items()} == {
        "severity": 4,
        "presence": 3,
        "fault": 1,
    }
    assert found["presence"]["exact"] == 2 / 3
    assert (found["presence"]["exact_low"], found["presence"]["exact_high"]) == wilson(2, 3, 0.95)
    codes = np.array([[0, 0], [1, 1], [2, 2], [1, 2]])
    assert found["severity"]["alpha"] == pytest.approx(alpha(codes, 3, True)[0])
    assert found["severity"]["kappa"] == pytest.approx(kappa(codes, 3, True)[0])
    assert found["severity"]["ac1"] == pytest.approx(ac1(codes, 3)[0])


def test_a_verdict_stands_in_its_field_or_ends_the_description(task):
    tasks = [task("t0"), task("t1")]
    mild = describe("mri", [Finding("aliasing", "mild")])
    rows = [
        reading(tasks[0], "a", "batch", "Yes", description=mild),
        reading(tasks[0], "b", "batch", "Yes", verdict="reject"),
        reading(tasks[1], "a", "batch", "Yes", verdict="usable"),
        reading(tasks[1], "b", "batch", "Yes", verdict="usable"),
    ]
    assert [verdict_said(row) for row in rows] == ["usable", "reject", "usable", "usable"]
    assert verdict_said(reading(tasks[0], "c", "batch", "Yes")) == ""
    assert agree(tasks, rows)["verdict"]["exact"] == 0.5


def test_adjudications_and_what_cannot_be_judged_are_left_out(task):
    tasks = [task("t0"), task("t1"), task("t2")]
    rows = read(tasks, a=["Yes", "No", "No"], b=["Yes", "", ""])
    rows.append(reading(tasks[1], "b", "batch", unjudged="too dark"))
    rows.append(reading(tasks[2], "c", "batch", "Yes", adjudicates=True))
    assert agree(tasks, rows)["presence"]["tasks"] == 1


def test_nobody_read_twice_gives_nothing(task):
    tasks = [task("t0"), task("t1")]
    assert agree(tasks, read(tasks, a=["Yes", ""], b=["", "No"])) == {}
    assert agree([], []) == {}


@pytest.mark.filterwarnings("error")
def test_what_cannot_be_computed_is_none_and_never_nan(task):
    one = [task("t0")]
    found = agree(one, read(one, a=["Yes"], b=["No"]))["presence"]
    assert (found["tasks"], found["exact"]) == (1, 0.0)
    assert [found[name] for name in ("alpha", "kappa", "ac1", "ac1_low")] == [None] * 4

    same = [task(f"t{n}") for n in range(6)]
    found = agree(same, read(same, a=["No"] * 6, b=["No"] * 6))["presence"]
    assert [found[name] for name in ("alpha", "alpha_high", "kappa", "kappa_low")] == [None] * 4
    # AC1 is made for this: all agree, though only one category was needed.
    assert (found["exact"], found["ac1"], found["ac1_low"]) == (1.0, 1.0, 1.0)

    # One "Yes" in three: three resamples in ten see "No" alone and have no value.
    rare = [task(f"t{n}") for n in range(3)]
    found = agree(rare, read(rare, a=["Yes", "No", "No"], b=["Yes", "No", "No"]))["presence"]
    assert (found["alpha"], found["alpha_low"], found["alpha_high"]) == (1.0, None, None)
    assert json.dumps(found, allow_nan=False)


def test_intervals_hold_the_value_and_narrow_with_the_root_of_tasks(task):
    rng = np.random.default_rng(3)
    first = rng.choice(["None", "Mild", "Severe"], 40)
    second = np.where(rng.random(40) < 0.7, first, rng.choice(["None", "Mild", "Severe"], 40))
    tasks = [task(f"t{n:03d}", "how") for n in range(360)]
    few = agree(tasks[:40], read(tasks[:40], a=first, b=second))["severity"]
    many = agree(tasks, read(tasks, a=np.tile(first, 9), b=np.tile(second, 9)))["severity"]
    for name in ("exact", "alpha", "kappa", "ac1"):
        for found in (few, many):
            assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]
        wide, narrow = (found[f"{name}_high"] - found[f"{name}_low"] for found in (few, many))
        assert 0.25 < narrow / wide < 0.42


def test_the_same_seed_gives_the_same_numbers_in_any_order_of_readings(task):
    tasks = [task(f"t{n}", "how") for n in range(8)]
    first = ["None", "Mild", "Severe", "Mild"] * 2
    rows = read(tasks, a=first, b=first[::-1])
    assert agree(tasks, rows) == agree(tasks[::-1], rows[::-1])


def test_gold_counts_what_is_right_and_cannot_judge_is_not(task):
    tasks = [task(f"t{n}", gold="Yes" if n < 4 else "") for n in range(6)]
    rows = read(tasks, a=["Yes", "Yes", "Yes", "No", "No", "No"], b=["", "Yes", "", "", "Yes", ""])
    rows.append(reading(tasks[0], "b", "batch", unjudged="too dark"))
    rows.append(reading(tasks[3], "c", "batch", "Yes", adjudicates=True))
    low, high = wilson(3, 4, 0.95)
    found = gold_accuracy(tasks, rows)
    assert found["a"] == {"tasks": 4, "right": 3, "rate": 0.75, "low": low, "high": high}
    assert (found["b"]["tasks"], found["b"]["right"]) == (2, 1)
    assert list(found) == ["a", "b"]


def test_only_who_is_surely_below_the_floor_is_named(task):
    tasks = [task(f"t{n:02d}", gold="Yes") for n in range(20)]
    wrong_often = ["Yes"] * 7 + ["No"] * 13
    unlucky = ["No", "No"] + [""] * 18
    gold = gold_accuracy(tasks, read(tasks, bad=wrong_often, few=unlucky, good=["Yes"] * 20))
    assert gold["few"]["rate"] == 0.0
    assert gold["few"]["high"] > 0.6
    assert below_floor(gold, 0.6) == ["bad"]
