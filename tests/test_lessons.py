import io

import numpy as np
import pytest
from PIL import Image

from medq_engine.descriptions import describe
from medq_engine.language import NO_DEGRADATION, Finding, quality_question, question
from medq_engine.lessons import mixture, samples_of, steps_for, training_rows, turns_of
from medq_engine.simulation import from_png, to_png
from medq_engine.tables import LABEL, RECORD, TRAINING, Images, table, write

WEIGHTS = {"model": 0.5, "draft": 0.0, "expert": 1.0}


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (value, value, value)).save(buffer, "PNG")
    return buffer.getvalue()


def taught(label: dict[str, object], seed: int = 0):
    return turns_of(label, np.random.default_rng(seed))


def test_a_bare_yes_no_answer_teaches_its_own_question_only(label_row):
    (turn,) = taught(label_row("a", answer="No"))
    assert (turn.question, turn.options) == question("yes-no", "mri", "aliasing")
    assert turn.answer == "No"


def test_a_bare_severity_teaches_its_own_question_only(label_row):
    (turn,) = taught(label_row("a", question_type="how", answer="Severe"))
    assert (turn.question, turn.options) == question("how", "mri")
    assert turn.answer == "Severe"


@pytest.mark.parametrize("seed", range(5))
def test_a_named_fault_also_teaches_that_it_is_there(label_row, seed):
    what, yes = taught(label_row("a", question_type="what", answer="blur"), seed)
    assert what.answer == "blur"
    assert {"blur", NO_DEGRADATION} <= set(what.options)
    assert (yes.question, yes.answer) == (question("yes-no", "mri", "blur")[0], "Yes")


@pytest.mark.parametrize(("kind", "answer"), [("what", NO_DEGRADATION), ("how", "None")])
def test_nothing_seen_teaches_all_that_a_reading_of_a_fine_image_does(label_row, kind, answer):
    made = taught(label_row("a", question_type=kind, answer=answer))
    assert [turn.answer for turn in made[:4]] == ["No", NO_DEGRADATION, "None", "Good"]
    assert made[4].answer == describe("mri", ())


@pytest.mark.parametrize("verdict", ["usable", "reject"])
def test_a_verdict_without_a_description_also_teaches_the_quality(label_row, verdict):
    own, quality = taught(label_row("a", verdict=verdict))
    assert own.answer == "Yes"
    assert (quality.question, quality.options) == quality_question("mri")
    assert quality.answer == verdict.capitalize()
    assert quality.answer in quality.options


def test_a_verdict_comes_beside_what_a_named_fault_teaches(label_row):
    named = {"question_type": "what", "answer": "blur"}
    made = taught(label_row("a", **named, verdict="reject"))
    assert made[:2] == taught(label_row("a", **named))
    assert [turn.answer for turn in made] == ["blur", "Yes", "Reject"]


def test_a_description_teaches_its_verdict_once(label_row):
    text = describe("mri", [Finding("aliasing", "severe")])
    made = taught(label_row("a", description=text, verdict="reject"))
    assert made == taught(label_row("a", description=text))
    assert [turn.answer for turn in made].count("Reject") == 1


def test_a_reading_teaches_every_question_type_and_the_description(label_row):
    text = describe("mri", [Finding("aliasing", "severe")])
    made = taught(label_row("a", description=text))
    answers = ["Yes", "No", "aliasing", "Severe", "Reject", text]
    assert sorted(turn.answer for turn in made) == sorted(answers)


@pytest.fixture
def pool(tmp_path) -> Images:
    text = dict.fromkeys(("modality", "subject_id", "source", "origin", "licence"), "x")
    rows = [
        {"image_id": name, "image": {"bytes": png(value), "path": "x"}, **text}
        | {"width": 8, "height": 8}
        for name, value in (("image-a", 10), ("image-b", 20))
    ]
    write(table(rows, RECORD), tmp_path / "shard-000.parquet", RECORD)
    return Images(tmp_path)


def test_training_rows_keep_the_contract_and_the_image_of_their_label(label_row, pool):
    rows = [label_row("b", route="model"), label_row("a")]
    found = table(training_rows(table(rows, LABEL), pool, seed=1), TRAINING)
    assert found["image_id"].to_list() == ["image-b", "image-a"]
    assert found["image"][0]["bytes"] == png(20)
    assert found["route"].to_list() == ["model", "expert"]
    assert found["source"].to_list() == ["x", "x"]


def test_training_rows_are_seeded_by_task_and_not_by_place(label_row, pool):
    what = {"question_type": "what", "answer": "blur"}
    rows = [label_row("a", **what), label_row("b", **what)]
    both = training_rows(table(rows, LABEL), pool, seed=1)
    assert training_rows(table(rows[1:], LABEL), pool, seed=1) == both[1:]
    assert training_rows(table(rows[::-1], LABEL), pool, seed=1) == both[::-1]


def lesson(route: str, value: int = 0, answer: str = "Mild") -> dict[str, object]:
    turn = {"question": "Q?", "options": ["None", "Mild"], "answer": answer}
    image = {"bytes": png(value), "path": "x"}
    named = {"image_id": f"{route}-{value}", "modality": "mri", "source": "x"}
    return {**named, "image": image, "turns": [turn], "route": route}


def mixed(faulty: int, fine: int, count: int, replay: int = 20, route: str = "expert", **changes):
    """A mixture: labels of faulty images have the pixels 0.., of fine ones 50.., replay 100..."""
    rows = [lesson(route, value) for value in range(faulty)]
    rows += [lesson(route, 50 + value, "None") for value in range(fine)]
    old = table([lesson("expert", 100 + value) for value in range(replay)], TRAINING)
    settings = {"replay_share": 0.25, "fine_share": 0.5, "route_weight": WEIGHTS}
    settings |= {"views": 2, "seed": 1} | changes
    return mixture(table(rows, TRAINING), old, count, **settings)


def values(samples) -> list[int]:
    return [sample.image.getpixel((0, 0))[0] for sample in samples]


def test_every_kind_has_its_share_however_few_its_images_are():
    found = values(mixed(6, 2, 40))
    assert len(found) == 40
    assert sum(value >= 100 for value in found) == 10
    assert sum(50 <= value < 100 for value in found) == 15


def test_images_of_a_kind_are_seen_equally_often():
    found = values(mixed(3, 5, 40))
    for kind in (range(3), range(50, 55)):
        seen = [found.count(value) for value in kind]
        assert max(seen) - min(seen) <= 1


def test_every_fault_has_the_same_share_however_few_its_images_are():
    turns = [
        ("What?", ["blur", "haze"], "blur"),
        ("What?", ["blur", "haze"], "haze"),
        ("Is there smoke?", ["Yes", "No"], "Yes"),
        ("Is there smoke?", ["Yes", "No"], "No"),
    ]
    names = ("question", "options", "answer")
    rows = [
        lesson("expert", value) | {"turns": [dict(zip(names, turns[kind], strict=True))]}
        for value, kind in enumerate((0, 0, 0, 1, 2, 3))
    ]
    settings = {"replay_share": 0.0, "route_weight": WEIGHTS, "views": 1, "seed": 1}
    none = table([], TRAINING)
    found = values(mixture(table(rows, TRAINING), none, 24, fine_share=0.3, **settings))
    assert [found.count(value) for value in range(6)] == [2, 2, 2, 6, 6, 6]
    found = values(mixture(table(rows, TRAINING), none, 24, fine_share=None, **settings))
    assert {found.count(value) for value in range(6)} == {4}


def from_sources(faulty: str, fine: str) -> list[int]:
    """How often each fine image is seen; a letter is a label of an image from that source."""
    rows = [lesson("expert", n) | {"source": source} for n, source in enumerate(faulty)]
    rows += [lesson("expert", 50 + n, "None") | {"source": s} for n, s in enumerate(fine)]
    settings = {"replay_share": 0.0, "fine_share": 0.5, "route_weight": WEIGHTS}
    none = table([], TRAINING)
    found = values(mixture(table(rows, TRAINING), none, 48, **settings, views=1, seed=1))
    return [found.count(50 + n) for n in range(len(fine))]


def test_a_source_has_the_part_in_fine_images_that_it_has_in_faulty_ones():
    assert from_sources("aaab", "abbb") == [18, 2, 2, 2]


def test_a_source_without_faulty_images_keeps_its_part_in_the_fine_ones():
    assert from_sources("aaab", "abbc") == [14, 2, 2, 6]
    assert from_sources("aa", "bbbc") == [6, 6, 6, 6]


@pytest.mark.parametrize(("faulty", "fine"), [(3, 0), (0, 3)])
def test_where_one_kind_is_missing_the_other_has_all(faulty, fine):
    found = values(mixed(faulty, fine, 40))
    assert sum(value < 100 for value in found) == 30


def test_without_a_share_of_fine_images_every_label_is_seen_as_often():
    found = values(mixed(6, 2, 40, fine_share=None, replay_share=0.0))
    assert {found.count(value) for value in (*range(6), 50, 51)} == {5}


def test_a_label_weighs_what_its_route_is_trusted_and_replay_has_full_weight():
    found = mixed(2, 2, 8, route="model")
    assert {sample.weight for sample in found[:6]} == {0.5}
    assert {sample.weight for sample in found[6:]} == {1.0}


def test_labels_of_a_route_without_trust_are_not_trained_on():
    assert mixed(3, 3, 12, route="draft") == []


def test_the_mixture_is_seeded():
    def drawn(seed: int) -> list[int]:
        return values(mixed(6, 0, 10, replay=40, seed=seed))

    assert drawn(1) == drawn(1) != drawn(2)


def test_a_labelled_image_is_seen_as_it_is_and_in_other_views():
    pixels = np.random.default_rng(0).random((48, 48, 3)).astype(np.float32)
    data = to_png(pixels)
    row = lesson("expert") | {"image": {"bytes": data, "path": "x.png"}}
    rows = table([row], TRAINING)

    def views() -> list[np.ndarray]:
        return [np.asarray(sample.image) for sample in samples_of(rows, 1.0, views=4, seed=1)[0]]

    found = views()
    assert np.array_equal(found[0], np.asarray(from_png(data)))
    assert len({view.tobytes() for view in found}) == 4
    assert all(np.array_equal(a, b) for a, b in zip(found, views(), strict=True))


@pytest.mark.parametrize(
    ("labels", "steps"), [(280, 240), (1120, 480), (70, 120), (283, 241), (1, 14), (0, 1)]
)
def test_steps_grow_with_the_square_root_of_the_labels(labels, steps):
    assert steps_for(labels, 240, at=280) == steps
