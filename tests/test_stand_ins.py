import numpy as np
import pytest

from medq_engine.annotations import line_fault
from medq_engine.annotators import EXPERT_NAME
from medq_engine.config import Expert
from medq_engine.descriptions import describe, findings_in
from medq_engine.language import Finding, answer, question
from medq_engine.readings import disagree, settled, waiting
from medq_engine.stand_ins import ADJUDICATOR_NAME, NAMES, SECOND_NAME, read, readings_of

TRUTH = (Finding("ring artifact", "mild"),)
HALF = Expert(accuracy=0.5, seconds=45.0)


@pytest.fixture
def ask(queue_row):
    """Tasks of one kind about different CT images."""

    def asked(count: int, kind: str = "yes-no", **changes: object) -> list[dict[str, object]]:
        text, options = question(kind, "ct", "ring artifact")
        same = {"modality": "ct", "attribute": "ring artifact", "question_type": kind}
        same |= {"question": text, "options": list(options)}
        return [queue_row(f"t{number}", **same, **changes) for number in range(count)]

    return asked


def test_everybody_says_that_they_are_simulated():
    assert NAMES == (EXPERT_NAME, SECOND_NAME, ADJUDICATOR_NAME)
    assert len({*NAMES}) == 3
    assert all("(simulated)" in name for name in NAMES)


@pytest.mark.parametrize("readers", [1, 2])
def test_a_task_has_the_readers_that_it_wants(ask, readers):
    for task in ask(30, readers=readers):
        made = readings_of(task, TRUTH, "batch", HALF, seed=1)
        first = [row["annotator"] for row in made if not row["adjudicates"]]
        assert first == list(NAMES[:readers])
        assert waiting([task], made).tasks == ()


def test_an_adjudicator_comes_exactly_where_two_readers_disagree(ask):
    ruled = []
    for task in ask(60, readers=2):
        first, second, *rest = readings_of(task, TRUTH, "batch", HALF, seed=1)
        ruled.append(bool(rest))
        assert disagree([first, second]) == bool(rest)
        for row in rest:
            assert (row["annotator"], row["adjudicates"]) == (ADJUDICATOR_NAME, True)
            assert settled([first, second, row]) is row
        assert len(rest) <= 1
    assert 0 < sum(ruled) < 60


@pytest.mark.parametrize("kind", ["yes-no", "what", "how"])
@pytest.mark.parametrize("accuracy", [1.0, 0.0])
def test_every_line_keeps_the_contract_even_when_it_is_wrong(ask, kind, accuracy):
    expert = Expert(accuracy=accuracy, seconds=45.0)
    for task in ask(20, kind, readers=2):
        for line in readings_of(task, TRUTH, "batch", expert, seed=1):
            assert line_fault(line, {task["task_id"]: task}, "batch") is None
            assert line["seconds"] == 45.0
            if accuracy == 1:
                assert line["answer"] == answer(kind, TRUTH, "ring artifact")
                assert line["description"] == describe("ct", TRUTH)
            else:
                assert findings_in(line["description"], "ct") != TRUTH


def test_people_who_are_always_right_need_no_adjudicator(ask):
    expert = Expert(accuracy=1.0, seconds=45.0)
    made = [readings_of(task, TRUTH, "batch", expert, seed=1) for task in ask(20, readers=2)]
    assert {len(rows) for rows in made} == {2}


def test_each_has_errors_of_their_own_with_the_declared_accuracy(ask):
    tasks = ask(600)
    right = np.array(
        [
            [read(task, TRUTH, "batch", name, HALF, 1)["answer"] == "Yes" for task in tasks]
            for name in NAMES
        ]
    )
    # A wrong reading may still answer Yes, about the same fault of another severity.
    assert np.all(abs(right.mean(1) - 0.5) < 4 * 0.5 / np.sqrt(600) + 0.05)
    assert np.all(abs(np.corrcoef(right)[np.triu_indices(3, 1)]) < 4 / np.sqrt(600))


def test_readings_depend_on_task_and_seed_alone(ask):
    def made(seed: int, tasks: list[dict[str, object]]) -> dict[str, object]:
        return {task["task_id"]: readings_of(task, TRUTH, "batch", HALF, seed) for task in tasks}

    tasks = ask(20, readers=2)
    assert made(1, tasks) == made(1, tasks[::-1])
    assert made(1, tasks) != made(2, tasks)


def test_two_questions_about_an_image_are_answered_from_one_reading(ask):
    expert = Expert(accuracy=0.0, seconds=45.0)
    (first,), (second,) = (ask(1, kind, image_id="one") for kind in ("yes-no", "how"))
    described = [
        read(task, TRUTH, "batch", EXPERT_NAME, expert, 1)["description"]
        for task in (first, second)
    ]
    assert described[0] == described[1]
