"""The registry: what the benchmark's questions and options are built from."""

import re
from typing import get_args

import pytest

from medq_engine.degradations import DEGRADATIONS, STRENGTHS, for_modality
from medq_engine.language import NO_DEGRADATION, unlike
from medq_engine.vocabulary import MODALITIES, Aspect, Measure, Scope

ORDERED = list(DEGRADATIONS.values())

# MedQ-Bench (arXiv 2510.01691) names these, in its words or ours.
NAMED = {
    "mri": "aliasing undersampling bias-field rigid-motion motion-ghosting susceptibility",
    "ct": "low-dose-noise metal-streak ring-artifact sparse-view limited-angle",
    "endoscopy": "uneven-illumination low-contrast specular-reflection motion-blur over-exposure "
    "instrument-occlusion bubbles",
    "histopathology": "blood-cells air-bubble tissue-fold dark-spot compression thread overlap "
    "tissue-cut uneven-staining defocus pen-ink",
    "fundus": "defocus colour-cast low-contrast uneven-illumination lens-spots",
}
GENERAL = "over-exposure under-exposure low-contrast gaussian-noise low-resolution blur motion-blur"


def test_there_are_at_least_45_attributes():
    assert len(DEGRADATIONS) >= 45


def test_names_are_unique_kebab_case_and_are_the_keys():
    for name, degradation in DEGRADATIONS.items():
        assert name == degradation.name
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_attribute_that_medq_bench_names_is_there(modality):
    here = {degradation.name for degradation in for_modality(modality)}
    assert set(NAMED[modality].split()) <= here
    assert set(GENERAL.split()) | {"compression"} <= set(DEGRADATIONS)


@pytest.mark.parametrize("modality", MODALITIES)
def test_labels_are_distinct_and_leave_room_for_distractors(modality):
    labels = [d.label for d in for_modality(modality)]
    assert len(labels) == len(set(labels)) >= 10
    for label in labels:
        assert len({d.family for d in for_modality(modality)}) >= 6
        assert label not in unlike(modality, [label])
    assert NO_DEGRADATION not in labels


def test_unknown_modality_is_named_in_the_error():
    with pytest.raises(ValueError, match="ultrasound"):
        for_modality("ultrasound")


@pytest.mark.parametrize("degradation", ORDERED, ids=lambda d: d.name)
def test_metadata_is_complete(degradation):
    assert set(degradation.modalities) <= set(MODALITIES)
    assert degradation.scope in get_args(Scope)
    assert degradation.aspect in get_args(Aspect)
    assert degradation.measure in get_args(Measure)
    assert degradation.family
    # Shown to readers as sentences.
    assert degradation.cause.endswith(".")
    assert degradation.source
    assert degradation.label
    assert degradation.parameters


@pytest.mark.parametrize("degradation", ORDERED, ids=lambda d: d.name)
def test_levels_are_calibrated_apart_in_every_modality(degradation):
    assert 0 < degradation.mild[0] < degradation.mild[1] < degradation.severe[0]
    assert degradation.severe[0] < degradation.severe[1]
    assert set(STRENGTHS[degradation.name]) == set(degradation.modalities)
    for levels in STRENGTHS[degradation.name].values():
        assert levels["none"] == 0 < levels["mild"] < levels["severe"] <= 1


def test_nothing_is_calibrated_that_is_not_registered():
    assert set(STRENGTHS) == set(DEGRADATIONS)
