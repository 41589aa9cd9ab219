import numpy as np
import polars as pl
import pytest
from made_kinds import ITEMS, World
from test_budget import paper_shares

from medq_engine.payoff import PAYOFF
from medq_engine.retrieval import allot
from medq_engine.saturation import saturated
from medq_engine.tables import table

RING = ("ct", "ring artifact")


def payoffs(*tried: tuple[int, int, int, int]) -> pl.DataFrame:
    """Rounds of the ring artifact (readings, hits, wrong before, after) beside ten that learn."""
    rows = []
    for number, (readings, hits, before, after) in enumerate(tried, 1):
        rows.append((number, *RING, readings, hits, hits, ITEMS, before, after))
        for k in range(10):
            rows.append(
                (number, "mri", f"fault {k}", 8, 6, 6, ITEMS, 11 - 3 * number, 9 - 3 * number)
            )
        rows += [(number, "mri", f"calm {k}", 0, 0, 0, ITEMS, k, k) for k in range(10)]
    return table([dict(zip(PAYOFF, row, strict=True)) for row in rows], PAYOFF)


def dropped(history: pl.DataFrame, now: dict | None = None) -> list[str]:
    found = saturated(
        history, now or {}, np.random.default_rng(0), least_readings=5, least_effect=0.05
    )
    assert {one.kind for one in found} <= {RING}
    return [one.reason for one in found]


def test_a_kind_that_two_rounds_did_not_improve_is_dropped_with_the_reason():
    (reason,) = dropped(payoffs((16, 0, 10, 10), (15, 1, 10, 11)))
    assert reason.startswith(
        "ring artifact, CT: 31 readings in rounds 1 and 2 (1 of them with the fault), error on dev "
        "77% before, 85% after; a further reading is worth at most "
    )


def test_readings_without_a_hit_and_hits_without_effect_both_weigh():
    assert dropped(payoffs((16, 0, 10, 10), (16, 0, 10, 10)))
    assert dropped(payoffs((20, 18, 12, 12), (20, 18, 12, 12)))


@pytest.mark.parametrize(
    "tried",
    [
        [(31, 0, 10, 10)],
        [(16, 0, 10, 10), (4, 0, 10, 10)],
        [(16, 1, 10, 10), (15, 1, 10, 8)],
        [(16, 12, 10, 10), (15, 12, 10, 10)][:1],
    ],
    ids=["one round", "too few readings", "the error fell", "one round with hits"],
)
def test_a_kind_stays(tried):
    assert not dropped(payoffs(*tried))


def test_the_last_two_rounds_with_enough_readings_count():
    rounds = [(12, 10, 11, 5), (16, 0, 5, 5), (0, 0, 5, 5), (40, 0, 5, 5)]
    (reason,) = dropped(payoffs(*rounds))
    assert "56 readings in rounds 2 and 4" in reason


def test_a_dropped_kind_comes_back_when_its_error_rises():
    history = payoffs((16, 0, 8, 8), (15, 0, 8, 8))
    assert dropped(history, {RING: 8 / ITEMS})
    assert not dropped(history, {RING: 9 / ITEMS})


def test_without_history_nothing_is_dropped():
    assert not dropped(payoffs())


def after_three_rounds(seed: int, *, alike: bool) -> tuple[World, np.ndarray]:
    """A world that the paper's rule taught, and which of its kinds are dropped then."""
    rng = np.random.default_rng(seed)
    world = World.draw(60, rng, alike=alike)
    wrong, history = world.wrong(rng), table([], PAYOFF)
    for number in (1, 2, 3):
        readings = allot(paper_shares(world, wrong), 300)
        rows, wrong = world.round(readings, wrong, number, rng)
        history = pl.concat([history, rows])
    out = saturated(history, {}, rng, least_readings=5, least_effect=0.05)
    kinds = {one.kind for one in out}
    return world, np.array([kind in kinds for kind in world.kinds])


def test_kinds_that_are_all_worth_the_same_are_hardly_ever_dropped():
    assert sum(after_three_rounds(seed, alike=True)[1].sum() for seed in range(6)) <= 3


def test_dropped_kinds_are_worth_less_than_half_of_those_that_stay():
    found = [after_three_rounds(seed, alike=False) for seed in range(6)]
    gone = np.concatenate([out for _, out in found])
    worth = np.concatenate([world.precision * world.cure for world, _ in found])
    assert 6 <= gone.sum() <= 60
    assert worth[gone].mean() < worth[~gone].mean() / 2
