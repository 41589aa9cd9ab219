"""Blind baselines: they find what is planted in the questions, and nothing where nothing is."""

import json
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from medq_engine import blind
from medq_engine.descriptions import FIRST, SECOND
from medq_engine.tables import ITEM, table

FAULTS = [f"fault {letter}" for letter in "abcdefgh"]
Row = dict[str, object]
Leak = Callable[[Row, np.random.Generator], None]


def fair(index: int, rng: np.random.Generator) -> Row:
    """A what-item whose right option nothing but the image tells."""
    options = [str(option) for option in rng.choice(FAULTS, 4, replace=False)]
    return {
        "item_id": f"i{index}",
        "task": "perception",
        "question": "Which degradation is most visible in this image?",
        "options": options,
        "answer": options[int(rng.integers(4))],
        "question_type": "what",
        "modality": ("ct", "mri")[int(rng.integers(2))],
        "subject_id": f"s{index // 4}",
        "scene_id": f"c{index // 2}",
    }


def none(row: Row, rng: np.random.Generator) -> None:
    """Nothing to find."""


def favourite_answer(row: Row, rng: np.random.Generator) -> None:
    if FAULTS[0] in row["options"]:
        row["answer"] = FAULTS[0]


def favourite_place(row: Row, rng: np.random.Generator) -> None:
    if rng.random() < 0.5:
        row["answer"] = row["options"][2]


def telling_question(row: Row, rng: np.random.Generator) -> None:
    fault = int(rng.integers(len(FAULTS)))
    often = rng.random() < 0.9
    row["question"] = f"Is there {FAULTS[fault]} in this image?"
    row["options"] = ["Yes", "No"]
    row["answer"] = "Yes" if often == (fault < 4) else "No"


def telling_modality(row: Row, rng: np.random.Generator) -> None:
    row["options"] = ["Yes", "No"]
    row["answer"] = "Yes" if (rng.random() < 0.9) == (row["modality"] == "ct") else "No"


def longest(row: Row, rng: np.random.Generator) -> None:
    """No text comes twice, but the right one is mostly the longest."""
    lengths = [9, 9, 9, 9]
    right = int(rng.integers(4))
    lengths[right if rng.random() < 0.7 else 0] = 12
    row["options"] = ["".join(map(str, rng.integers(10, size=length))) for length in lengths]
    row["answer"] = row["options"][right]


def split(count: int, leak: Leak, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [fair(index, rng) for index in range(count)]
    for row in rows:
        leak(row, rng)
        row["subject_id"] = f"{seed}-{row['subject_id']}"
        row["scene_id"] = f"{seed}-{row['scene_id']}"
    return table(rows, ITEM)


def splits(leak: Leak) -> dict[str, pl.DataFrame]:
    return {"dev": split(150, leak, 1), "gate": split(150, leak, 2), "test": split(200, leak, 3)}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(blind, "RESAMPLES", 200)


@pytest.mark.parametrize("how", ["test", "cross_validation"])
@pytest.mark.parametrize(
    ("leak", "answer_only", "question_only"),
    [
        (none, False, False),
        (favourite_answer, True, True),
        (favourite_place, True, True),
        (telling_question, False, True),
        (telling_modality, False, True),
        (longest, False, True),
    ],
)
def test_a_baseline_beats_chance_where_and_only_where_it_can_know(
    how, leak, answer_only, question_only
):
    row = blind.measure(splits(leak), seed=1)[how]["what"]
    assert (row["answer_only"]["over_chance"]["low"] > 0) == answer_only
    assert (row["question_only"]["over_chance"]["low"] > 0.05) == question_only
    if not question_only:
        assert row["question_only"]["over_chance"]["value"] < 0.06


def test_items_chance_and_intervals_fit_together():
    row = blind.measure(splits(favourite_place), seed=1)["test"]["what"]
    assert row["items"] == 200
    assert row["chance"] == 0.25
    for name in blind.BASELINES:
        accuracy, over = row[name]["accuracy"], row[name]["over_chance"]
        assert accuracy["low"] < accuracy["value"] < accuracy["high"]
        for part in ("value", "low", "high"):
            assert accuracy[part] - over[part] == pytest.approx(0.25)


def test_every_item_of_every_split_is_asked_once_in_cross_validation():
    found = blind.measure(splits(none), seed=1)
    assert found["cross_validation"]["what"]["items"] == 500


def test_exact_balance_inside_a_split_does_not_push_guesses_below_chance():
    balanced = splits(none)
    for name, items in balanced.items():
        answers = ["Yes", "No"] * (len(items) // 2)
        balanced[name] = items.with_columns(
            options=pl.lit(["Yes", "No"]), answer=pl.Series(answers), modality=pl.lit("ct")
        )
    row = blind.measure(balanced, seed=1)["cross_validation"]["what"]
    for name in blind.BASELINES:
        assert row[name]["accuracy"]["value"] == 0.5


def test_only_question_options_and_modality_are_seen():
    seen = splits(none)
    told = {
        name: items.with_columns(
            reference=pl.col("answer"),
            attribute=pl.col("answer"),
            verdict=pl.col("answer"),
            severity=pl.col("answer"),
        )
        for name, items in seen.items()
    }
    assert blind.measure(told, seed=1) == blind.measure(seen, seed=1)


def test_types_and_option_sets_of_how_are_told_apart():
    def several(row: Row, rng: np.random.Generator) -> None:
        draw = int(rng.integers(4))
        if draw < 2:
            row["question_type"] = "how"
            row["options"] = [["Severe", "None", "Mild"], ["Good", "Usable", "Reject"]][draw]
        elif draw == 2:
            row |= {"question_type": "coarse-grained", "task": "comparison", "options": []}
        row["answer"] = str(rng.choice(row["options"] or [FIRST, SECOND]))

    found = blind.measure(splits(several), seed=1)["test"]
    sets = ["how (Good, Usable, Reject)", "how (None, Mild, Severe)"]
    assert list(found) == ["what", "how", *sets, "comparison"]
    assert found["how"]["items"] == sum(found[name]["items"] for name in sets)
    assert found["comparison"]["chance"] == 0.5
    assert 0.4 < found["comparison"]["answer_only"]["accuracy"]["value"] < 0.6


def test_descriptions_are_no_closed_items():
    described = {
        name: pl.concat(
            [
                items,
                items.with_columns(task=pl.lit("description"), options=pl.lit([], ITEM["options"])),
            ]
        )
        for name, items in splits(none).items()
    }
    assert blind.measure(described, seed=1) == blind.measure(splits(none), seed=1)


def test_the_answer_that_is_right_most_often_when_offered_wins_over_the_most_frequent_one():
    offered = [(["a", "b"], "a")] * 6 + [(["a", "b"], "b")] * 4 + [(["c", "a"], "c")] * 3
    items = table(
        (
            {"options": options, "answer": answer, "question": "", "modality": "ct"}
            for options, answer in [*offered, (["a", "c"], "c")]
        ),
        ITEM,
    )
    guess = blind.answer_only(blind.Questions(items))
    assert guess(np.arange(13), np.array([0, 13])).tolist() == [0, 1]


def test_the_same_items_and_seed_give_the_same_json():
    first, second = (json.dumps(blind.measure(splits(longest), seed=4)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda s: {"dev": s["dev"]}, "want 'test'"),
        (lambda s: {"test": s["test"]}, "want 'test'"),
        (lambda s: {"dev": s["dev"][:0], "test": s["test"]}, "'what' is in 'test' only"),
    ],
)
def test_what_is_missing_is_said(broken, said):
    with pytest.raises(blind.BlindError, match=said):
        blind.measure(broken(splits(none)), seed=1)
