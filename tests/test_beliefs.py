import numpy as np
import polars as pl
import pytest
from made_kinds import ITEMS, PERSISTENCE, World

from medq_engine.beliefs import believe, per_reading
from medq_engine.payoff import PAYOFF
from medq_engine.tables import table

WORLDS = 25


def one_round(seed: int, cure: float, persistence: float = PERSISTENCE) -> pl.DataFrame:
    """Kinds that fail get the readings; all have the same cure."""
    rng = np.random.default_rng(seed)
    world = World.draw(60, rng)
    world.cure, world.persistence = np.full(60, cure), persistence
    before = world.wrong(rng)
    readings = np.round(250 * before**2 / (before**2).sum()).astype(int)
    return world.round(readings, before, 1, rng)[0]


def naive(rows: pl.DataFrame) -> float:
    """Fall of the error of the kinds that got labels, by label and error: no comparison at all."""
    fetched = rows.filter(pl.col("labels") > 0)
    fall = (fetched["wrong_before"] - fetched["wrong_after"]).sum()
    return fall / (fetched["labels"] * fetched["wrong_before"]).sum()


def test_labels_that_cure_nothing_are_not_credited_with_the_regression_to_the_mean():
    rounds = [one_round(seed, cure=0.0, persistence=0.0) for seed in range(WORLDS)]
    fooled = np.array([naive(rows) for rows in rounds])
    believed = np.array([believe(rows).new_cure[0] for rows in rounds])
    error = believed.std() / np.sqrt(WORLDS)
    assert fooled.mean() > 4 * fooled.std() / np.sqrt(WORLDS)
    assert abs(believed.mean()) < 3 * error
    assert abs(believed.mean()) < fooled.mean() / 3


def test_labels_that_cure_are_credited():
    """A little less than they cure: a kind's second label finds fewer errors than its first."""
    believed = [believe(one_round(seed, cure=0.05)).new_cure[0] for seed in range(WORLDS)]
    assert 0.03 < np.mean(believed) < 0.05


def test_the_cure_of_a_kind_is_in_its_interval_as_often_as_it_says():
    inside = []
    for seed in range(WORLDS):
        cures = np.array(list(believe(one_round(seed, cure=0.03)).cures.values()))
        inside.append(np.abs(cures[:, 0] - 0.03) < 1.645 * cures[:, 1])
    assert np.mean(inside) > 0.85


def row(number: int, kind: str, readings: int, hits: int, wrong: tuple[int, int]) -> tuple:
    return (number, "ct", kind, readings, hits, hits, ITEMS, *wrong)


def rows_of(*rows: tuple) -> pl.DataFrame:
    return table([dict(zip(PAYOFF, values, strict=True)) for values in rows], PAYOFF)


def test_a_precision_is_drawn_towards_that_of_all_kinds_the_more_the_fewer_its_readings():
    beliefs = believe(
        rows_of(
            row(1, "few", 2, 2, (8, 8)),
            row(1, "many", 40, 38, (8, 8)),
            row(1, "none", 40, 2, (8, 8)),
        )
    )
    mean = {kind[1]: a / (a + b) for kind, (a, b) in beliefs.precisions.items()}
    assert mean["none"] < 0.15 < mean["few"] < mean["many"]
    a, b = beliefs.new_precision
    assert a / (a + b) == pytest.approx(42.5 / 83, abs=0.02)


def test_a_kind_that_learns_is_told_from_one_that_does_not():
    rounds = [
        row(number, kind, 10, 8, wrong)
        for number, (learns, stays) in enumerate([((12, 6), (12, 12)), ((6, 3), (12, 12))], 1)
        for kind, wrong in (("learns", learns), ("stays", stays))
    ] + [row(n, f"other {k}", 0, 0, (8, 8)) for n in (1, 2) for k in range(10)]
    beliefs = believe(rows_of(*rounds))
    assert beliefs.cures["ct", "learns"][0] > beliefs.cures["ct", "stays"][0] + 0.01
    draws = beliefs.payoffs([("ct", "learns"), ("ct", "stays")], 500, np.random.default_rng(0))
    assert draws.shape == (500, 2)
    assert (draws > 0).all()
    assert draws[:, 0].mean() > draws[:, 1].mean()


def test_a_kind_that_no_round_saw_is_believed_to_be_as_the_others_are():
    beliefs = believe(one_round(3, cure=0.05))
    kinds = [("ct", "unheard of"), *beliefs.cures]
    worth = beliefs.payoffs(kinds, 2000, np.random.default_rng(0)).mean(0)
    assert worth[0] == pytest.approx(worth[1:].mean(), rel=0.3)
    assert worth[1:].max() > 1.5 * worth[0]


def test_a_round_without_any_label_leaves_the_prior():
    beliefs = believe(rows_of(row(1, "a", 0, 0, (5, 5)), row(1, "b", 0, 0, (9, 8))))
    assert beliefs.cures["ct", "a"] == pytest.approx(beliefs.cures["ct", "b"])
    assert beliefs.precisions["ct", "a"] == beliefs.new_precision


def test_what_a_reading_cures_is_told_with_its_interval_and_the_best_first():
    rows = pl.concat([one_round(seed, cure=0.05).with_columns(round=seed) for seed in (1, 2)])
    told = per_reading(rows.cast(PAYOFF), np.random.default_rng(0))
    assert told["cured"].is_sorted(descending=True)
    assert ((told["low"] < told["cured"]) & (told["cured"] < told["high"])).all()
    assert told["readings"].sum() == rows["readings"].sum()
    hit_rate = told["hits"] / (told["readings"] + 1)
    assert hit_rate[:10].mean() > hit_rate[-10:].mean()
