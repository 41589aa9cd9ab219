import csv
import io

import pytest

from medq_engine.exchange.answers import ExchangeError, Fault
from medq_engine.exchange.spreadsheet import guard, read_table, table_of, unguard
from tests.exchange.conftest import HOSTILE
from tests.exchange.miniature_exports import filled, saved


@pytest.fixture
def rows(batch, readings) -> list[dict[str, str]]:
    return filled(table_of(batch), readings)


@pytest.fixture
def said(batch, rows):
    return read_table(saved(rows), batch)


def test_blind_tasks_show_no_answer(batch):
    rows = {row["task_id"]: row for row in filled(table_of(batch), [])}
    for task in batch.tasks:
        row = rows[task["task_id"]]
        hints = ("", "") if task["blind"] else (guard(task["model_answer"]), guard(task["draft"]))
        assert (row["model_answer"], row["draft"]) == hints


def test_excel_is_told_that_it_is_utf_8(batch):
    assert table_of(batch).startswith(b"\xef\xbb\xbf")


@pytest.mark.parametrize("text", [*HOSTILE[:-1], "'", "''=1", "\t=1", "\r1", "\uff1d1", "-", ""])
def test_no_text_becomes_a_formula_and_every_text_comes_back(text):
    cell = guard(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"))
    assert unguard(cell) == text


def test_no_cell_of_an_export_is_a_formula(batch):
    cells = [
        cell
        for row in csv.reader(io.StringIO(table_of(batch).decode("utf-8-sig"), newline=""))
        for cell in row
    ]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert any(cell.startswith("'=") for cell in cells)


def test_a_formula_that_a_person_typed_as_text_is_kept(batch, rows):
    rows[0]["note"] = "- dark corner"
    assert read_table(saved(rows), batch)[0].note == "- dark corner"


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_are_told(batch, rows, said, delimiter):
    assert read_table(saved(rows, delimiter), batch) == said


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_table_may_come_as_any_unicode(batch, rows, said, encoding):
    assert read_table(saved(rows).decode("utf-8-sig").encode(encoding), batch) == said


def test_columns_may_be_moved_added_renamed_in_case_or_missing(batch, rows, said):
    columns = ["mine", *reversed(rows[0]), "", "more"]
    changed = [row | {"mine": "=1", "": "", "more": "x"} for row in rows]
    for row in changed:
        del row["image"], row["modality"], row["options"], row["question"]
    columns = [name for name in columns if name not in ("image", "modality", "options", "question")]
    data = saved(changed, ";", columns).replace(b"cannot_judge", b" Cannot_Judge ", 1)
    assert read_table(data, batch) == said


def test_empty_rows_and_cells_at_the_end_do_not_matter(batch, rows, said):
    data = saved(rows).rstrip(b"\r\n")
    width = len(rows[0])
    assert read_table(data + b",,,\r\n\r\n" + b"," * (width + 3) + b"\r\n\r\n", batch) == said


def test_short_rows_are_filled_up(batch, rows):
    answered = f"task_id,batch,answer,annotator,note\r\nr001-00,{rows[0]['batch']},Yes,Anna\r\n"
    (found,) = read_table(answered.encode(), batch)
    assert (found.answer, found.annotator, found.note) == ("Yes", "Anna", "")


@pytest.mark.parametrize("answer", ["yes", " Yes ", "YES\n"])
def test_case_and_blanks_of_an_answer_are_forgiven(batch, rows, answer):
    rows[0] |= {"answer": answer, "verdict": " Reject"}
    found = read_table(saved(rows), batch)[0]
    assert (found.answer, found.verdict) == ("Yes", "reject")


def test_what_could_mean_two_options_is_left_as_it_is(batch, rows):
    batch.tasks[0]["options"] = ["none", "None", "NONE "]
    rows[0]["answer"] = "nOne"
    assert read_table(saved(rows), batch)[0].answer == "nOne"
    rows[0]["answer"] = "None"
    assert read_table(saved(rows), batch)[0].answer == "None"


@pytest.mark.parametrize(
    ("cell", "seconds"), [("", 0.0), ("41", 41.0), (" 41.5 ", 41.5), ("41,5", 41.5)]
)
def test_seconds_may_be_empty_or_have_a_comma(batch, rows, cell, seconds):
    rows[0]["seconds"] = cell
    assert read_table(saved(rows), batch)[0].seconds == seconds


@pytest.mark.parametrize("cell", ["a minute", "-3", "nan", "1e3", "0:41"])
def test_seconds_that_are_no_number_are_named(batch, rows, cell):
    rows[1]["seconds"] = guard(cell)
    fault = read_table(saved(rows), batch)[1]
    assert isinstance(fault, Fault)
    assert str(fault) == f"row 3: seconds {cell!r} is no number"


def test_a_name_is_given_for_the_rows_that_have_none(batch, rows):
    rows[0]["annotator"] = " "
    found = read_table(saved(rows), batch, "Clara")
    assert found[0].annotator == "Clara"
    assert found[1].annotator == rows[1]["annotator"]


def test_a_row_with_a_note_alone_is_not_open(batch, rows):
    rows[-1]["note"] = "look again"
    assert not read_table(saved(rows), batch)[-1].nothing


def test_a_row_with_too_many_cells_is_named(batch, rows):
    lines = saved(rows[:1]).rstrip(b"\r\n")
    (fault,) = read_table(lines + b",and more", batch)
    assert str(fault) == "row 2: 16 cells, but 15 columns"


def test_a_quote_too_many_is_named(batch, rows):
    lines = saved(rows[:1]).decode("utf-8-sig") + 'r001-01,"cut'
    found = read_table(lines.encode(), batch)
    assert [type(row).__name__ for row in found] == ["Said", "Fault"]
    assert str(found[1]).startswith("row 3: ")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no column 'task_id'"),
        (b"a,b\r\n1,2\r\n", "no column 'task_id'"),
        (b'"task_id"x,answer\r\n', "no column 'task_id'"),
        (b"task_id,answer\r\n", "column 'batch' is missing"),
        (b"task_id,batch,answer,Answer\r\n", "two columns are called 'answer'"),
        ("task_id,batch,answer,note\r\n1,2,3,für".encode("cp1252"), "CSV UTF-8"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused(batch, data, message):
    with pytest.raises(ExchangeError, match=message):
        read_table(data, batch)
