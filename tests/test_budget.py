import numpy as np
import polars as pl
import pytest
from made_kinds import ITEMS, World

from medq_engine.budget import FLOOR, bandit_shares
from medq_engine.payoff import PAYOFF
from medq_engine.retrieval import allot, capability_shares
from medq_engine.tables import table

NONE = table([], PAYOFF)
ROUNDS, READINGS = 4, 200


def paper_shares(world: World, wrong: np.ndarray) -> np.ndarray:
    """The paper's rule, with modalities as capabilities."""
    modalities = [modality for modality, _ in world.kinds]
    errors = {m: wrong[np.array(modalities) == m].mean() / ITEMS for m in set(modalities)}
    return capability_shares(
        [errors[m] for m in modalities], np.maximum(wrong, 1e-9), modalities, alpha=1
    )


def points_gained(seed: int, *, bandit: bool, alike: bool) -> float:
    """True error that four rounds take off, mean over kinds, in points (simulated)."""
    rng = np.random.default_rng(seed)
    world = World.draw(60, rng, alike=alike)
    start, wrong, history = world.error, world.wrong(rng), NONE
    for number in range(1, ROUNDS + 1):
        shares = paper_shares(world, wrong)
        if bandit:
            draws = np.random.default_rng((seed, number))
            shares = bandit_shares(shares, world.kinds, history, draws)
        rows, wrong = world.round(allot(shares, READINGS), wrong, number, rng)
        history = pl.concat([history, rows])
    return 100 * float((start - world.error).mean())


def gains(alike: bool) -> tuple[np.ndarray, np.ndarray]:
    return tuple(
        np.array([points_gained(seed, bandit=bandit, alike=alike) for seed in range(10)])
        for bandit in (True, False)
    )


def test_where_kinds_differ_the_bandit_takes_off_more_errors_than_the_papers_rule():
    bandit, paper = gains(alike=False)
    assert bandit.mean() > 1.06 * paper.mean()
    assert (bandit > paper).mean() >= 0.8


def test_where_kinds_are_alike_learning_costs_little():
    bandit, paper = gains(alike=True)
    assert bandit.mean() > 0.97 * paper.mean()


def test_without_history_the_papers_shares_stand():
    paper = np.array([0.7, 0.3])
    shares = bandit_shares(paper, [("ct", "a"), ("ct", "b")], NONE, np.random.default_rng(0))
    assert shares.tolist() == paper.tolist()


def history(hits: int) -> pl.DataFrame:
    """Of 40 readings a kind, `hits` of the first and none of the second show the fault."""
    rows = [
        (number, "ct", kind, 20, found, found, ITEMS, 8, 8)
        for number in (1, 2)
        for kind, found in (("a", hits), ("b", 0))
    ]
    return table([dict(zip(PAYOFF, row, strict=True)) for row in rows], PAYOFF)


def test_what_found_nothing_gets_less_but_never_nothing():
    paper = np.array([0.25, 0.25, 0.5])
    kinds = [("ct", "a"), ("ct", "a"), ("ct", "b")]
    shares = bandit_shares(paper, kinds, history(16), np.random.default_rng(0))
    assert shares.sum() == pytest.approx(1)
    assert shares[0] == pytest.approx(shares[1])
    assert 0.5 * FLOOR <= shares[2] < 0.1


def test_shares_depend_on_the_seed_alone():
    kinds, paper = [("ct", "a"), ("ct", "b")], np.array([0.5, 0.5])
    one, again = (
        bandit_shares(paper, kinds, history(4), np.random.default_rng(5)) for _ in range(2)
    )
    assert one.tolist() == again.tolist()


def test_no_prototype_no_share():
    assert bandit_shares(np.array([]), [], history(4), np.random.default_rng(0)).size == 0
