"""Miniature benchmarks in MedQ-Bench's files: one of ours, and a foreign one with every oddity."""

import base64
import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from medq_engine import tables
from medq_engine.descriptions import COMPARE
from medq_engine.simulation import content_id

NASTY = 'tab\there, "quoted"\nnext line\r\nand \r alone, µm — "'
QA = ("index", "image", "question", "A", "B", "C", "D", "answer", "modality")
PAIRS = ("index", "image_a", "image_b", "description")
Row = dict[str, object]


def picture(grey: int, format_name: str = "PNG", size: tuple[int, int] = (12, 9)) -> bytes:
    """A small image file that differs with `grey`."""
    image = Image.linear_gradient("L").resize(size).point(lambda value: value ^ grey)
    buffer = io.BytesIO()
    image.save(buffer, format_name)
    return buffer.getvalue()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


PICTURES = [picture(0), picture(1), picture(2, "JPEG"), picture(3)]


def write_tsv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerows([header, *rows])


def read_tables(folder: Path) -> dict[str, list[Row]]:
    """Every table of a benchmark by its path, as rows."""
    schemas = {"records": tables.RECORD, "items": tables.ITEM, "hashes": tables.HASH}
    return {
        path.relative_to(folder).as_posix(): tables.read(path, schemas[path.stem]).to_dicts()
        for path in sorted(folder.rglob("*.parquet"))
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def items_of(folder: Path, split: str = "dev") -> dict[str, Row]:
    items = tables.read(folder / split / "items.parquet", tables.ITEM)
    return {row["item_id"]: row for row in items.to_dicts()}


def record_row(data: bytes, **changes: object) -> Row:
    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
    return {
        "image_id": content_id(data),
        "image": {"bytes": data, "path": f"{content_id(data)}.png"},
        "modality": "mri",
        "subject_id": "patient 1",
        "source": "NA",
        "origin": "clinical",
        "licence": "CC-BY-4.0",
        "width": width,
        "height": height,
    } | changes


def qa_row(index: object = 1, **changes: object) -> list[object]:
    row = dict(zip(QA, (index, "", "Q?", "x", "y", "", "", "A", "CT"), strict=True)) | changes
    return list(row.values())


GOOD = qa_row(0, image=encoded(picture(9)))


def edited(path: Path, row: int, **changes: str) -> None:
    """Change fields of a row (0 is the first after the header) of one of our files."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream, delimiter="\t"))
    for name, text in changes.items():
        rows[row + 1][rows[0].index(name)] = text
    write_tsv(path, rows[0], rows[1:])


def write_benchmark(
    folder: Path, items: Sequence[Row], records: Sequence[Row], split: str = "dev"
) -> Path:
    """A benchmark's folder with the tables of a split; items without findings have none."""
    items = [{"findings": []} | item for item in items]
    for name, rows, schema in (("items", items, tables.ITEM), ("records", records, tables.RECORD)):
        path = folder / split / f"{name}.parquet"
        tables.write(tables.table(rows, schema), path, schema)
    return folder


def make_benchmark(folder: Path, item_row: Callable[..., Row]) -> Path:
    """Two splits with all tasks in mixed order, text that hurts, and an image that none shows."""
    ids = [content_id(data) for data in PICTURES]
    finding = {"label": "aliasing", "severity": "mild", "place": "at the top"}
    odd = {"label": "", "severity": 'a "b"\t', "place": ""}
    none = ["None", "Mild", "Severe"]
    pair = {"task": "comparison", "options": [], "question": COMPARE, "image_ids": [ids[1], ids[0]]}
    items = [
        item_row("d", task="description", options=[], answer="", image_ids=[ids[1]]),
        item_row("q2", image_ids=[ids[1]], findings=[finding, odd]),
        item_row("c1", **pair, answer="second image", question_type="fine-grained", findings=[]),
        item_row("q1", image_ids=[ids[0]], options=none, answer="None", reference=NASTY),
        item_row("q3", image_ids=[ids[1]], question=f" {NASTY} ", options=[" x", "x", NASTY, "a"])
        | {"answer": NASTY, "origin": "nan", "attribute": "None ", "scene_id": "\x00 NULL"},
        item_row("c2", **pair, answer="", question_type="", reference="nan") | {"question": ""},
    ]
    records = [
        record_row(PICTURES[1], modality="ct"),
        record_row(PICTURES[3], subject_id=NASTY),
        record_row(PICTURES[0], image={"bytes": PICTURES[0], "path": "a/b.jpg"}),
    ]
    gate = [item_row("g", image_ids=[ids[2]])]
    write_benchmark(folder, gate, [record_row(PICTURES[2])], "gate")
    return write_benchmark(folder, items, records)


def make_foreign(folder: Path) -> Path:
    """MedQ-Bench-like files: shared images, forward references, chains, paths, odd answers."""
    (folder / "images").mkdir(parents=True)
    first, second, third, fourth = PICTURES
    (folder / "images" / "third.jpg").write_bytes(third)
    (folder / "images" / "fourth.png").write_bytes(fourth)
    rows = [
        # The options are compared as they are read: without the space, without the blank one.
        (1, 3, "Is there noise?", "Yes ", "No", "", "nan", "a", "MRI"),
        (2, 1, "How strong is the noise?", "None", "", "Severe", "", 2, "magnetic resonance"),
        (3, encoded(first), "What fault is it?", "Noise", "Blur", "Fold", "Ring", 3, "mr"),
        (7, encoded(second), NASTY, "x", "y", "", "", "B", "Histopathology"),
    ]
    write_tsv(folder / "medqbench_QA_dev.tsv", QA, rows)
    texts = [
        ("x1", f"{encoded(first)[:40]}\n{encoded(first)[40:]}", "The overall quality is good."),
        ("x2", "x1", "A CT image. Overall, the quality of this image is reject."),
    ]
    write_tsv(folder / "medqbench_description_dev.tsv", ("index", "image", "description"), texts)
    write_tsv(
        folder / "medqbench_description_test.tsv",
        ("index", "image_path", "description", "question"),
        [
            (0, "images/third.jpg", "This fundus image is blurred.", "Describe it."),
            (1, "['images/third.jpg']", "It is blurred. The quality of this image is usable.", ""),
        ],
    )
    better = "Of these endoscopy images, the second image has higher quality."
    write_tsv(
        folder / "medqbench_paired_description_dev.tsv",
        PAIRS,
        [(0, encoded(second), encoded(fourth), better), (1, 0, encoded(first), "Both CT alike.")],
    )
    write_tsv(
        folder / "medqbench_paired_description_test.tsv",
        ("index", "image_path", "description"),
        [(5, "['images/fourth.png', \"images/third.jpg\"]", better)],
    )
    (folder / "medqbench_QA.tsv").write_text("index\n", encoding="utf-8")
    return folder
