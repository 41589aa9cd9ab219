from dataclasses import replace

import numpy as np
import pytest

from medq_engine.config import Retrieve, Saturation
from medq_engine.payoff import PAYOFF
from medq_engine.retrieval import Plan, allot, capability_shares, plan, retrieve, search
from medq_engine.tables import PROTOTYPE, table

EAST, NORTH = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]


def near(direction: list[float], count: int, seed: int = 0) -> np.ndarray:
    """Vectors of length 1 with cosines of about 0.9 to 0.99 to a direction, all different."""
    rng = np.random.default_rng(seed)
    rows = np.array(direction) + rng.uniform(0.05, 0.3, (count, 3)) * [-1, 1, 1]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def fetch(anchors, pool, allotted, **changes) -> list[tuple[int, int]]:
    """(image, prototype) of every candidate, one modality, unless changed."""
    settings = {
        "anchors": np.float32(anchors),
        "anchor_modalities": ["mri"] * len(anchors),
        "pool": np.float32(pool),
        "pool_modalities": ["mri"] * len(pool),
        "allotted": np.array(allotted),
        "threshold": 0.75,
        "near_duplicate": 1.1,
        "barred": (),
    }
    return [(c.image, c.prototype) for c in retrieve(**settings | changes)]


def test_alpha_zero_is_uniform_over_capabilities_and_mass_decides_within():
    shares = capability_shares([0.9, 0.9, 0.1], [30, 10, 5], ["a", "a", "b"], alpha=0)
    assert shares == pytest.approx([0.375, 0.125, 0.5])


@pytest.mark.parametrize(("alpha", "expected"), [(1, 0.6 / 0.8), (2, 0.36 / 0.40)])
def test_capabilities_share_by_error_to_the_alpha(alpha, expected):
    shares = capability_shares([0.6, 0.2], [1, 99], ["a", "b"], alpha)
    assert shares[0] == pytest.approx(expected)
    assert shares.sum() == pytest.approx(1)


@pytest.mark.parametrize("budget", [0, 1, 7, 100])
def test_the_allotted_tasks_sum_to_the_budget(budget):
    shares = np.random.default_rng(0).dirichlet(np.ones(6))
    found = allot(shares, budget)
    assert found.sum() == budget
    assert np.abs(found - shares * budget).max() < 1


def test_largest_remainders_are_rounded_up_and_ties_go_to_the_first():
    assert allot(np.array([0.25, 0.25, 0.5]), 5).tolist() == [1, 1, 3]
    assert allot(np.array([0.5, 0.5]), 3).tolist() == [2, 1]


def test_search_is_exact_and_nearest_first(unit_rows):
    pool = unit_rows(np.random.default_rng(1).normal(size=(50, 4)))
    anchors = pool[:3]
    cosines, found = search(anchors, pool, 5)
    expected = np.sort(anchors @ pool.T, axis=1)[:, ::-1][:, :5]
    assert cosines == pytest.approx(expected, abs=1e-6)
    assert found[:, 0].tolist() == [0, 1, 2]
    assert search(anchors, pool, 500)[1].shape == (3, 50)


def test_only_images_strictly_above_the_threshold_are_fetched_nearest_first(unit_rows):
    # Cosines to the anchor: 0.6, 0.8, 1.
    pool = [[0.6, 0.8, 0.0], [0.8, 0.6, 0.0], EAST]
    assert fetch([EAST], pool, [3]) == [(2, 0), (1, 0)]
    assert fetch([EAST], pool, [3], threshold=1.0) == []
    assert fetch([EAST], pool, [1]) == [(2, 0)]


def test_a_prototype_fetches_images_of_its_own_modality():
    pool = near(EAST, 6)
    modalities = ["mri", "ct"] * 3
    assert {i for i, _ in fetch([EAST], pool, [6], pool_modalities=modalities)} == {0, 2, 4}
    assert fetch([EAST], pool, [6], anchor_modalities=["fundus"]) == []


def test_barred_images_are_never_fetched():
    assert {i for i, _ in fetch([EAST], near(EAST, 6), [6], barred={1, 4})} == {0, 2, 3, 5}


def test_no_image_is_fetched_twice_and_prototypes_take_turns():
    pool = near(EAST, 6)
    found = fetch([EAST, EAST], pool, [3, 3])
    assert sorted(i for i, _ in found) == list(range(6))
    assert [p for _, p in found] == [0, 0, 0, 1, 1, 1]
    nearest = np.argsort(-(pool @ np.float32(EAST)))
    # Taking turns, each prototype has one of the two nearest.
    assert {p for i, p in found if i in nearest[:2]} == {0, 1}


def test_near_duplicates_of_a_fetched_image_are_passed_over(unit_rows):
    pool = unit_rows([[1, 0.1, 0], [1, 0.101, 0], [1, 0.5, 0]])
    assert fetch([EAST], pool, [3], near_duplicate=0.999) == [(0, 0), (2, 0)]
    assert len(fetch([EAST], pool, [3], near_duplicate=1.1)) == 3


def test_what_one_prototype_cannot_spend_goes_to_another():
    pool = np.vstack([near(EAST, 8, seed=1), [NORTH]])
    found = fetch([NORTH, EAST], pool, [4, 3])
    assert [p for _, p in found].count(0) == 1
    assert [p for _, p in found].count(1) == 6


def test_what_the_last_prototype_cannot_spend_goes_back_to_an_earlier_one():
    found = fetch([EAST, NORTH], [EAST, EAST, EAST, NORTH], [1, 3])
    assert sorted(found) == [(0, 0), (1, 0), (2, 0), (3, 1)]


def test_budget_without_any_image_is_passed_on_whole():
    pool = near(EAST, 6)
    assert len(fetch([EAST, NORTH], pool, [1, 3])) == 4
    assert len(fetch([NORTH, EAST], pool, [3, 1])) == 4


def test_near_duplicates_of_another_prototypes_candidate_are_refused(unit_rows):
    # The first two are one image; each anchor has one of them as its nearest.
    pool = unit_rows([[1, 1, 0], [1, 1.001, 0], [1, 0.5, 0], [0.5, 1, 0]])
    anchors = unit_rows([[1, 0.999, 0], [0.999, 1, 0]])
    assert sorted(i for i, _ in fetch(anchors, pool, [2, 2])) == [0, 1, 2, 3]
    found = [i for i, _ in fetch(anchors, pool, [2, 2], near_duplicate=0.999)]
    assert len({0, 1} & set(found)) == 1
    assert {2, 3} <= set(found)


def test_a_short_pool_gives_what_it_has():
    assert len(fetch([EAST, NORTH], near(EAST, 3), [10, 10])) == 3


@pytest.fixture
def settings() -> Retrieve:
    return Retrieve(
        strategy="prototypes",
        threshold=0.75,
        alpha=1.0,
        budget_rule="bandit",
        saturation=Saturation(least_readings=5, least_effect=0.05),
        budget=20,
        usual_share=0.0,
        control_share=0.2,
        near_duplicate=1.0,
        leakage_bits=4,
    )


def prototype(number: int, anchor: list[float]) -> dict[str, object]:
    return {
        "prototype_id": f"p{number:02d}",
        "name": "",
        "modality": "mri",
        "question_type": ["yes-no", "what"][number],
        "attribute": ["blur", "ghosting"][number],
        "severity": "mild",
        "mass": 5.0,
        "capability_error": [0.6, 0.2][number],
        "anchor": anchor,
        "anchor_item": "",
        "members": [],
    }


@pytest.fixture
def pool() -> np.ndarray:
    return np.vstack([near(EAST, 40, seed=1), near(NORTH, 40, seed=2)])


def planned(pool, settings, prototypes, barred=None, seed=0, payoffs=(), sources=None) -> Plan:
    return plan(
        table(prototypes, PROTOTYPE),
        pool,
        ["mri"] * len(pool),
        sources or ["one"] * len(pool),
        barred=np.zeros(len(pool), bool) if barred is None else barred,
        payoffs=table(payoffs, PAYOFF),
        errors={("mri", "blur"): 0.8, ("mri", "ghosting"): 0.8},
        settings=settings,
        rng=np.random.default_rng(seed),
    )


def paid(number: int, fault: str, hits: int, after: int) -> dict[str, object]:
    """What 20 readings of a kind brought in a round: hits, and wrong answers of 40 after it."""
    kind = {"modality": "mri", "attribute": fault}
    spent = {"readings": 20, "hits": hits, "labels": hits}
    return {"round": number, **kind, **spent, "items": 40, "wrong_before": 32, "wrong_after": after}


@pytest.fixture
def payoffs() -> list[dict[str, object]]:
    """Two rounds in which labels cured ghosting and did nothing for blur."""
    others = [paid(r, f"fault {n}", 10, 20) for r in (1, 2) for n in range(8)]
    blur = [paid(number, "blur", 0, 32) for number in (1, 2)]
    return [*others, *blur, *(paid(number, "ghosting", 16, 8) for number in (1, 2))]


def test_budget_goes_where_labels_paid(pool, settings, payoffs):
    both = [prototype(0, EAST), prototype(1, NORTH)]

    def share(rule: str, history) -> int:
        changed = replace(settings, budget_rule=rule, saturation=Saturation(50, 0.05))
        rows = planned(pool, changed, both, payoffs=history).rows
        return sum(row["prototype_id"] == "p01" for row in rows)

    assert share("paper", payoffs) == share("bandit", ()) == 4
    assert share("bandit", payoffs) > 4


def test_a_saturated_kind_is_dropped_with_its_reason(pool, settings, payoffs):
    found = planned(pool, settings, [prototype(0, EAST), prototype(1, NORTH)], payoffs=payoffs)
    assert [one.kind for one in found.dropped] == [("mri", "blur")]
    assert "40 readings in rounds 1 and 2" in found.dropped[0].reason
    assert {row["prototype_id"] for row in found.rows} == {"p01", ""}


def test_a_plan_spends_the_budget_by_error_and_adds_the_control_arm(pool, settings):
    rows = planned(pool, settings, [prototype(0, EAST), prototype(1, NORTH)]).rows
    arms = [(row["arm"], row["prototype_id"]) for row in rows]
    assert arms.count(("prototype", "p00")) == 12
    assert arms.count(("prototype", "p01")) == 4
    assert arms.count(("control", "")) == 4
    assert len({row["image"] for row in rows}) == 20
    assert all((row["cosine"] is None) == (row["arm"] == "control") for row in rows)


def test_barred_images_are_in_neither_arm(pool, settings):
    barred = np.arange(len(pool)) % 2 == 0
    rows = planned(pool, settings, [prototype(0, EAST), prototype(1, NORTH)], barred).rows
    assert len(rows) == 20
    assert all(row["image"] % 2 for row in rows)


def test_the_control_arm_is_random_and_seeded(pool, settings):
    def control(seed: int) -> list[int]:
        rows = planned(pool, settings, [prototype(0, EAST)], seed=seed).rows
        return [row["image"] for row in rows if row["arm"] == "control"]

    assert control(1) == control(1) != control(2)


def test_without_prototypes_only_the_control_arm_is_fetched(pool, settings):
    rows = planned(pool, settings, []).rows
    assert [row["arm"] for row in rows] == ["control"] * 4


def test_a_plan_takes_usual_images_of_the_sources_that_it_fetched_from(pool, settings):
    settings = replace(settings, usual_share=0.2)
    sources = ["site A"] * 40 + ["site B"] * 40  # all near EAST are from site A
    rows = planned(pool, settings, [prototype(0, EAST)], sources=sources).rows
    usual = [row for row in rows if row["arm"] == "usual"]
    assert len(usual) == 4
    assert all(row["image"] < 40 and row["prototype_id"] == "" for row in usual)
    assert len({row["image"] for row in rows}) == len(rows) == 20
