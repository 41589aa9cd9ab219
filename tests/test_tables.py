import io
import json
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from PIL import Image

from medq_engine.tables import (
    DRAFT,
    RECORD,
    Images,
    TableError,
    canonical,
    fingerprint,
    folder_md5,
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


def record(name: str, image: Image.Image, modality: str = "mri") -> dict[str, object]:
    """A row of schema RECORD."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    text = dict.fromkeys(("subject_id", "source", "origin", "licence"), "x")
    png = {"bytes": buffer.getvalue(), "path": "x"}
    size = {"width": image.width, "height": image.height}
    return {"image_id": name, "image": png, "modality": modality, **text, **size}


@pytest.fixture
def shards(tmp_path, noise_images):
    """Two shards: i0 to i99 in row groups of 64 and 36 images, and a grey one."""
    rows = [record(f"i{n}", noise_images[n % 4], "mri" if n % 2 else "ct") for n in range(100)]
    write(table(rows, RECORD), tmp_path / "shard-0.parquet", RECORD)
    grey = record("grey", Image.new("L", (4, 3), 7), "fundus")
    write(table([grey], RECORD), tmp_path / "shard-1.parquet", RECORD)
    return tmp_path


@pytest.fixture
def groups_read(monkeypatch) -> list[int]:
    """Row groups whose pictures are read from now on, in their order."""
    read_groups = []
    real = pq.ParquetFile.read_row_group

    def noted(self, group, columns=None):
        if columns is None or "image" in columns:
            read_groups.append(group)
        return real(self, group, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", noted)
    return read_groups


def test_images_of_all_shards_are_those_of_the_table(shards):
    images = Images(shards)
    eager = read(shards, RECORD)
    assert list(images) == eager["image_id"].to_list()
    assert len(images) == 101
    assert images.modality == dict(zip(eager["image_id"], eager["modality"], strict=True))
    for row in eager.iter_rows(named=True):
        data = row["image"]["bytes"]
        assert images.struct(row["image_id"]) == {"bytes": data, "path": f"{row['image_id']}.png"}
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        assert np.array_equal(np.asarray(images[row["image_id"]]), expected)
    assert images["grey"].mode == "RGB"
    assert images["grey"].getpixel((0, 0)) == (7, 7, 7)


def test_one_file_is_read_like_a_folder(shards):
    assert list(Images(shards / "shard-1.parquet")) == ["grey"]


def test_pictures_are_read_when_they_are_asked_for_a_group_at_a_time(shards, groups_read):
    images = Images(shards)
    assert groups_read == []
    for name in ("i70", "i99", "i64", "i0", "i70", "grey"):
        images.struct(name)
    assert groups_read == [1, 0, 0]  # the grey one is in the first group of its own file


def test_what_was_not_asked_for_longest_is_let_go(shards, groups_read, monkeypatch):
    monkeypatch.setattr(Images, "HELD_BYTES", 64 * 8000)  # each picture takes about 7 000
    images = Images(shards)
    for name in ("i0", "grey", "i1", "i70", "i0", "grey"):
        images.struct(name)
    # The second group puts out the grey one's and then the first.
    assert groups_read == [0, 0, 1, 0, 0]


def test_a_group_above_the_limit_is_held_until_the_next(shards, groups_read, monkeypatch):
    monkeypatch.setattr(Images, "HELD_BYTES", 0)
    images = Images(shards)
    for name in ("i0", "i1", "i70", "i2"):
        images.struct(name)
    assert groups_read == [0, 1, 0]


def test_an_image_that_is_not_there_is_a_key_error(shards):
    with pytest.raises(KeyError, match="nowhere"):
        Images(shards)["nowhere"]


def test_a_missing_file_or_column_of_images_is_named(tmp_path):
    with pytest.raises(TableError, match=r"none\.parquet: no such table"):
        Images(tmp_path / "none.parquet")
    table([], RECORD).drop("modality").write_parquet(tmp_path / "x.parquet")
    with pytest.raises(TableError, match=r"x\.parquet: column 'modality' \(String\) is missing"):
        Images(tmp_path)


def test_a_folders_md5_changes_with_names_and_contents(tmp_path):
    for folder, name, data in [("a", "x", b"1"), ("b", "x", b"2"), ("c", "y", b"1")]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(data)
    assert len({folder_md5(tmp_path / folder) for folder in "abc"}) == 3


def test_an_empty_or_missing_folder_is_named(tmp_path):
    with pytest.raises(TableError, match="nothing is there"):
        folder_md5(tmp_path)
    with pytest.raises(TableError, match="nowhere: nothing is there"):
        folder_md5(tmp_path / "nowhere")
