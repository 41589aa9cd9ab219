"""What was taken for what: counts of every pair, right answers among them."""

import polars as pl

from medq_engine.confusion import UNREAD, confusions, in_order, most_frequent
from medq_engine.tables import ITEM, PREDICTION, table

OPTIONS = ["no degradation", "blur", "noise"]
# modality, truth, said by incumbent, said by challenger
ASKED = [
    ("ct", "blur", "no degradation", "blur"),
    ("ct", "blur", "no degradation", "noise"),
    ("ct", "blur", "blur", "no degradation"),
    ("ct", "noise", "noise", "noise"),
    ("mri", "blur", "", "blur"),
]


def tables_of(asked):
    ids = [f"i{n}" for n in range(len(asked))]
    rows = [
        {"item_id": i, "task": "perception", "question_type": "what", "options": OPTIONS}
        | {"modality": modality, "answer": truth}
        for i, (modality, truth, _, _) in zip(ids, asked, strict=True)
    ]
    rows.append({**rows[0], "item_id": "other", "question_type": "how"})
    said = [
        table(
            [{"item_id": i, "answer": row[place]} for i, row in zip(ids, asked, strict=True)]
            + [{"item_id": "other", "answer": "Mild"}],
            PREDICTION,
        )
        for place in (2, 3)
    ]
    return table(rows, ITEM), *said


def test_every_pair_is_counted_for_both_models():
    found = confusions(*tables_of(ASKED))
    counts = {tuple(row[:3]): row[3:] for row in found.iter_rows()}
    assert counts["ct", "blur", "no degradation"] == (3, 2, 1)
    assert counts["ct", "blur", "blur"] == (3, 1, 1)
    assert counts["ct", "noise", "no degradation"] == (1, 0, 0)
    assert found["before"].sum() == found["after"].sum() == len(ASKED)


def test_an_answer_that_was_not_offered_is_unread():
    found = confusions(*tables_of(ASKED)).filter(pl.col("said") == UNREAD)
    assert found.rows() == [("mri", "blur", UNREAD, 0, 1, 0)]


def test_the_most_frequent_are_wrong_and_come_first():
    rows = most_frequent(confusions(*tables_of(ASKED)), rows=2)
    assert [(row["truth"], row["said"], row["before"], row["after"]) for row in rows] == [
        ("blur", "no degradation", 2, 1),
        ("blur", "noise", 0, 1),
    ]


def test_right_answers_alone_are_no_confusion():
    assert most_frequent(confusions(*tables_of(ASKED[3:4]))) == []


def test_no_degradation_stands_first_and_unread_last():
    assert in_order([UNREAD, "noise", "Blur", "no degradation"]) == [
        *("no degradation", "Blur", "noise", UNREAD)
    ]
