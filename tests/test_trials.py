import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medq_engine import profiles, trials
from medq_engine.config import Params, load_params
from medq_engine.questions import Scored

ROOT = Path(__file__).parents[1]


@pytest.fixture
def params() -> Params:
    return load_params(ROOT / "params.yaml")


def test_an_untrained_model_passes(build_nano, params):
    assert trials.forward(build_nano(0)).startswith("one question in ")
    tuned = replace(params.finetune, rank=4, adapt=("vision",), train_whole=("connector",))
    said = trials.step(build_nano(0), replace(params, finetune=tuned))
    # One layer of four matrices of 40 x 40 and two of 40 x 160; a connector of 160 x 40.
    count = 4 * (4 * 80 + 2 * 200) + 160 * 40
    assert said.startswith(f"{count / 1e6:.3g} M weights trained on one image")


def test_probabilities_that_are_none_are_refused(nano_model, monkeypatch):
    broken = Scored(probabilities=np.full(3, math.nan), nll=np.zeros(3))
    monkeypatch.setattr(trials.scoring, "score", lambda *_: [broken])
    with pytest.raises(trials.TrialError, match="the probabilities of"):
        trials.forward(nano_model)


def test_a_loss_that_is_no_number_is_refused(build_nano, params, monkeypatch):
    lost = trials.training.Trained([math.inf], {}, True)
    monkeypatch.setattr(trials.training, "train", lambda *_: lost)
    with pytest.raises(trials.TrialError, match="the loss is inf"):
        trials.step(build_nano(0), params)


def test_the_forecast_follows_the_measured_speed(params, monkeypatch):
    shape = profiles.load(ROOT / "profiles", "nano").shape
    said = []
    for peak in (1e9, 1e12):
        monkeypatch.setattr(trials, "peak_flops", lambda _, peak=peak: peak)
        said.append(trials.forecast(params, shape))
    assert said[0].startswith("1 GFLOP/s in matrix products: 1,000 items in about 14 min")
    assert said[1].startswith("1,000 GFLOP/s in matrix products: 1,000 items in about 1 s,")


def test_a_trial_is_named_for_every_step_and_the_model_is_loaded_once(params, monkeypatch):
    loads = []
    monkeypatch.setattr(trials, "_load", lambda model: loads.append(model.id))
    monkeypatch.setattr(trials, "forward", lambda _: "")
    monkeypatch.setattr(trials, "step", lambda *_: "")
    known = trials.trials(None)
    assert list(known) == ["processor", "chat template", "forward pass", "training step"]
    known["forward pass"](params)
    known["training step"](params)
    assert loads == ["models/base"]
