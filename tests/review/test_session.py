import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from medq_engine import annotations, answer_file
from medq_engine.annotations import AnnotationError, read_readings
from medq_engine.descriptions import describe
from medq_engine.review.entries import HELD, Entry
from medq_engine.review.errors import NotInBatchError, ReviewError
from medq_engine.review.session import Session
from tests.review.conftest import NOTHING

ALIASING = [{"label": "aliasing", "severity": "mild", "place": "on the left"}]


def on_disk(batch):
    rows = read_readings(batch.answers, batch.tasks, batch.fingerprint)
    return {(row["task_id"], row["annotator"]): row for row in rows}


def at(number, adjudicates=False):
    return Entry(adjudicates, f"r001-{number:02d}")


def content(**changes):
    return NOTHING | changes


def ids(session, annotator, steps):
    """The tasks that an annotator meets who goes on and on without answering."""
    found, here = [], None
    for _ in range(steps):
        shown = session.step(annotator, here, 1)
        here = Entry(shown["adjudicates"], shown["task_id"])
        found.append(shown["task_id"])
    return found


def test_a_reading_is_on_disk_before_it_is_confirmed(session, batch, clock):
    session.open("anna", at(0))
    clock.now += 20
    saved = session.save(
        "anna", at(0), content(answer="Yes", findings=ALIASING, text="Coil."), seconds=12.34
    )
    row = on_disk(batch)["r001-00", "anna"]
    assert (row["answer"], row["seconds"], row["unblinded"]) == ("Yes", 12.3, False)
    assert row["description"].endswith("the quality of this image is usable. Coil.")
    assert saved["description"] == row["description"]
    assert session.open("anna", at(0))["content"] == saved["content"]
    assert saved["content"]["findings"] == ALIASING


def test_the_file_stays_canonical_and_lean(session, batch, say):
    say("anna", 1, answer="metal streak")
    say("anna", 0, answer="No", verdict="good")
    lines = batch.answers.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["task_id"] for line in lines] == ["r001-00", "r001-01"]
    assert "verdict" not in json.loads(lines[1])


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"answer": "Yes", "verdict": "good"}, "contradicts verdict"),
        ({"answer": "No", "findings": ALIASING}, "contradicts the description"),
        ({"answer": "Yes", "findings": ALIASING, "verdict": "reject"}, "contradicts"),
        ({"answer": "Perhaps"}, "none of the options"),
        ({"verdict": "good"}, "answer first"),
        ({"answer": "Yes", "unjudged": "dark"}, "cannot be judged"),
        ({"answer": "Yes", "note": "\ud83d"}, "half of a character"),
    ],
)
def test_what_contradicts_itself_is_refused_and_the_file_is_as_it_was(
    session, batch, say, given, why
):
    say("anna", 0, answer="No")
    before = batch.answers.read_bytes()
    with pytest.raises(ReviewError, match=why):
        say("anna", 0, **given)
    assert batch.answers.read_bytes() == before


def test_a_task_outside_the_batch_is_refused(session):
    for act in (session.open, session.hints):
        with pytest.raises(NotInBatchError, match="r001-77"):
            act("anna", at(77))
    with pytest.raises(NotInBatchError):
        session.save("anna", at(77), content(answer="Yes"))


@pytest.mark.parametrize("name", ["", " \n", "expert (simulated)"])
def test_nobody_answers_without_a_name_or_under_a_simulated_one(session, name):
    with pytest.raises(ReviewError):
        session.step(name, None, 1)
    with pytest.raises(ReviewError):
        session.save(name, at(0), content(answer="Yes"))


def test_undo_takes_back_several_changes_one_by_one(session, batch, say):
    say("anna", 0, answer="Yes")
    say("bert", 2, answer="Mild")
    say("anna", 0, answer="No")
    say("anna", 1, answer="metal streak")
    assert session.undo("anna")["task_id"] == "r001-01"
    assert ("r001-01", "anna") not in on_disk(batch)
    assert session.undo("anna")["content"]["answer"] == "Yes"
    assert on_disk(batch)["r001-00", "anna"]["answer"] == "Yes"
    assert session.undo("anna")["saved"] is False
    assert set(on_disk(batch)) == {("r001-02", "bert")}
    with pytest.raises(ReviewError, match="nothing to undo"):
        session.undo("anna")


def test_the_typing_of_one_text_is_undone_at_once(session, batch, say):
    say("anna", 0, answer="Yes")
    for text in ("m", "mot", "motion?"):
        session.save("anna", at(0), content(answer="Yes", note=text), step="typed-1")
    session.undo("anna")
    assert on_disk(batch)["r001-00", "anna"]["note"] == ""


def test_saving_the_same_again_is_no_change_to_undo(session, say):
    say("anna", 0, answer="Yes")
    say("anna", 0, answer="Yes")
    session.undo("anna")
    with pytest.raises(ReviewError, match="nothing to undo"):
        session.undo("anna")


def test_undo_leaves_what_was_changed_elsewhere(session, batch, say):
    say("anna", 0, answer="Yes")
    other = annotations.reading(batch.tasks[0], "anna", batch.fingerprint, "No")
    answer_file.save(batch, [other])
    with pytest.raises(ReviewError, match="elsewhere"):
        session.undo("anna")
    assert on_disk(batch)["r001-00", "anna"]["answer"] == "No"


def test_hints_of_a_blind_task_are_shown_when_asked_for_and_that_is_kept(session, batch, say):
    assert session.open("anna", at(0))["hints"]["draft"] == "No"
    assert session.open("anna", at(5))["hints"] is None
    shown = session.hints("anna", at(5))
    assert (shown["model_answer"], len(shown["examples"])) == ("Yes", 2)
    assert session.open("bert", at(5))["hints"] is None
    say("anna", 5, answer="Yes")
    say("bert", 5, answer="Yes")
    assert on_disk(batch)["r001-05", "anna"]["unblinded"] is True
    assert on_disk(batch)["r001-05", "bert"]["unblinded"] is False


def test_hints_opened_behind_the_answer_count_only_for_another_answer(session, batch, say):
    say("anna", 5, answer="Yes")
    session.hints("anna", at(5))
    say("anna", 5, answer="Yes", note="as I said")
    assert on_disk(batch)["r001-05", "anna"]["unblinded"] is False
    say("anna", 5, answer="No")
    assert on_disk(batch)["r001-05", "anna"]["unblinded"] is True


def test_a_page_that_outlived_its_server_tells_that_hints_were_open(session, batch):
    session.open("anna", at(5))
    session.save("anna", at(5), content(answer="Yes"), looked=True)
    assert on_disk(batch)["r001-05", "anna"]["unblinded"] is True


def test_an_image_is_no_example_of_itself(batch, session):
    batch.tasks[0]["image_id"] = "dev-0"
    assert [one["image_id"] for one in session.hints("anna", at(0))["examples"]] == ["dev-1"]


def test_n_and_p_walk_through_the_batch(session, say):
    assert ids(session, "anna", 3) == ["r001-00", "r001-01", "r001-02"]
    assert session.step("anna", at(2), -1)["task_id"] == "r001-01"
    assert session.step("anna", at(0), -1)["task_id"] == "r001-00"
    say("anna", 0, answer="Yes")
    assert session.step("anna", None, 1)["task_id"] == "r001-01"
    assert session.step("anna", at(29), 1)["task_id"] == "r001-01"
    assert session.step("anna", at(1), -1)["content"]["answer"] == "Yes"


def test_two_annotators_are_not_given_the_same_open_task(session, say, clock):
    assert session.step("anna", None, 1)["task_id"] == "r001-00"
    assert session.step("bert", None, 1)["task_id"] == "r001-01"
    say("anna", 0, answer="Yes")
    assert session.step("anna", at(0), 1)["task_id"] == "r001-02"
    clock.now += HELD + 1  # bert went home
    assert session.step("anna", at(0), 1)["task_id"] == "r001-01"


def test_a_task_for_two_readers_is_given_to_two(session, say):
    assert session.step("anna", at(5), 1)["task_id"] == "r001-06"
    assert session.step("bert", at(5), 1)["task_id"] == "r001-06"
    assert session.step("carl", at(5), 1)["task_id"] == "r001-07"
    say("anna", 6, answer="metal streak")
    assert session.step("carl", at(5), 1)["task_id"] == "r001-07"
    assert session.open("bert", at(6))["content"] == NOTHING
    assert session.open("bert", at(6))["readings"] == []


def test_a_disagreement_becomes_an_adjudication_at_the_end(session, batch, say):
    say("anna", 6, answer="metal streak", note="hip")
    say("bert", 6, answer="no degradation")
    last = session.step("carl", at(29), 1)
    while not last["adjudicates"]:
        say("carl", int(last["task_id"][-2:]), unjudged="later")
        last = session.step("carl", at(29), 1)
    assert [(one["annotator"], one["answer"]) for one in last["readings"]] == [
        ("anna", "metal streak"),
        ("bert", "no degradation"),
    ]
    say("carl", 6, adjudicates=True, answer="metal streak")
    row = on_disk(batch)["r001-06", "carl"]
    assert (row["adjudicates"], row["answer"]) == (True, "metal streak")
    with pytest.raises(ReviewError, match="nothing to adjudicate"):
        session.open("dora", at(6, adjudicates=True))
    assert session.open("carl", at(6, adjudicates=True))["saved"] is True


def test_time_spent_behind_the_answer_is_stored_and_not_undone(session, batch, clock):
    session.open("anna", at(0))
    clock.now += 100
    session.save("anna", at(0), content(answer="Yes"), seconds=10)
    session.spend("anna", at(0), 4)
    assert on_disk(batch)["r001-00", "anna"]["seconds"] == 14.0
    assert session.progress("anna")["seconds"] == 14.0
    assert session.undo("anna")["saved"] is False


def test_time_goes_on_where_an_earlier_server_stopped(session, batch, clock):
    session.open("anna", at(0))
    clock.now += 100
    session.save("anna", at(0), content(answer="Yes"), seconds=10)
    again = Session(batch, {}, clock)
    again.open("anna", at(0))
    clock.now += 5
    again.save("anna", at(0), content(answer="No"), seconds=3)
    assert on_disk(batch)["r001-00", "anna"]["seconds"] == 13.0


def test_progress_counts_for_one_and_for_all(session, say):
    say("anna", 0, answer="Yes")
    say("anna", 6, answer="metal streak")
    mine, other = session.progress("anna"), session.progress("bert")
    assert (mine["done"], mine["total"], mine["second"], mine["unanswered"]) == (2, 30, 1, 28)
    assert (other["done"], other["total"]) == (0, 29)


def test_many_at_once_and_an_import_lose_no_line(batch, session, clock):
    names = [f"reader-{number}" for number in range(4)]

    def read(place):
        mine = range(place, 24, len(names))
        for number in mine:
            session.open(names[place], at(number))
            answer = batch.tasks[number]["options"][0]
            session.save(names[place], at(number), content(answer=answer))

    def bring_in(number):  # another process would hold neither the session nor its lock
        task = batch.tasks[number]
        answer_file.save(batch, [annotations.reading(task, "import", batch.fingerprint, "No")])

    with ThreadPoolExecutor(6) as pool:
        done = [pool.submit(read, place) for place in range(len(names))]
        done += [pool.submit(bring_in, number) for number in (0, 4, 5, 9, 10, 14, 15, 19, 20, 25)]
        for one in done:
            one.result()
    found = on_disk(batch)
    assert sum(name == "import" for _, name in found) == 10
    assert len(found) == 24 + 10


def test_a_batch_that_was_made_anew_takes_no_answer(session, batch, say):
    batch.queue.write_bytes(batch.queue.read_bytes() + b"\n")
    with pytest.raises(AnnotationError, match="has changed"):
        say("anna", 0, answer="Yes")
    assert not batch.answers.exists()


def test_good_without_findings_is_written_as_a_description(session, batch, say):
    say("anna", 0, answer="No", verdict="good")
    assert on_disk(batch)["r001-00", "anna"]["description"] == describe("mri", ())
