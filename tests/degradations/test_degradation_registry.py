"""The registry: what the benchmark's questions and options are built from."""

import re

import pytest

from medq_engine.degradations import DEGRADATIONS, for_modality
from medq_engine.vocabulary import MODALITIES

ORDERED = list(DEGRADATIONS.values())


def test_names_are_unique_kebab_case_and_are_the_keys():
    assert len(DEGRADATIONS) == 26
    for name, degradation in DEGRADATIONS.items():
        assert name == degradation.name
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)


@pytest.mark.parametrize("modality", MODALITIES)
def test_six_distinct_labels_a_modality(modality):
    labels = [d.label for d in for_modality(modality)]
    assert len(labels) == len(set(labels)) == 6


def test_unknown_modality_is_named_in_the_error():
    with pytest.raises(ValueError, match="ultrasound"):
        for_modality("ultrasound")


@pytest.mark.parametrize("degradation", ORDERED, ids=lambda d: d.name)
def test_metadata_is_complete(degradation):
    assert set(degradation.modalities) <= set(MODALITIES)
    assert degradation.scope in ("general", "modality-specific")
    assert 0 < degradation.mild < degradation.severe <= 1
    # Shown to readers as sentences.
    assert degradation.cause.endswith(".")
    assert degradation.source
    assert degradation.label
