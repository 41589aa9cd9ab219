"""The data contracts: declared schemas of every table, checked on read, written atomically.

Tables are Parquet through polars; batches and annotations are JSONL in canonical form, so that a
diff shows the lines that changed and nothing else.
"""

import hashlib
import io
import json
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from PIL import Image

from medq_engine.errors import MedqError

IMAGE = pl.Struct({"bytes": pl.Binary, "path": pl.String})
TURN = pl.Struct({"question": pl.String, "options": pl.List(pl.String), "answer": pl.String})
FINDING = pl.Struct({"label": pl.String, "severity": pl.String, "place": pl.String})

RECORD = {
    "image_id": pl.String,
    "image": IMAGE,
    "modality": pl.String,
    "subject_id": pl.String,
    "source": pl.String,
    "origin": pl.String,
    "licence": pl.String,
    "width": pl.Int32,
    "height": pl.Int32,
}
SCENE = {
    "scene_id": pl.String,
    "split": pl.String,
    "anatomy": pl.String,
    "shows": pl.List(pl.String),
    **RECORD,
}
TRUTH = {"image_id": pl.String, "modality": pl.String, "findings": pl.List(FINDING)}
ITEM = {
    "item_id": pl.String,
    "task": pl.String,
    "image_ids": pl.List(pl.String),
    "question": pl.String,
    "options": pl.List(pl.String),
    "answer": pl.String,
    "question_type": pl.String,
    "modality": pl.String,
    "attribute": pl.String,
    "severity": pl.String,
    "scope": pl.String,
    "findings": pl.List(FINDING),
    "reference": pl.String,
    "verdict": pl.String,
    "subject_id": pl.String,
    "scene_id": pl.String,
    "origin": pl.String,
}
DRAFT = {
    "image_id": pl.String,
    "question": pl.String,
    "answer": pl.String,
    "annotator": pl.String,
}
EMBEDDING = {
    "image_id": pl.String,
    "modality": pl.String,
    "shard": pl.String,
    "vector": pl.List(pl.Float32),
}
HASH = {"image_id": pl.String, "phash": pl.String}
PREDICTION = {
    "item_id": pl.String,
    "answer": pl.String,
    "correct": pl.Boolean,
    "probabilities": pl.List(pl.Float64),
    "probability_of_truth": pl.Float64,
    "answers": pl.List(pl.String),
    "error_rate": pl.Float64,
    "failure": pl.Boolean,
    "unparsed": pl.Int32,
    "nll": pl.Float64,
    "text": pl.String,
    "completeness": pl.Int8,
    "preciseness": pl.Int8,
    "consistency": pl.Int8,
    "quality": pl.Int8,
    "llm_completeness": pl.Int8,
    "llm_preciseness": pl.Int8,
    "llm_consistency": pl.Int8,
    "llm_quality": pl.Int8,
    "llm_unparsed": pl.Int8,
    "stability": pl.Float64,
}
PROTOTYPE = {
    "prototype_id": pl.String,
    "name": pl.String,
    "modality": pl.String,
    "question_type": pl.String,
    "attribute": pl.String,
    "severity": pl.String,
    "mass": pl.Float64,
    "capability_error": pl.Float64,
    "anchor": pl.List(pl.Float32),
    "anchor_item": pl.String,
    "members": pl.List(pl.String),
}
CANDIDATE = {
    "image_id": pl.String,
    "prototype_id": pl.String,
    "arm": pl.String,
    "cosine": pl.Float64,
}
TASK = {
    "task_id": pl.String,
    "image_id": pl.String,
    "prototype_id": pl.String,
    "arm": pl.String,
    "modality": pl.String,
    "question_type": pl.String,
    "attribute": pl.String,
    "question": pl.String,
    "options": pl.List(pl.String),
    "model_answer": pl.String,
    "model_probability": pl.Float64,
    "entropy": pl.Float64,
    "draft": pl.String,
    "agreement": pl.Float64,
    "route": pl.String,
    "audit": pl.Boolean,
    "unreviewed": pl.String,
    "gold": pl.String,
    "readers": pl.Int32,
    "error": pl.Float64,
    "error_sd": pl.Float64,
    "round": pl.Int32,
}
LABEL = {
    "task_id": pl.String,
    "image_id": pl.String,
    "prototype_id": pl.String,
    "arm": pl.String,
    "modality": pl.String,
    "question_type": pl.String,
    "attribute": pl.String,
    "question": pl.String,
    "answer": pl.String,
    "verdict": pl.String,
    "description": pl.String,
    "route": pl.String,
    "annotator": pl.String,
    "seconds": pl.Float64,
    "round": pl.Int32,
}
TRAINING = {
    "image_id": pl.String,
    "modality": pl.String,
    "source": pl.String,
    "image": IMAGE,
    "turns": pl.List(TURN),
    "route": pl.String,
}

Schema = Mapping[str, pl.DataType]


class TableError(MedqError):
    """A table breaks its contract; the message names the file and the column or line."""


def table(rows: Iterable[Mapping[str, object]], schema: Schema) -> pl.DataFrame:
    """Rows as a table of a declared schema (also when there is no row)."""
    return pl.DataFrame(list(rows), schema=dict(schema), orient="row")


def files_of(path: Path) -> list[Path]:
    """A Parquet file, or all files of a folder in the order of their names.

    Raises:
        TableError: Nothing is there.
    """
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not all(file.exists() for file in files):
        raise TableError(f"{path}: no such table; `dvc repro` makes it, `dvc checkout` restores it")
    return files


def check_schema(file: Path, schema: Schema) -> None:
    """Compare a Parquet file's columns with a contract.

    Raises:
        TableError: A column is missing, unknown or of another type, or the file is no Parquet.
    """
    try:
        found = pl.read_parquet_schema(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise TableError(f"{file}: not a readable Parquet file: {error}") from error
    for name, dtype in schema.items():
        if name not in found:
            raise TableError(f"{file}: column {name!r} ({dtype}) is missing")
        if found[name] != dtype:
            raise TableError(f"{file}: column {name!r} is {found[name]}, not {dtype}")
    unknown = [name for name in found if name not in schema]
    if unknown:
        raise TableError(f"{file}: unknown column {unknown[0]!r}")


def read(path: Path, schema: Schema) -> pl.DataFrame:
    """Read one Parquet file, or all files of a folder in the order of their names.

    Raises:
        TableError: Nothing is there, or a column is missing, unknown or of another type.
    """
    files = files_of(path)
    for file in files:
        check_schema(file, schema)
    return pl.concat([pl.read_parquet(file, columns=list(schema)) for file in files])


def replace(path: Path, data: bytes) -> None:
    """Write a file as a whole or not at all: beside it first, then renamed over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    os.replace(partial, path)


def write(frame: pl.DataFrame, path: Path, schema: Schema) -> None:
    """Write a table of a declared schema as one Parquet file, in row groups of 64 images or so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    group = 64 if "image" in schema else 100_000
    frame.select(list(schema)).cast(dict(schema)).write_parquet(partial, row_group_size=group)
    os.replace(partial, path)


def write_json(value: object, path: Path) -> None:
    """Write metrics as indented JSON with sorted keys: the diff is what changed."""
    replace(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())


def plain(value: object) -> object:
    """A dataclass and all that it holds as dicts and lists; other values as they are."""
    return json.loads(json.dumps(asdict(value))) if is_dataclass(value) else value


def canonical(rows: Iterable[Mapping[str, object]]) -> bytes:
    """Rows as canonical JSONL: sorted by task id, sorted keys, one object a line, UTF-8."""
    lines = [(row["task_id"], json.dumps(row, sort_keys=True, ensure_ascii=False)) for row in rows]
    return "".join(f"{line}\n" for _, line in sorted(lines)).encode()


def fingerprint(data: bytes) -> str:
    """What ties an answer to its batch: 12 hex digits of the SHA-256 of the batch file."""
    return hashlib.sha256(data).hexdigest()[:12]


def folder_md5(folder: Path) -> str:
    """One md5 of a folder's files, their names and contents, in the order of their names.

    Raises:
        TableError: The folder is missing or empty.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise TableError(f"{folder}: nothing is there")
    digest = hashlib.md5(usedforsecurity=False)
    for path in files:
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(hashlib.md5(path.read_bytes(), usedforsecurity=False).digest())
    return digest.hexdigest()


def matrix(column: pl.Series) -> np.ndarray:
    """A column of equally long vectors as an array of shape (rows, features), float32."""
    return np.stack(column.to_list()).astype(np.float32)


class Images(Mapping[str, Image.Image]):
    """Images of tables of records by id, read when they are asked for.

    What is held is the place of each image, and the row groups that were read last.
    """

    HELD_BYTES = 256 * 2**20

    def __init__(self, *paths: Path) -> None:
        self._place: dict[str, tuple[pq.ParquetFile, int]] = {}
        self._groups: OrderedDict[tuple[int, int], dict[str, bytes]] = OrderedDict()
        self._held = 0
        self.modality: dict[str, str] = {}
        self.source: dict[str, str] = {}
        for file in (file for path in paths for file in files_of(path)):
            check_schema(file, RECORD)
            source = pq.ParquetFile(file)
            for group in range(source.num_row_groups):
                columns = ["image_id", "modality", "source"]
                rows = source.read_row_group(group, columns=columns).to_pydict()
                self._place |= dict.fromkeys(rows["image_id"], (source, group))
                self.modality |= zip(rows["image_id"], rows["modality"], strict=True)
                self.source |= zip(rows["image_id"], rows["source"], strict=True)

    def _bytes(self, image_id: str) -> bytes:
        source, group = self._place[image_id]
        key = (id(source), group)
        if key not in self._groups:
            rows = source.read_row_group(group, columns=["image_id", "image"]).to_pydict()
            images = (image["bytes"] for image in rows["image"])
            self._groups[key] = dict(zip(rows["image_id"], images, strict=True))
            self._held += sum(map(len, self._groups[key].values()))
            while self._held > self.HELD_BYTES and len(self._groups) > 1:
                _, dropped = self._groups.popitem(last=False)
                self._held -= sum(map(len, dropped.values()))
        self._groups.move_to_end(key)
        return self._groups[key][image_id]

    def __getitem__(self, image_id: str) -> Image.Image:
        return Image.open(io.BytesIO(self._bytes(image_id))).convert("RGB")

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._place

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __len__(self) -> int:
        return len(self._place)

    def struct(self, image_id: str) -> dict[str, object]:
        """The image as tables hold it."""
        return {"bytes": self._bytes(image_id), "path": f"{image_id}.png"}
