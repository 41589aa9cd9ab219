"""Import of MedQ-Bench's files, or of our export of them (see `files`), as benchmark tables.

What a file of ours says in a `medq_` column is taken as it stands. What MedQ-Bench's files do not
say is told from their texts (`text`) or left empty: attribute, severity and scope are "",
findings are empty. Nothing is known of where an image comes from: source, origin and licence are
"medqbench", and its subject is the image itself.

A faulty row stops nothing else. It is reported with file and line, and left out.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from medq_engine import tables
from medq_engine.medqbench.files import (
    RECORD_COLUMNS,
    RECORDS,
    SPLITS,
    TASKS,
    UNKNOWN,
    ExchangeError,
    Fault,
    Row,
    Task,
    read_rows,
    unguard,
    whole_folder,
)
from medq_engine.medqbench.images import Cells, Pictures, RowError
from medq_engine.medqbench.items import Draft, item_of
from medq_engine.medqbench.text import modalities_in, modality_of_name
from medq_engine.vocabulary import Modality

FAULTS = "import-faults.txt"
HASHES = "hashes.parquet"


@dataclass(frozen=True)
class Imported:
    """What an import has made.

    Args:
        counts: Items and images by split.
        faults: Rows that were left out, by file and line.
        ignored: MedQ-Bench's files of no split that we know.
    """

    counts: dict[str, tuple[int, int]]
    faults: tuple[Fault, ...]
    ignored: tuple[str, ...]


def import_folder(folder: Path, out: Path) -> Imported:
    """Import all splits of a folder as `<out>/<split>/{records,items}.parquet` and hashes.parquet.

    `<out>/import-faults.txt` lists what was left out and marks the folder as made by an import: the
    next one replaces it as a whole.

    Args:
        folder: Where the files are; image paths in them are relative to it.
        out: Folder to make; it may be there if it is empty or made by an import.

    Returns:
        What was imported and what was not.

    Raises:
        ExchangeError: No file or no row can be imported, or `out` holds something else.
    """
    _check_target(out)
    splits = [split for split in SPLITS if any(path.is_file() for path in _files(folder, split))]
    if not splits:
        names = ", ".join(f"{task.stem}_{{{','.join(SPLITS)}}}.tsv" for task in TASKS)
        raise ExchangeError(f"{folder} has none of MedQ-Bench's files ({names})")
    known = {path.name for split in splits for path in _files(folder, split)}
    ignored = sorted({path.name for path in folder.glob("medqbench_*.tsv")} - known)
    counts, faults, hashes = {}, [], []
    with whole_folder(out) as made:
        for split in splits:
            counts[split] = _import_split(folder, split, made, faults, hashes)
        faults.sort(key=lambda fault: (fault.file, fault.line))
        if faults and not any(items for items, _ in counts.values()):
            listed = "\n".join(map(str, faults))
            raise ExchangeError(f"{folder}: no row can be imported\n{listed}")
        tables.write(tables.table(hashes, tables.HASH), made / HASHES, tables.HASH)
        tables.replace(made / FAULTS, "".join(f"{fault}\n" for fault in faults).encode())
    return Imported(counts, tuple(faults), tuple(ignored))


def _import_split(
    folder: Path,
    split: str,
    made: Path,
    faults: list[Fault],
    hashes: list[dict[str, str]],
) -> tuple[int, int]:
    """Write the tables of a split and add to faults and hashes; its images are then let go."""
    part = Split(folder, split)
    records, items = part.tables()
    tables.write(records, made / split / "records.parquet", tables.RECORD)
    tables.write(items, made / split / "items.parquet", tables.ITEM)
    faults += part.faults
    for image_id in records["image_id"]:
        hashes.append({"image_id": image_id, "phash": part.pictures[image_id].phash})
    return len(items), len(records)


def _files(folder: Path, split: str) -> list[Path]:
    stems = [RECORDS, *(task.stem for task in TASKS)]
    return [folder / f"{stem}_{split}.tsv" for stem in stems]


def _check_target(out: Path) -> None:
    if out.is_dir():
        made = {f"{split}/{name}.parquet" for split in SPLITS for name in ("records", "items")}
        found = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}
        if not found or (FAULTS in found and found <= made | {FAULTS, HASHES}):
            return
    elif not out.exists():
        return
    raise ExchangeError(f"{out} holds what no import has made; name another folder or move it away")


class Split:
    """One split as it is read: its pictures, what is known of them, its items, its faults."""

    def __init__(self, folder: Path, split: str) -> None:
        self.faults: list[Fault] = []
        self.pictures = Pictures()
        self._folder = folder
        self._split = split
        self._modality: dict[str, Modality] = {}
        records = list(self._read_records())
        drafts = [draft for task in TASKS for draft in self._read_task(task)]
        self._known = self._with_pictures(records)
        self._items = self._read_items(self._with_modality(drafts))

    def tables(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Records (schema RECORD) and items (schema ITEM)."""
        shown = [image_id for item in self._items for image_id in item["image_ids"]]
        records = [self._record(image_id) for image_id in dict.fromkeys([*self._known, *shown])]
        return tables.table(records, tables.RECORD), tables.table(self._items, tables.ITEM)

    def _record(self, image_id: str) -> dict[str, object]:
        picture = self.pictures[image_id]
        unknown = dict.fromkeys(("source", "origin", "licence"), UNKNOWN)
        unknown |= {"path": f"{image_id}.{picture.suffix}", "subject_id": image_id}
        known = self._known.get(image_id, unknown)
        return {
            **{name: known[name] for name in ("subject_id", "source", "origin", "licence")},
            "image_id": image_id,
            "image": {"bytes": picture.data, "path": known["path"]},
            "modality": self._modality[image_id],
            "width": picture.width,
            "height": picture.height,
        }

    def _rows(self, stem: str, images: Sequence[str], required: Sequence[str]) -> Iterator[Row]:
        """The sound rows of a file, none if it is not there."""
        path = self._folder / f"{stem}_{self._split}.tsv"
        if path.is_file():
            for row in read_rows(path, images, required):
                if isinstance(row, Fault):
                    self.faults.append(row)
                else:
                    yield row

    def _fault(self, stem: str, line: int, what: object) -> None:
        self.faults.append(Fault(f"{stem}_{self._split}.tsv", line, str(what)))

    def _read_records(self) -> Iterator[Row]:
        """What our export tells of images; an image that no item shows is kept at once."""
        seen: set[str] = set()
        for row in self._rows(RECORDS, (), RECORD_COLUMNS):
            image_id, cell = row.fields["image_id"], row.fields.pop("image")
            try:
                if image_id in seen:
                    raise RowError(f"image {image_id!r} is told of twice")
                if cell and self.pictures.keep_base64(cell) != image_id:
                    raise RowError(f"the image is not {image_id!r}")
                self._modality[image_id] = _modality_of(row.fields["modality"])
            except RowError as error:
                self._fault(RECORDS, row.line, error)
                continue
            seen.add(image_id)
            yield row

    def _with_pictures(self, records: Iterable[Row]) -> dict[str, dict[str, str]]:
        """What is known of images by id, of those whose picture was found in any row."""
        known = {}
        for row in records:
            fields = {name: unguard(field) for name, field in row.fields.items()}
            if fields["image_id"] in self.pictures:
                known[fields["image_id"]] = fields
            else:
                self._fault(RECORDS, row.line, f"no row holds image {fields['image_id']!r}")
        return known

    def _read_task(self, task: Task) -> Iterator[Draft]:
        cells = Cells(self._folder, task.images, self.pictures)
        rows: dict[str, Row] = {}
        for row in self._rows(task.stem, task.images, task.required):
            index = row.fields["index"].strip()
            if not index:
                self._fault(task.stem, row.line, "no index")
            elif index in rows:
                twin = rows[index].line
                self._fault(task.stem, row.line, f"index {index!r} is that of line {twin} too")
            else:
                cells.add(index, row.fields)
                rows[index] = row
        for index, row in rows.items():
            try:
                image_ids = cells.resolve(index)
                name = unguard(row.fields.get("modality", "")).strip()
                modality = _modality_of(name) if name else None
            except RowError as error:
                self._fault(task.stem, row.line, error)
                continue
            if modality:
                for image_id in image_ids:
                    self._modality.setdefault(image_id, modality)
            yield Draft(index, row, task, image_ids, modality)

    def _with_modality(self, drafts: Sequence[Draft]) -> Iterator[Draft]:
        """Drafts with what their column says, or other rows of the image, or their own text."""
        for draft in drafts:
            if not self._modality.keys() & draft.image_ids:
                named = modalities_in(f"{draft.text('question')} {draft.text('description')}")
                if len(named) == 1:
                    self._modality[draft.image_ids[0]] = named.pop()
        for draft in drafts:
            of_images = [self._modality[i] for i in draft.image_ids if i in self._modality]
            if draft.modality or of_images:
                modality = draft.modality or of_images[0]
                for image_id in draft.image_ids:
                    self._modality.setdefault(image_id, modality)
                yield replace(draft, modality=modality)
            else:
                what = "no modality in a column, nor exactly one in the text"
                self._fault(draft.task.stem, draft.row.line, what)

    def _read_items(self, drafts: Iterable[Draft]) -> list[dict[str, object]]:
        """Items, ours in the order of their index, others in that of their files."""
        items: dict[str, tuple[tuple[bool, int], dict[str, object]]] = {}
        for draft in drafts:
            try:
                if draft.own and not draft.index.isdecimal():
                    raise RowError(f"index {draft.index!r} is not a number")
                item = item_of(draft, self._split)
                if item["item_id"] in items:
                    raise RowError(f"item {item['item_id']!r} is there twice")
            except RowError as error:
                self._fault(draft.task.stem, draft.row.line, error)
                continue
            place = (False, int(draft.index)) if draft.own else (True, len(items))
            items[item["item_id"]] = place, item
        return [item for _, item in sorted(items.values(), key=lambda placed: placed[0])]


def _modality_of(name: str) -> Modality:
    modality = modality_of_name(name)
    if modality is None:
        raise RowError(f"unknown modality {name!r}")
    return modality
