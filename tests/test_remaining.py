"""What is still wrong: prototypes' kinds counted on other items, the worst first."""

import pytest

from medq_engine.remaining import PICTURES, kinds_of, remaining
from medq_engine.tables import ITEM, PREDICTION, PROTOTYPE, RECORD, Images, table, write

PROTOTYPES = table(
    [
        {"prototype_id": name, "modality": "ct", "question_type": "what"}
        | {"attribute": fault, "severity": "mild", "mass": mass}
        for name, fault, mass in (
            ("p0", "blur", 9.0),
            ("p1", "noise", 8.0),
            ("p2", "blur", 2.0),
            ("p3", "haze", 1.0),
            ("p4", "streak", 1.0),
        )
    ],
    PROTOTYPE,
)
# fault: (items, wrong before, wrong after)
GATE = {"blur": (20, 18, 15), "noise": (2, 1, 2), "streak": (3, 2, 0)}


@pytest.fixture
def gate(tmp_path):
    items, before, after = [], [], []
    for fault, (count, wrong_before, wrong_after) in GATE.items():
        for n in range(count):
            name = f"{fault}{n:02d}"
            items.append(
                {"item_id": name, "image_ids": [name], "task": "perception", "modality": "ct"}
                | {"question_type": "what", "attribute": fault, "severity": "severe"}
                | {"question": "Q?", "answer": fault}
            )
            before.append({"item_id": name, "correct": n >= wrong_before, "answer": "x"})
            after.append({"item_id": name, "correct": n >= wrong_after, "answer": f"said {n}"})
    items.append({**items[0], "item_id": "d", "task": "description"})
    before.append({"item_id": "d"})
    after.append({"item_id": "d"})
    records = [
        {"image_id": i["image_ids"][0], "image": {"bytes": i["item_id"].encode(), "path": ""}}
        for i in items[:-1]
    ]
    write(table(records, RECORD), tmp_path / "records.parquet", RECORD)
    images = Images(tmp_path / "records.parquet")
    return table(items, ITEM), images, table(before, PREDICTION), table(after, PREDICTION)


def test_prototypes_of_one_kind_are_counted_once(gate):
    items, _, before, after = gate
    kinds = kinds_of(PROTOTYPES, items, before, after, 0.95)
    rows = {row["attribute"]: row for row in kinds.to_dicts()}
    assert rows["blur"]["prototypes"] == ["p0", "p2"]
    assert rows["blur"]["mass"] == 11.0
    assert [rows["blur"][name] for name in ("items", "before", "after")] == [20, 18, 15]
    assert [rows["haze"][name] for name in ("items", "before", "after")] == [0, 0, 0]
    assert (rows["haze"]["low"], rows["haze"]["high"]) == (0.0, 1.0)


def test_many_errors_of_many_stand_above_all_of_few(gate):
    found = remaining(PROTOTYPES, *gate, 0.95)
    assert [kind["name"] for kind in found["worst"]] == ["blur, CT, What", "noise, CT, What"]


def test_kinds_without_an_error_and_without_an_item_are_told_apart(gate):
    found = remaining(PROTOTYPES, *gate, 0.95)
    assert (found["kinds"], found["mended"]) == (4, 1)
    assert found["unseen"] == ["haze, CT, What"]


def test_pictures_are_those_that_the_challenger_still_fails(gate):
    worst = remaining(PROTOTYPES, *gate, 0.95)["worst"]
    assert [len(kind["pictures"]) for kind in worst] == [PICTURES, 2]
    assert worst[1]["pictures"] == [
        {"image": f"noise0{n}".encode(), "question": "Q?", "said": f"said {n}", "right": "noise"}
        for n in range(2)
    ]


def test_a_round_without_prototypes_leaves_nothing(gate):
    found = remaining(PROTOTYPES[:0], *gate, 0.95)
    assert found == {"kinds": 0, "mended": 0, "unseen": [], "worst": []}
