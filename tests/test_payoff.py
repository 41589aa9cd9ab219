import polars as pl
import pytest

from medq_engine.payoff import PAYOFF, kinds_of, of_round, shows
from medq_engine.tables import ITEM, LABEL, PREDICTION, table

RING = [{"label": "ring artifact", "severity": "mild", "place": ""}]
SEES_RING = "This is a CT image. There is mild ring artifact. The quality of this image is usable."
SEES_NOTHING = "This is a CT image. No degradation is visible."


def label(**changes) -> dict[str, object]:
    return {
        "task_id": "t",
        "image_id": "i",
        "prototype_id": "p00",
        "arm": "prototype",
        "modality": "ct",
        "question_type": "what",
        "attribute": "ring artifact",
        "question": "",
        "answer": "ring artifact",
        "verdict": "",
        "description": "",
        "route": "expert",
        "annotator": "a",
        "seconds": 45.0,
        "round": 2,
    } | changes


@pytest.mark.parametrize(
    ("changes", "fault", "expected"),
    [
        ({"description": SEES_RING, "answer": "blur"}, "ring artifact", True),
        ({"description": SEES_RING}, "blur", False),
        ({"description": SEES_NOTHING}, "no degradation", True),
        ({"description": SEES_RING}, "no degradation", False),
        ({}, "ring artifact", True),
        ({"answer": "blur"}, "ring artifact", False),
        ({"question_type": "yes-no", "answer": "Yes"}, "ring artifact", True),
        ({"question_type": "yes-no", "answer": "No"}, "ring artifact", False),
        ({"question_type": "yes-no", "answer": "No"}, "no degradation", False),
        ({"question_type": "how", "answer": "None"}, "no degradation", True),
        ({"question_type": "how", "answer": "Mild"}, "ring artifact", False),
    ],
)
def test_a_label_shows_what_its_text_names_or_else_its_answer(changes, fault, expected):
    assert shows(label(**changes), fault) is expected


def dev() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Three items on a ring artifact, one on a fine image; the challenger mends one of each."""
    items = [
        {"item_id": f"i{n}", "task": "perception", "modality": "ct", "findings": RING}
        for n in range(3)
    ] + [{"item_id": "fine", "task": "perception", "modality": "ct", "findings": []}]
    items.append({**items[0], "item_id": "told", "task": "description"})

    def answered(*right: str) -> pl.DataFrame:
        given = [{"item_id": row["item_id"], "correct": row["item_id"] in right} for row in items]
        return pl.DataFrame(given, schema={name: PREDICTION[name] for name in given[0]})

    return pl.DataFrame(items, schema=ITEM), answered("i0"), answered("i0", "i1", "fine")


def rows_of(*labels: dict[str, object], incumbent: int = 0) -> dict[str, dict[str, object]]:
    found = of_round(*dev(), table(labels, LABEL), 2, incumbent)
    assert found.schema == pl.Schema(PAYOFF)
    return {row["attribute"]: row for row in found.to_dicts()}


def test_errors_are_counted_by_the_faults_that_dev_images_show():
    rows = rows_of()
    ring, fine = rows["ring artifact"], rows["no degradation"]
    assert (ring["items"], ring["wrong_before"], ring["wrong_after"]) == (3, 2, 1)
    assert (fine["items"], fine["wrong_before"], fine["wrong_after"]) == (1, 1, 0)
    assert ring["readings"] == ring["hits"] == ring["labels"] == 0


def test_a_hit_was_fetched_for_the_kind_and_a_label_may_come_from_anywhere():
    rows = rows_of(
        label(),
        label(answer="blur"),
        label(arm="control"),
        label(attribute="blur"),
        label(route="draft"),
        label(modality="mri"),
    )
    ring = rows["ring artifact"]
    assert (ring["readings"], ring["hits"], ring["labels"]) == (2, 1, 3)


@pytest.mark.parametrize(("incumbent", "labels"), [(0, 2), (1, 1)])
def test_labels_of_a_refused_round_are_the_next_challengers_too(incumbent, labels):
    ring = rows_of(label(round=1), label(), incumbent=incumbent)["ring artifact"]
    assert (ring["readings"], ring["labels"]) == (1, labels)


def test_kinds_are_named_by_modality_and_fault():
    frame = pl.DataFrame({"attribute": ["blur"], "name": ["x"], "modality": ["ct"]})
    assert kinds_of(frame) == [("ct", "blur")]
