import numpy as np
import pytest
from scipy.special import softmax

from medq_engine.confidence import (
    TEMPERATURES,
    apply_platt,
    apply_temperature,
    fit_platt,
    fit_temperature,
    forecast_scores,
    recalibrated,
    reliability,
    top,
)

SEVERAL = (2, 3, 4, 25)
"""Numbers of options that items of one benchmark may have."""


def forecaster(sharpness: float, items: int = 600, seed: int = 0):
    """Probabilities, right options and scenes of a model whose log-odds are `sharpness` too big."""
    rng = np.random.default_rng(seed)
    logits = [rng.normal(0, 1.5, rng.choice(SEVERAL)) for _ in range(items)]
    truth = [int(rng.choice(len(z), p=softmax(z))) for z in logits]
    return [softmax(sharpness * z) for z in logits], truth, [f"s{i // 3}" for i in range(items)]


def right(probabilities, truth) -> np.ndarray:
    return np.array([p.argmax() == t for p, t in zip(probabilities, truth, strict=True)], float)


def test_reliability_of_a_known_example():
    # Two sure answers, one of them wrong, and two even ones, both right.
    found = reliability(
        np.array([1.0, 0.0, 1.0, 1.0]), [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.5, 0.5]]
    )
    assert found["shift"] == pytest.approx(0.5 - 0.75)
    # Over all answers confidence equals accuracy; only bins show that neither half is calibrated.
    assert found["ece"] == pytest.approx(0.5 * 0.5 + 0.5 * 0.5)
    assert found["brier"] == pytest.approx((0 + 1 + 0.25 + 0.25) / 4)
    assert found["auroc"] == pytest.approx((0.5 + 0 + 0) / 3)


def test_calibration_shift_is_certainty_less_accuracy():
    # 1 - H / log 4 of (1/2, 1/2, 0, 0) is 1 - log 2 / log 4 = 1/2.
    overconfident = reliability(np.zeros(2), [[0.5, 0.5, 0.0, 0.0]] * 2)
    assert overconfident["shift"] == pytest.approx(0.5)
    assert overconfident["auroc"] is None
    modest = reliability(np.ones(2), [[0.25] * 4] * 2)
    assert modest["shift"] == pytest.approx(-1.0)


def test_auroc_ranks_right_above_wrong():
    found = reliability(np.array([1.0, 0.0]), [[0.9, 0.1], [0.6, 0.4]])
    assert found["auroc"] == 1.0


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_fitted_temperature_undoes_the_sharpening(sharpness):
    probabilities, truth, _ = forecaster(sharpness, items=2000)
    assert fit_temperature(probabilities, truth) == pytest.approx(sharpness, rel=0.12)


def test_temperature_keeps_the_answer_and_the_number_of_options():
    probabilities, _, _ = forecaster(3.0, items=40)
    scaled = apply_temperature(probabilities, 3.0)
    assert [len(p) for p in scaled] == [len(p) for p in probabilities]
    assert [p.argmax() for p in scaled] == [p.argmax() for p in probabilities]
    assert [p.sum() for p in scaled] == pytest.approx([1.0] * 40)
    for p, q in zip(apply_temperature(probabilities, 1.0), probabilities, strict=True):
        assert p == pytest.approx(q)
    odds = np.log(scaled[0][0] / scaled[0][1])
    assert odds == pytest.approx(np.log(probabilities[0][0] / probabilities[0][1]) / 3.0)


def test_temperature_is_the_one_of_the_smallest_loss():
    probabilities, truth, _ = forecaster(3.0, items=300)

    def nll(temperature):
        scaled = apply_temperature(probabilities, temperature)
        return -np.mean([np.log(p[t]) for p, t in zip(scaled, truth, strict=True)])

    best = fit_temperature(probabilities, truth)
    assert nll(best) < min(nll(best * 1.05), nll(best / 1.05), nll(1.0))


@pytest.mark.parametrize(("truth", "end"), [(0, TEMPERATURES[0]), (1, TEMPERATURES[1])])
def test_a_model_that_is_always_right_or_never_gets_an_end_of_the_range(truth, end):
    assert fit_temperature([[0.8, 0.2]] * 5, [truth] * 5) == pytest.approx(end, rel=0.01)


def test_vote_shares_with_zeros_can_be_scaled():
    # Sure of the first option every time, and right in three of four cases.
    probabilities, truth = [[1.0, 0.0]] * 4, [0, 0, 0, 1]
    scaled = apply_temperature(probabilities, fit_temperature(probabilities, truth))
    assert scaled[0] == pytest.approx([0.75, 0.25], abs=0.01)


def test_platt_finds_the_line_in_the_log_odds():
    rng = np.random.default_rng(1)
    forecast = rng.uniform(0.5, 0.999, 8000)
    chance = apply_platt(forecast, 0.5, -0.3)
    a, b = fit_platt(forecast, (rng.random(8000) < chance).astype(float))
    assert (a, b) == pytest.approx((0.5, -0.3), abs=0.1)
    assert apply_platt(np.array([0.5]), a, b)[0] == pytest.approx(1 / (1 + np.exp(-b)))


@pytest.mark.parametrize("forecast", [[0.7, 0.8, 0.9, 1.0], [1.0] * 4])
@pytest.mark.parametrize("correct", [[1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 1, 1]])
def test_platt_is_finite_for_one_class_or_a_perfect_ranking(forecast, correct):
    forecast, correct = np.array(forecast), np.array(correct, float)
    after = apply_platt(forecast, *fit_platt(forecast, correct))
    assert ((after > 0) & (after < 1)).all()
    # Platt's targets: the mean forecast is their mean, 5/6 (right) or 1/6 (wrong) with one class.
    assert after.mean() == pytest.approx({4: 5 / 6, 0: 1 / 6, 2: 1 / 2}[correct.sum()], abs=1e-3)


def test_platt_keeps_the_ranking():
    probabilities, truth, _ = forecaster(3.0)
    forecast, correct = top(probabilities), right(probabilities, truth)
    a, b = fit_platt(forecast, correct)
    assert a > 0
    before = forecast_scores(forecast, correct)
    after = forecast_scores(apply_platt(forecast, a, b), correct)
    assert after["auroc"] == pytest.approx(before["auroc"], abs=1e-9)
    assert after["ece"] < before["ece"]


def test_an_over_confident_forecaster_is_mended_on_folds_it_was_not_fitted_on():
    probabilities, truth, groups = forecaster(3.0)
    found = recalibrated(probabilities, truth, groups, seed=1)
    raw = reliability(right(probabilities, truth), probabilities)
    assert {key: found["raw"][key] for key in ("ece", "brier", "auroc")} == {
        key: raw[key] for key in ("ece", "brier", "auroc")
    }
    for way in ("temperature", "platt"):
        assert found[way]["ece"] < 0.5 * found["raw"]["ece"]
        assert found[way]["brier"] < found["raw"]["brier"]
        assert found[way]["nll"] < found["raw"]["nll"]
    assert found["platt"]["auroc"] == pytest.approx(found["raw"]["auroc"], abs=0.02)
    assert (found["items"], found["groups"], found["folds"]) == (600, 200, 5)
    assert found["parameters"]["temperature"] == fit_temperature(probabilities, truth)
    correct = right(probabilities, truth)
    assert found["parameters"]["platt"] == list(fit_platt(top(probabilities), correct))


def test_a_scene_is_never_on_both_sides():
    # Every scene is all right or all wrong. Who learns from the other scenes alone expects the
    # wrong of it (3 of 7 right ones for a right one); who saw a part of its items does not.
    scenes = np.repeat(np.arange(8), 10)
    truth = (scenes % 2).tolist()
    probabilities = [[0.8, 0.2]] * len(scenes)
    by_scene = recalibrated(probabilities, truth, [f"s{i}" for i in scenes], seed=0, folds=8)
    items = [f"i{i}" for i in range(len(scenes))]
    by_item = recalibrated(probabilities, truth, items, seed=0, folds=8)
    assert by_scene["folds"] == by_item["folds"] == 8
    assert by_scene["platt"]["brier"] > by_item["platt"]["brier"] + 0.04


def test_folds_are_seeded():
    data = forecaster(3.0, items=90)
    first = recalibrated(*data, seed=1)
    assert recalibrated(*data, seed=1) == first
    assert recalibrated(*data, seed=2)["platt"] != first["platt"]


def test_few_scenes_give_fewer_folds_and_one_gives_no_held_out_score():
    probabilities, truth, _ = forecaster(3.0, items=30)
    three = recalibrated(probabilities, truth, list("abc") * 10, seed=0)
    assert three["folds"] == 3
    assert three["platt"]["ece"] is not None
    one = recalibrated(probabilities, truth, ["a"] * 30, seed=0)
    assert (one["temperature"], one["platt"]) == (None, None)
    assert one["raw"]["ece"] > 0
    assert one["parameters"]["temperature"] > 1


@pytest.mark.parametrize("truth", [0, 1])
def test_sure_forecasts_of_one_class_are_finite(truth):
    found = recalibrated([[1.0, 0.0]] * 6, [truth] * 6, list("abcdef"), seed=0)
    for way in ("raw", "temperature", "platt"):
        assert found[way]["auroc"] is None
        assert np.isfinite(found[way]["nll"])
    assert np.isfinite([found["parameters"]["temperature"], *found["parameters"]["platt"]]).all()


@pytest.mark.parametrize("size", [(0, 0, 0), (2, 1, 2), (2, 2, 1)])
def test_items_without_their_truth_or_scene_are_refused(size):
    p, t, g = size
    with pytest.raises(ValueError, match="no items to calibrate"):
        recalibrated([[0.5, 0.5]] * p, [0] * t, ["a"] * g, seed=0)
