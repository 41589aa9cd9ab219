import numpy as np
import pytest

from medq_engine.descriptions import describe
from medq_engine.language import Finding
from medq_engine.phantom_lessons import Phantom, draw_phantoms, lessons, phantom_at
from medq_engine.simulation import content_id, from_png
from medq_engine.vocabulary import MODALITIES

TAUGHT = ("aliasing", "blur", "compression")


@pytest.fixture(scope="module")
def teaching() -> list[Phantom]:
    return [phantom_at(index, 48, TAUGHT, seed="1") for index in range(10)]


def test_teaching_images_depend_on_index_and_seed_alone(teaching):
    assert draw_phantoms(10, 48, TAUGHT, "1") == teaching
    other = [phantom_at(index, 48, TAUGHT, "2") for index in range(10)]
    assert not {content_id(p.png) for p in teaching} & {content_id(p.png) for p in other}


def test_teaching_images_show_taught_faults_only(teaching):
    many = [phantom_at(index, 48, TAUGHT, "1").findings for index in range(0, 60, 5)]
    assert {f.label for findings in many for f in findings} == {"aliasing", "blur"}
    assert () in many
    assert from_png(teaching[0].png).size == (48, 48)
    assert [p.modality for p in teaching[:5]] == list(MODALITIES)


def test_lessons_are_seeded_and_hold_a_whole_reading(teaching):
    made = lessons(teaching, seed=1)
    assert [sample.turns for sample in made] == [s.turns for s in lessons(teaching, seed=1)]
    for phantom, sample in zip(teaching, made, strict=True):
        bare = [Finding(finding.label, finding.severity) for finding in phantom.findings]
        assert sample.turns[-1].answer == describe(phantom.modality, bare)
        assert np.array_equal(np.asarray(sample.image), np.asarray(from_png(phantom.png)))
