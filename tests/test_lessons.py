import io

import numpy as np
import pytest
from PIL import Image

from medq_engine.descriptions import describe
from medq_engine.language import NO_DEGRADATION, Finding, labels, quality_question, question
from medq_engine.lessons import mixture, samples_of, training_rows, turns_of
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


@pytest.mark.parametrize("seed", range(5))
def test_a_fine_image_also_teaches_that_a_fault_is_absent(label_row, seed):
    what, no = taught(label_row("a", question_type="what", answer=NO_DEGRADATION), seed)
    assert what.answer == NO_DEGRADATION
    assert no.question in {question("yes-no", "mri", label)[0] for label in labels("mri")}
    assert no.answer == "No"


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


def test_training_rows_are_seeded_by_task_and_not_by_place(label_row, pool):
    what = {"question_type": "what", "answer": "blur"}
    rows = [label_row("a", **what), label_row("b", **what)]
    both = training_rows(table(rows, LABEL), pool, seed=1)
    assert training_rows(table(rows[1:], LABEL), pool, seed=1) == both[1:]
    assert training_rows(table(rows[::-1], LABEL), pool, seed=1) == both[::-1]


def lesson(route: str, value: int = 0) -> dict[str, object]:
    turn = {"question": "Q?", "options": ["Yes", "No"], "answer": "Yes"}
    image = {"bytes": png(value), "path": "x"}
    return {"image_id": f"{route}-{value}", "image": image, "turns": [turn], "route": route}


def test_a_label_weighs_what_its_route_is_trusted_and_nothing_is_left_out():
    rows = table([lesson("model"), lesson("draft"), lesson("expert")], TRAINING)
    found = samples_of(rows, WEIGHTS, views=1, seed=1)
    assert [sample.weight for sample in found] == [0.5, 1.0]
    assert found[0].turns[0].options == ("Yes", "No")


@pytest.mark.parametrize(("share", "old"), [(0.0, 0), (0.5, 6), (0.25, 2), (0.9, 20)])
def test_replay_has_its_share_until_it_is_used_up(share, old):
    new = table([lesson("expert", value) for value in range(6)], TRAINING)
    replay = table([lesson("expert", 100 + value) for value in range(20)], TRAINING)
    found = mixture(new, replay, share, WEIGHTS, views=1, seed=1)
    values = [sample.image.getpixel((0, 0))[0] for sample in found]
    assert values[:6] == list(range(6))
    assert len(values) == 6 + old
    assert len(set(values)) == len(values)


def test_replay_is_the_truth_by_construction_and_has_full_weight():
    new, replay = table([lesson("model")], TRAINING), table([lesson("expert", 100)], TRAINING)
    assert [s.weight for s in mixture(new, replay, 0.5, WEIGHTS, 1, seed=1)] == [0.5, 1.0]


def test_replay_is_seeded():
    new = table([lesson("expert", value) for value in range(3)], TRAINING)
    replay = table([lesson("expert", 100 + value) for value in range(20)], TRAINING)

    def drawn(seed: int) -> list[int]:
        found = mixture(new, replay, 0.5, WEIGHTS, 1, seed)
        return [sample.image.getpixel((0, 0))[0] for sample in found[3:]]

    assert drawn(1) == drawn(1) != drawn(2)


def test_a_labelled_image_is_seen_as_it_is_and_in_other_views():
    pixels = np.random.default_rng(0).random((48, 48, 3)).astype(np.float32)
    data = to_png(pixels)
    image = {"bytes": data, "path": "x.png"}
    rows = table([lesson("expert") | {"image": image}], TRAINING)
    found = [np.asarray(s.image) for s in samples_of(rows, WEIGHTS, views=3, seed=1)]
    again = [np.asarray(s.image) for s in samples_of(rows, WEIGHTS, views=3, seed=1)]
    assert np.array_equal(found[0], np.asarray(from_png(data)))
    assert len({view.tobytes() for view in found}) == 3
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))


def test_labels_of_a_route_without_trust_are_not_trained_on():
    rows = table([lesson("model"), lesson("expert")], TRAINING)
    assert len(samples_of(rows, WEIGHTS | {"model": 0.0}, views=1, seed=1)) == 1
