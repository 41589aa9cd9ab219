"""Export of the benchmark's tables as MedQ-Bench's files (see `files`), without loss.

`index` is the item's position in its table. VLMEvalKit names the picture that it makes of an image
by `image_path`, which is why that column stands beside the image: as PNG, the picture is not
compressed once more before its quality is asked about.
"""

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from medq_engine import tables
from medq_engine.medqbench.files import (
    LETTERS,
    LONGEST_REFERENCE,
    OWN,
    RECORD_COLUMNS,
    RECORDS,
    SPLITS,
    TASKS,
    ExchangeError,
    Task,
    fault_of_options,
    guard,
    open_image,
    row_writer,
    whole_folder,
)
from medq_engine.simulation import content_id
from medq_engine.vocabulary import MODALITIES


def export_folder(benchmark: Path, out: Path) -> dict[str, int]:
    """Write every split of a benchmark as MedQ-Bench's files.

    Args:
        benchmark: Folder with `<split>/records.parquet` and `<split>/items.parquet`.
        out: Folder to make; it may be there, but empty.

    Returns:
        Number of items by split.

    Raises:
        ExchangeError: There is no split, `out` is not empty, or a row has no place in the files.
        TableError: A table breaks its contract.
    """
    splits = [split for split in SPLITS if (benchmark / split).is_dir()]
    if not splits:
        raise ExchangeError(f"{benchmark} has none of the folders {', '.join(SPLITS)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ExchangeError(f"{out} is not an empty folder; export into a new one")
    with whole_folder(out) as folder:
        return {split: _export_split(benchmark / split, split, folder) for split in splits}


def _export_split(source: Path, split: str, folder: Path) -> int:
    records = tables.read(source / "records.parquet", tables.RECORD)
    items = tables.read(source / "items.parquet", tables.ITEM).with_row_index("index")
    images = _checked_images(source, records)
    _check_items(source, items, images)
    for task in TASKS:
        chosen = items.filter(pl.col("task") == task.name)
        if not chosen.is_empty():
            _write_task(folder / f"{task.stem}_{split}.tsv", task, chosen, images)
    shown = {image_id for row in items["image_ids"] for image_id in row}
    with row_writer(folder / f"{RECORDS}_{split}.tsv", RECORD_COLUMNS) as write:
        for row in records.unnest("image").iter_rows(named=True):
            image = "" if row["image_id"] in shown else _base64(row["bytes"])
            write(image if name == "image" else guard(row[name]) for name in RECORD_COLUMNS)
    return len(items)


def _checked_images(source: Path, records: pl.DataFrame) -> dict[str, bytes]:
    """Bytes by image id, once every record is known to come back as it is."""
    where = source / "records.parquet"
    _check_nulls(where, records.unnest("image"))
    images = {}
    for row in records.iter_rows(named=True):
        image_id, data = row["image_id"], row["image"]["bytes"]
        if row["modality"] not in MODALITIES:
            raise ExchangeError(f"{where}: {image_id}: unknown modality {row['modality']!r}")
        if image_id != content_id(data) or image_id in images:
            raise ExchangeError(
                f"{where}: {image_id} is not its image's content id, or twice there"
            )
        try:
            size = open_image(data).size
        except ValueError as error:
            raise ExchangeError(f"{where}: image {image_id}: {error}") from error
        if size != (row["width"], row["height"]):
            raise ExchangeError(f"{where}: image {image_id} is {size[0]} x {size[1]} pixels")
        if len(_base64(data)) <= LONGEST_REFERENCE:
            raise ExchangeError(
                f"{where}: image {image_id} is too short a file to be told from a row"
            )
        images[image_id] = data
    return images


def _check_nulls(where: Path, frame: pl.DataFrame) -> None:
    for name, nulls in frame.null_count().row(0, named=True).items():
        if nulls:
            raise ExchangeError(f"{where}: column {name!r} has missing values")


def _check_items(source: Path, items: pl.DataFrame, images: Mapping[str, bytes]) -> None:
    """See that every item comes back as it is.

    Raises:
        ExchangeError: Names the table and the first item that would not.
    """
    where = source / "items.parquet"
    _check_nulls(where, items)
    seen = set()
    for item in items.iter_rows(named=True):
        what = "twice there" if item["item_id"] in seen else _fault_of_item(item, images)
        if what:
            raise ExchangeError(f"{where}: item {item['item_id']}: {what}")
        seen.add(item["item_id"])


def _fault_of_item(item: Mapping[str, object], images: Mapping[str, bytes]) -> str | None:
    task = next((task for task in TASKS if task.name == item["task"]), None)
    if task is None:
        return f"task {item['task']!r} has no file"
    if len(item["image_ids"]) != len(task.images):
        return f"{len(item['image_ids'])} images, not {len(task.images)}"
    if not images.keys() >= set(item["image_ids"]):
        return "an image without a record"
    if item["modality"] not in MODALITIES:
        return f"unknown modality {item['modality']!r}"
    text = "question" if task.name == "perception" else "reference"
    if not item[text].strip():
        return f"no {text}"
    if task.name == "perception":
        return fault_of_options(item["options"], item["answer"])
    return None


def _write_task(path: Path, task: Task, items: pl.DataFrame, images: Mapping[str, bytes]) -> None:
    """One file. An image of a single-image task is written once, by the first row that shows it.

    VLMEvalKit follows no reference in a pair, so pairs hold both of their images.
    """
    holders: dict[str, int] = {}
    with row_writer(path, task.header) as write:
        for item in items.iter_rows(named=True):
            fields = {"index": item["index"], "question": guard(item["question"])}
            fields["modality"] = guard(item["modality"])
            names = [f"{image_id}.png" for image_id in item["image_ids"]]
            fields["image_path"] = names[0] if len(names) == 1 else json.dumps(names)
            for column, image_id in zip(task.images, item["image_ids"], strict=True):
                if len(names) == 1 and image_id in holders:
                    fields[column] = holders[image_id]
                else:
                    fields[column] = _base64(images[image_id])
                    holders[image_id] = item["index"]
            if task.name == "perception":
                options = item["options"]
                fields |= dict(zip(LETTERS, map(guard, options), strict=False))
                fields["answer"] = LETTERS[options.index(item["answer"])]
            else:
                fields["description"] = guard(item["reference"])
            for name in task.extras:
                value = item[name]
                plain = isinstance(value, str)
                fields[OWN + name] = (
                    guard(value) if plain else json.dumps(value, ensure_ascii=False)
                )
            write(fields.get(column, "") for column in task.header)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
