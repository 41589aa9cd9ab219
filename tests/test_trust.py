import numpy as np
import pytest

from medq_engine.evidence import Evidence
from medq_engine.trust import at_prevalence, cross_fitted, fit

OPTIONS = ("a", "b", "c", "d")


def made(count: int, seed: int = 0, follows: float = 0.0, share=(0.25,) * 4, accuracy=(0.7, 0.6)):
    """Tasks with a model and a draft that are right so often; evidence as `evidence` makes it.

    Args:
        follows: Where the model errs, probability that the draft says the same.
        share: Of the right answers.
        accuracy: Of the model and of the draft.
    """
    rng = np.random.default_rng(seed)
    truth = rng.choice(4, count, p=share)

    def said(chance: float) -> np.ndarray:
        other = (truth + rng.integers(1, 4, count)) % 4
        return np.where(rng.random(count) < chance, truth, other)

    own, draft = said(accuracy[0]), said(accuracy[1])
    draft = np.where((own != truth) & (rng.random(count) < follows), own, draft)
    each = np.eye(4)
    by_model = np.log(0.8 * each[own] + 0.05)
    both = each[own] * each[draft]
    features = np.stack([by_model, each[draft], each[own], both], axis=2)
    there = np.ones((count, 4), dtype=bool)
    return Evidence((OPTIONS,) * count, ("g",) * count, features, there, own, draft), truth


def error_where_both_agree(evidence: Evidence, posterior: np.ndarray) -> float:
    agree = np.flatnonzero(evidence.own == evidence.draft)
    return float(1 - posterior[agree, evidence.own[agree]].mean())


def test_what_is_said_to_be_probable_comes_true_as_often():
    evidence, truth = made(2000)
    fresh, right = made(4000, seed=1)
    found = fit(evidence, truth).posterior(fresh)
    assert found.sum(1) == pytest.approx(1)
    best, sure = found.argmax(1), found.max(1).round(2)
    levels = [level for level in np.unique(sure) if (sure == level).sum() > 150]
    assert len(levels) > 1
    for level in levels:
        assert (best == right)[sure == level].mean() == pytest.approx(level, abs=0.06)


def none(count: int) -> np.ndarray:
    """No image was drawn because it looks usual."""
    return np.zeros(count, dtype=bool)


def test_witnesses_who_err_together_count_for_less():
    apart = error_where_both_agree(made(2000)[0], fit(*made(2000)).posterior(made(2000)[0]))
    pair = made(2000, follows=0.7)
    together = error_where_both_agree(pair[0], fit(*pair).posterior(pair[0]))
    assert apart < 0.1
    assert together > 2 * apart


def test_an_option_that_does_not_exist_has_no_probability():
    evidence, truth = made(50)
    there = evidence.there.copy()
    there[:, 3] = False
    cut = Evidence(
        (OPTIONS[:3],) * 50, evidence.groups, evidence.features, there, evidence.own, evidence.draft
    )
    found = fit(cut, np.minimum(truth, 2)).posterior(cut)
    assert not found[:, 3].any()
    assert found.sum(1) == pytest.approx(1)


def test_prevalences_of_the_tasks_are_found_and_held_to_those_of_dev():
    evidence, truth = made(3000)
    trust = fit(evidence, truth)
    mostly_a = made(3000, seed=1, share=(0.85, 0.05, 0.05, 0.05))[0]
    plain, moved = (
        trust.posterior(mostly_a)[:, 0].mean(),
        trust.shifted(mostly_a, none(3000))[:, 0].mean(),
    )
    assert plain < 0.7
    assert 0.75 < moved < 0.9
    # Ten tasks are too few to move far.
    few = mostly_a[np.arange(10)]
    assert abs(trust.shifted(few, none(10))[:, 0].mean() - trust.posterior(few)[:, 0].mean()) < 0.05


def test_of_usual_images_the_share_without_a_fault_is_found_by_itself(monkeypatch):
    monkeypatch.setattr("medq_engine.trust.NOTHING", ("a",))
    trust = fit(*made(3000))
    batch, truth = made(300, seed=1, share=(0.85, 0.05, 0.05, 0.05))
    usual = np.arange(300) < 100
    plain, moved = trust.posterior(batch), trust.shifted(batch, usual)
    assert moved.sum(1) == pytest.approx(1)
    share = (truth[usual] == 0).mean()
    assert plain[usual, 0].mean() < moved[usual, 0].mean() - 0.1
    assert share - 0.15 < moved[usual, 0].mean() < share + 0.02
    # What is said of the other options among each other stays.
    assert moved[usual, 1:] / moved[usual, 1:].sum(1, keepdims=True) == pytest.approx(
        plain[usual, 1:] / plain[usual, 1:].sum(1, keepdims=True)
    )
    # The others are moved as if the usual ones were not there.
    others = np.flatnonzero(~usual)
    assert moved[others] == pytest.approx(trust.shifted(batch[others], none(200)))


def test_at_devs_own_prevalences_nothing_moves():
    posterior = np.array([[0.9, 0.1], [0.1, 0.9]])
    assert at_prevalence(posterior, np.array([0.5, 0.5])) == pytest.approx(posterior)


def test_a_group_that_dev_does_not_know_stays_as_it_is():
    evidence, truth = made(200)
    strange = Evidence(
        evidence.options,
        ("new",) * 200,
        *(getattr(evidence, n) for n in ("features", "there")),
        evidence.own,
        evidence.draft,
    )
    trust = fit(evidence, truth)
    assert trust.shifted(strange, none(200)) == pytest.approx(trust.posterior(strange))


def test_a_bias_of_a_group_is_learnt():
    """The model takes every d for an a in one group, and knows a d in the other."""
    evidence, truth = made(400, accuracy=(0.95, 0.4))
    groups = np.where(np.arange(400) % 2, "bad", "good")
    own = np.where((groups == "bad") & (truth == 3), 0, evidence.own)
    each = np.eye(4)
    features = evidence.features.copy()
    features[:, :, 0], features[:, :, 2] = np.log(0.8 * each[own] + 0.05), each[own]
    features[:, :, 3] = each[own] * each[evidence.draft]
    both = Evidence(evidence.options, tuple(groups), features, evidence.there, own, evidence.draft)
    found = fit(both, truth).posterior(both)[:, 3]
    says_a = own == 0
    assert found[says_a & (groups == "bad")].mean() > 2 * found[says_a & (groups == "good")].mean()


def test_nothing_of_a_scene_helps_to_judge_it():
    """Two rows of each scene, truth at random: what is learnt of one must not tell the other."""
    evidence, _ = made(60, accuracy=(0.25, 0.25))
    truth = np.random.default_rng(3).integers(0, 4, 30).repeat(2)
    groups = tuple(f"g{n}" for n in range(30) for _ in range(2))
    known = Evidence(
        evidence.options, groups, evidence.features, evidence.there, evidence.own, evidence.draft
    )
    scenes = [f"s{n}" for n in range(30) for _ in range(2)]
    start = fit(known, truth)
    rows = np.arange(60)
    inside = start.posterior(known)[rows, truth].mean()
    outside = cross_fitted(known, truth, scenes, start)[rows, truth].mean()
    assert inside > 0.35
    assert outside < 0.3


def test_where_a_fit_starts_does_not_matter():
    evidence, truth = made(300)
    half = fit(evidence[np.arange(150)], truth[:150])
    one, other = fit(evidence, truth), fit(evidence, truth, half)
    assert one.posterior(evidence) == pytest.approx(other.posterior(evidence), abs=2e-3)


def test_without_a_second_scene_nothing_is_known():
    evidence, truth = made(4)
    found = cross_fitted(evidence, truth, ["s"] * 4, fit(evidence, truth))
    assert found == pytest.approx(np.full((4, 4), 0.25))
