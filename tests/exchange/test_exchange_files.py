import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from medq_engine.annotations import contradiction, read_readings, store
from medq_engine.exchange.answers import ExchangeError
from medq_engine.exchange.files import export_batch, import_batch
from tests.exchange.miniature_exports import filled, label_studio_export, saved


@pytest.fixture
def of_the_page(tmp_path, readings) -> bytes:
    path = tmp_path / "page.jsonl"
    store(path, readings)
    return path.read_bytes()


def stored(path: Path, readings: list[dict[str, object]]) -> bytes:
    store(path, readings)
    return path.read_bytes()


def test_page_label_studio_and_spreadsheet_give_the_same_file(
    tmp_path, batch, readings, pictures, out, of_the_page
):
    tasks = json.loads(
        export_batch(batch, pictures, out / "ls", "label-studio").read_text(encoding="utf-8")
    )
    export = tmp_path / "project-3.json"
    export.write_text(json.dumps(label_studio_export(tasks, readings)), encoding="utf-8")
    table = tmp_path / "answers.csv"
    empty = export_batch(batch, pictures, out / "csv", "csv").read_bytes()
    table.write_bytes(saved(filled(empty, readings)))

    for file in (export, table):
        imported = import_batch(batch, file)
        assert imported.left_open == 1
        assert stored(tmp_path / "other.jsonl", imported.readings) == of_the_page
    assert len(read_readings(tmp_path / "other.jsonl", batch.tasks, batch.fingerprint)) == len(
        readings
    )


@pytest.mark.parametrize("form", ["label-studio", "csv"])
def test_an_export_holds_every_image_as_png(batch, pictures, out, form):
    main = export_batch(batch, pictures, out, form)
    assert main.parent == out
    assert (out / "README.md").read_text(encoding="utf-8").count("medq import-batch")
    images = sorted((out / "images").iterdir())
    assert [image.stem for image in images] == sorted(task["image_id"] for task in batch.tasks)
    assert Image.open(images[0]).format == "PNG"


def test_an_untouched_table_answers_nothing(batch, pictures, out):
    table = export_batch(batch, pictures, out, "csv")
    imported = import_batch(batch, table)
    assert (imported.readings, imported.left_open) == ([], 30)


def test_a_folder_with_something_in_it_is_not_replaced(batch, pictures, out):
    out.mkdir()
    (out / "mine.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(ExchangeError, match="not an empty folder"):
        export_batch(batch, pictures, out, "csv")
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_nothing_is_left_of_an_export_that_fails(batch, out):
    class Nothing:
        def struct(self, image_id):
            raise KeyError(image_id)

    with pytest.raises(ExchangeError, match="image-r001-00 is in no table"):
        export_batch(batch, Nothing(), out, "csv")
    assert not out.exists()


def test_an_image_id_that_is_a_path_is_refused(batch, pictures, out):
    task = batch.tasks[0] | {"image_id": "../outside"}
    with pytest.raises(ExchangeError, match="no file name"):
        export_batch(replace(batch, tasks=(task,)), pictures, out, "csv")
    assert not (out.parent / "outside.png").exists()


@pytest.mark.parametrize(
    ("name", "message"), [("missing.csv", "cannot be read"), ("book.xlsx", "CSV UTF-8")]
)
def test_a_file_that_is_no_table_and_no_export_is_named(tmp_path, batch, name, message):
    (tmp_path / "book.xlsx").write_bytes(b"PK")
    with pytest.raises(ExchangeError, match=f"{name}.*{message}"):
        import_batch(batch, tmp_path / name)


def test_every_faulty_row_is_listed_and_none_comes_in(tmp_path, batch, readings, pictures, out):
    rows = filled(export_batch(batch, pictures, out, "csv").read_bytes(), readings)
    rows[0]["answer"] = "Perhaps"
    rows[2]["task_id"] = "r001-99"
    rows[3] |= {"batch": "batch 0123456789ab"}
    rows[5] |= {"answer": "None", "verdict": "reject", "description": ""}
    rows[6]["annotator"] = ""
    table = tmp_path / "answers.csv"
    table.write_bytes(saved([*rows, rows[1]]))
    with pytest.raises(ExchangeError) as error:
        import_batch(batch, table)
    head, *faults = str(error.value).splitlines()
    assert head.startswith(f"{table}: 6 faulty answers, nothing was imported")
    for fault, (row, reason) in zip(
        faults,
        [
            (2, "'Perhaps' is none of the options"),
            (4, "'r001-99' is not in the batch"),
            (5, "'0123456789ab'"),
            (7, "none of the options|contradicts"),
            (8, "give --annotator NAME"),
            (len(rows) + 2, "already in row 3"),
        ],
        strict=True,
    ):
        assert fault.startswith(f"row {row}: ")
        assert any(part in fault for part in reason.split("|"))


def test_a_megabyte_in_the_wrong_place_does_not_fill_the_screen(
    tmp_path, batch, readings, pictures, out
):
    rows = filled(export_batch(batch, pictures, out, "csv").read_bytes(), readings)
    rows[0]["answer"] = "x" * 2**20
    (tmp_path / "answers.csv").write_bytes(saved(rows))
    with pytest.raises(ExchangeError) as error:
        import_batch(batch, tmp_path / "answers.csv")
    assert len(str(error.value)) < 1000
    assert csv.field_size_limit() < 2**20


@pytest.mark.parametrize("form", ["label-studio", "csv"])
def test_descriptions_worded_as_the_export_says_are_taken(batch, pictures, out, form):
    export_batch(batch, pictures, out, form)
    readme = (out / "README.md").read_text(encoding="utf-8")
    good, usable = (
        re.search(rf'"([^"]*quality of this image is {v}\.)"', readme)[1]
        for v in ("good", "usable")
    )
    task = next(task for task in batch.tasks if task["question_type"] == "how")
    for text, answer in ((good, "None"), (usable, "Mild")):
        row = {"answer": answer, "description": text}
        assert contradiction(row, task | {"modality": "mri"}) is None
    assert "\n- fundus: " in readme
