import io
import json
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from PIL import Image

from medq_engine.tables import (
    DRAFT,
    RECORD,
    Images,
    TableError,
    canonical,
    fingerprint,
    matrix,
    plain,
    read,
    replace,
    table,
    write,
    write_json,
)

ROW = {"image_id": "a", "question": "Q?", "answer": "Yes", "annotator": "x"}


def test_a_table_is_read_back_in_the_order_of_its_schema(tmp_path):
    path = tmp_path / "deep" / "drafts.parquet"
    write(table([ROW], DRAFT).select(sorted(DRAFT)), path, DRAFT)
    found = read(path, DRAFT)
    assert found.columns == list(DRAFT)
    assert found.to_dicts() == [ROW]
    assert [p.name for p in path.parent.iterdir()] == ["drafts.parquet"]


def test_an_empty_table_keeps_its_schema(tmp_path):
    write(table([], DRAFT), tmp_path / "x.parquet", DRAFT)
    assert dict(read(tmp_path / "x.parquet", DRAFT).schema) == DRAFT


def test_a_folder_is_read_in_the_order_of_its_files(tmp_path):
    for number in (1, 0):
        row = ROW | {"image_id": str(number)}
        write(table([row], DRAFT), tmp_path / f"shard-{number}.parquet", DRAFT)
    assert read(tmp_path, DRAFT)["image_id"].to_list() == ["0", "1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop("answer"), r"column 'answer' \(String\) is missing"),
        (lambda t: t.with_columns(answer=pl.lit(1)), "column 'answer' is Int32, not String"),
        (lambda t: t.with_columns(extra=pl.lit(1)), "unknown column 'extra'"),
    ],
    ids=["missing", "other type", "unknown"],
)
def test_a_table_that_breaks_its_schema_names_file_and_column(tmp_path, change, message):
    path = tmp_path / "drafts.parquet"
    change(table([ROW], DRAFT)).write_parquet(path)
    with pytest.raises(TableError, match=f"drafts.parquet: {message}"):
        read(path, DRAFT)


def test_a_missing_or_broken_table_is_named(tmp_path):
    with pytest.raises(TableError, match=r"none\.parquet: no such table"):
        read(tmp_path / "none.parquet", DRAFT)
    with pytest.raises(TableError, match="no such table"):
        read(tmp_path, DRAFT)
    (tmp_path / "bad.parquet").write_bytes(b"not parquet")
    with pytest.raises(TableError, match=r"bad\.parquet: not a readable Parquet file"):
        read(tmp_path / "bad.parquet", DRAFT)


def test_canonical_lines_are_sorted_and_stable():
    rows = [{"task_id": "b", "z": 1, "a": "é"}, {"task_id": "a", "n": None}]
    data = canonical(rows)
    assert data.decode() == '{"n": null, "task_id": "a"}\n{"a": "é", "task_id": "b", "z": 1}\n'
    shuffled = [dict(reversed(row.items())) for row in reversed(rows)]
    assert canonical(shuffled) == data
    assert canonical([]) == b""


def test_a_fingerprint_tells_batches_apart():
    first = fingerprint(canonical([{"task_id": "a"}]))
    assert len(first) == 12
    assert fingerprint(canonical([{"task_id": "a"}])) == first
    assert fingerprint(canonical([{"task_id": "b"}])) != first


def test_metrics_are_sorted_json_that_ends_with_a_newline(tmp_path):
    write_json({"b": 1, "a": {"d": None, "c": 2.5}}, tmp_path / "m" / "x.json")
    text = (tmp_path / "m" / "x.json").read_text()
    assert json.loads(text) == {"a": {"c": 2.5, "d": None}, "b": 1}
    assert text.index('"a"') < text.index('"b"')
    assert text.endswith("}\n")


def test_a_file_is_replaced_as_a_whole(tmp_path):
    replace(tmp_path / "x.txt", b"old")
    replace(tmp_path / "x.txt", b"new")
    assert (tmp_path / "x.txt").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]


def test_a_failed_write_leaves_the_old_table(tmp_path):
    path = tmp_path / "drafts.parquet"
    write(table([ROW], DRAFT), path, DRAFT)
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        write(table([ROW], DRAFT).drop("answer"), path, DRAFT)
    assert read(path, DRAFT).to_dicts() == [ROW]


def test_vectors_become_a_matrix():
    found = matrix(pl.Series([[1.0, 2.0], [3.0, 4.0]]))
    assert found.dtype == np.float32
    assert found.tolist() == [[1, 2], [3, 4]]


def test_a_dataclass_becomes_plain_values_to_the_bottom():
    @dataclass(frozen=True)
    class Inner:
        names: tuple[str, ...]

    @dataclass(frozen=True)
    class Outer:
        inner: Inner

    assert plain(Outer(Inner(("a",)))) == {"inner": {"names": ["a"]}}
    assert plain(3) == 3


def test_the_pool_opens_images_of_all_shards_by_id(tmp_path):
    text = dict.fromkeys(("subject_id", "source", "origin", "licence"), "x")
    for number, (name, mode) in enumerate([("a", "L"), ("b", "RGB")]):
        buffer = io.BytesIO()
        Image.new(mode, (4, 3), 7 if mode == "L" else (1, 2, 3)).save(buffer, "PNG")
        row = {"image_id": name, "image": {"bytes": buffer.getvalue(), "path": "x"}}
        row |= {"modality": ["mri", "ct"][number], **text, "width": 4, "height": 3}
        write(table([row], RECORD), tmp_path / f"shard-{number}.parquet", RECORD)
    pool = Images(tmp_path)
    assert list(pool) == ["a", "b"]
    assert len(pool) == 2
    assert pool["a"].mode == "RGB"
    assert pool["a"].getpixel((0, 0)) == (7, 7, 7)
    assert pool["b"].getpixel((0, 0)) == (1, 2, 3)
    assert pool.modality == {"a": "mri", "b": "ct"}
    assert pool.struct("b")["path"] == "b.png"
    assert Image.open(io.BytesIO(pool.struct("b")["bytes"])).size == (4, 3)
