"""The datasheet: valid Croissant, readable by its reference loader, true about the tables."""

import hashlib
import io
import json
import socket

import mlcroissant as mlc
import polars as pl
import pytest
from PIL import Image

from medq_engine import datasheet, tables
from medq_engine.sources import Source
from medq_engine.vocabulary import SEVERITIES

ABOUT = datasheet.About(
    name="miniature",
    description="A benchmark of a few images.",
    version="1.2.3",
    url="https://example.org/miniature",
    licence="https://spdx.org/licenses/Apache-2.0.html",
    creator="Somebody",
    published="2026-01-02",
    citation="@misc{miniature, title={A miniature}}",
)
PARTS = ("mri", "fundus", "fundus")


def source(name: str, licence: str) -> Source:
    return Source(
        id=name,
        package="box==1.0",
        kind="wheel",
        path=f"box/{name}.png",
        sha256="0" * 64,
        modality="fundus",
        subject=f"subject-{name}",
        origin="clinical",
        licence=licence,
        split="test",
        reader="rgb",
    )


SOURCES = (source("used", "MIT"), source("other", "BSD-3-Clause"), source("unused", "GPL-3.0"))


def record(split: str, index: int, modality: str) -> dict[str, object]:
    buffer = io.BytesIO()
    Image.new("L", (8 + index, 8), 40 * index).save(buffer, "PNG")
    return {
        "image_id": f"{split}{index}",
        "image": {"bytes": buffer.getvalue(), "path": f"{split}{index}.png"},
        "modality": modality,
        "subject_id": f"{split}-subject{min(index, 1)}",
        "source": ("used", "other", "medq_engine.phantoms")[index],
        "origin": ("clinical", "clinical", "phantom")[index],
        "licence": "MIT",
        "width": 8 + index,
        "height": 8,
    }


def asked(row: dict[str, object], severity: str, *more: str) -> dict[str, object]:
    worst = {"label": "blur", "severity": severity, "place": ""}
    other = {"label": "colour cast", "severity": "mild", "place": "in the upper left"}
    return {
        "item_id": f"{row['image_id']}-{'comparison' if more else 'yes-no'}",
        "task": "comparison" if more else "perception",
        "image_ids": [row["image_id"], *more],
        "question": "Is there blur in this image?",
        "options": ["Yes", "No"],
        "answer": "Yes",
        "severity": severity,
        "findings": [worst, other] if severity == "severe" else [],
        **{name: row[name] for name in ("modality", "subject_id", "origin")},
    }


@pytest.fixture
def folder(tmp_path):
    """A benchmark of three images a split: two items each, one compared with another."""
    for split in datasheet.SPLITS:
        records = [record(split, index, modality) for index, modality in enumerate(PARTS)]
        items = [
            asked(row, severity) for row, severity in zip(records, SEVERITIES[::-1], strict=True)
        ]
        items.append(asked(records[0], "severe", f"{split}1"))
        for table, rows in {"records": records, "items": items}.items():
            schema = datasheet.SCHEMAS[table]
            tables.write(tables.table(rows, schema), tmp_path / split / f"{table}.parquet", schema)
    return tmp_path


@pytest.fixture
def written(folder, monkeypatch):
    """The datasheet beside its tables, as a loader without a network finds it."""

    def refuse(*args, **kwargs):
        raise AssertionError("a datasheet is read without the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    path = folder / "croissant.json"
    tables.write_json(datasheet.croissant(folder, ABOUT, SOURCES), path)
    return path


def test_the_reference_implementation_finds_neither_errors_nor_warnings(written, caplog):
    metadata = mlc.Dataset(written).metadata
    assert not caplog.records
    assert not metadata.ctx.issues.errors
    assert not metadata.ctx.issues.warnings
    assert metadata.version == "1.2.3"
    assert not metadata.ctx.is_live_dataset
    for said in ("data_collection", "data_limitations", "data_biases", "data_use_cases"):
        assert getattr(metadata, said)
    assert metadata.personal_sensitive_information


def test_records_come_back_with_their_images_and_splits(written):
    rows = list(mlc.Dataset(written).records("records"))
    assert sorted(row["records/split"].decode() for row in rows) == sorted(3 * [*datasheet.SPLITS])
    row = next(row for row in rows if row["records/image_id"] == b"test2")
    assert row["records/split"] == b"test"
    assert row["records/image"].size == (10, 8)
    assert row["records/image"].getpixel((0, 0)) == 80
    assert row["records/width"] == 10


def test_items_come_back_with_lists_and_nested_findings(written):
    rows = {row["items/item_id"]: row for row in mlc.Dataset(written).records("items")}
    assert len(rows) == 12
    assert rows[b"gate2-yes-no"]["items/findings"] == []
    compared = rows[b"gate0-comparison"]
    assert compared["items/split"] == b"gate"
    assert compared["items/image_ids"] == [b"gate0", b"gate1"]
    assert compared["items/options"] == [b"Yes", b"No"]
    assert compared["items/findings"][1] == {
        "items/findings/label": b"colour cast",
        "items/findings/severity": b"mild",
        "items/findings/place": b"in the upper left",
    }


def test_every_column_of_the_contracts_is_a_described_field(folder):
    found = datasheet.croissant(folder, ABOUT, SOURCES)
    sets = {record_set["@id"]: record_set for record_set in found["recordSet"]}
    for table, schema in datasheet.SCHEMAS.items():
        fields = {field["name"]: field for field in sets[table]["field"]}
        assert list(fields) == ["split", *schema]
        assert all(field["description"] for field in fields.values())
    references = next(f for f in sets["items"]["field"] if f["name"] == "image_ids")["references"]
    assert references == {"field": {"@id": "records/image_id"}}
    assert sets["splits"]["dataType"] == "cr:Split"


def test_files_are_named_with_the_checksum_of_their_bytes(folder):
    found = datasheet.croissant(folder, ABOUT, SOURCES)["distribution"]
    files = {part["@id"]: part for part in found if part["@type"] == "cr:FileObject"}
    assert len(files) == 6
    for name, file in files.items():
        data = (folder / name).read_bytes()
        assert file["sha256"] == hashlib.sha256(data).hexdigest()
        assert file["contentSize"] == f"{len(data)} B"


def test_licences_are_those_of_sources_in_use(folder):
    found = datasheet.croissant(folder, ABOUT, SOURCES)
    own, *others = found["license"]
    assert own == ABOUT.licence
    assert [licence["name"] for licence in others] == ["BSD-3-Clause", "MIT"]
    assert [work["name"] for work in found["isBasedOn"]] == ["other", "used"]
    assert found["isBasedOn"][0]["url"] == "https://pypi.org/project/box/1.0/"


def test_the_composition_counts_an_image_once_and_every_item(folder):
    read = {
        table: pl.concat(
            tables.read(folder / split / f"{table}.parquet", schema).with_columns(
                split=pl.lit(split)
            )
            for split in datasheet.SPLITS
        )
        for table, schema in datasheet.SCHEMAS.items()
    }
    counts = datasheet.composition(**read)
    assert counts["images"].sum() == 9
    assert counts["items"].sum() == 12
    severe = counts.row(by_predicate=(pl.col("split") == "dev") & (pl.col("modality") == "mri"))
    assert severe == ("dev", "mri", "clinical", "severe", 1, 2)


def test_what_is_said_about_subjects_and_phantoms_is_counted(folder):
    found = datasheet.croissant(folder, ABOUT, SOURCES)
    assert "dev: 3 images (1 of phantoms) and 4 items" in found["description"]
    said = " ".join(found["rai:dataLimitations"])
    assert "6 real ones in all (2 in dev, 2 in gate, 2 in test)" in said
    assert "3 of 9 images show phantoms" in said
    assert "at most 10 px" in said


def test_the_same_tables_give_the_same_bytes(folder):
    made = [json.dumps(datasheet.croissant(folder, ABOUT, SOURCES[::step])) for step in (1, -1)]
    assert made[0] == made[1]


def test_a_missing_table_is_named(folder):
    (folder / "gate" / "items.parquet").unlink()
    with pytest.raises(tables.TableError, match=r"gate.items\.parquet"):
        datasheet.croissant(folder, ABOUT, SOURCES)
