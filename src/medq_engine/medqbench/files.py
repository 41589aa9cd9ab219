"""The benchmark in MedQ-Bench's files, as VLMEvalKit reads them: columns, dialect, rows, images.

A split has a file for each task (arXiv 2510.01691): `medqbench_QA_<split>.tsv` for perception,
`medqbench_description_<split>.tsv` and `medqbench_paired_description_<split>.tsv`. Fields are
separated by tabs, quoted with `"` where they hold a tab, a quote or a line break, in UTF-8; lines
end with a newline. An image is standard base64; a value of at most 64 characters is instead the
`index` of the row that holds the image, in the same column.

Beside MedQ-Bench's columns our files have `medq_<name>` for what else a row of ITEM holds (lists as
JSON), and a split has `medqbench_records_<split>.tsv`: what a row of RECORD holds besides its
image. VLMEvalKit ignores both.
"""

import csv
import io
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from medq_engine.errors import MedqError
from medq_engine.tables import ITEM, RECORD

SPLITS = ("dev", "gate", "test")
LETTERS = ("A", "B", "C", "D")
LONGEST_REFERENCE = 64
OWN = "medq_"
# Source, origin and licence of what comes from MedQ-Bench, whose files name none.
UNKNOWN = "medqbench"
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
# pandas reads these words as a missing value, and VLMEvalKit then drops the option "None".
MISSING_IN_PANDAS = (
    *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
# Words of a data frame written without care; "None" and "N/A" are also answers that people give.
BLANKS = ("<NA>", "NULL", "NaN", "nan", "null")
_MISSING = re.compile(rf"(?:{'|'.join(map(re.escape, MISSING_IN_PANDAS))}) *")
_LONGEST_FIELD = 2**31 - 1


class ExchangeError(MedqError):
    """A folder that cannot be imported or exported; the message names it and what to do."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a row, and where."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


@dataclass(frozen=True)
class Row:
    """A row's fields by column, and the line of the file on which it starts."""

    line: int
    fields: dict[str, str]


@dataclass(frozen=True)
class Task:
    """How one of ITEM's tasks is laid out.

    Args:
        name: The task in ITEM.
        stem: Name of the file, before the split.
        images: Columns that hold an image each; `image_path` may stand for them.
        required: Columns without which no row can be read.
        columns: MedQ-Bench's columns in our order.
        carried: Columns of ITEM that these hold; the others are `medq_<name>`.
    """

    name: str
    stem: str
    images: tuple[str, ...]
    required: tuple[str, ...]
    columns: tuple[str, ...]
    carried: tuple[str, ...]

    @property
    def extras(self) -> tuple[str, ...]:
        """Columns of ITEM that MedQ-Bench has no place for."""
        held = ("task", "image_ids", "question", "modality", *self.carried)
        return tuple(name for name in ITEM if name not in held)

    @property
    def header(self) -> tuple[str, ...]:
        """All columns of our file."""
        return (*self.columns, *(OWN + name for name in self.extras))


TASKS = (
    Task(
        name="perception",
        stem="medqbench_QA",
        images=("image",),
        required=("index", "question", "A", "B", "answer"),
        columns=("index", "image", "image_path", "question", *LETTERS, "answer", "modality"),
        carried=("options", "answer"),
    ),
    Task(
        name="description",
        stem="medqbench_description",
        images=("image",),
        required=("index", "description"),
        columns=("index", "image", "image_path", "question", "description", "modality"),
        carried=("reference",),
    ),
    Task(
        name="comparison",
        stem="medqbench_paired_description",
        images=("image_a", "image_b"),
        required=("index", "description"),
        columns=(
            "index",
            "image_a",
            "image_b",
            "image_path",
            "question",
            "description",
            "modality",
        ),
        carried=("reference",),
    ),
)
RECORDS = "medqbench_records"
# `image` holds the image only where no item shows it; its width and height are read from it.
RECORD_COLUMNS = (
    *("image_id", "image", "path"),
    *(name for name in RECORD if name not in ("image_id", "image", "width", "height")),
)


def guard(text: str) -> str:
    """A text so that pandas does not take it for a missing value: "None" becomes "None "."""
    return f"{text} " if _MISSING.fullmatch(text) else text


def unguard(field: str) -> str:
    """The inverse of `guard`; a field that says "missing" in a foreign file is empty."""
    if field in BLANKS:
        return ""
    return field[:-1] if field.endswith(" ") and _MISSING.fullmatch(field) else field


def fault_of_options(options: Sequence[str], answer: str) -> str | None:
    """What is wrong with a perception item's options and answer, or None."""
    if not 2 <= len(options) <= len(LETTERS) or not all(option.strip() for option in options):
        return f"{len(options)} options, not 2 to {len(LETTERS)} with a text each"
    if len(set(options)) < len(options):
        return "two options are the same"
    if answer not in options:
        return f"answer {answer!r} is no option"
    return None


def open_image(data: bytes) -> Image.Image:
    """The decoded picture of an image file.

    Raises:
        ValueError: The bytes are no whole PNG, JPEG, BMP, GIF, TIFF or WebP file.
    """
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
        picture.convert("RGB")
    except Exception as error:  # Pillow's decoders raise whatever a broken file leads them into
        raise ValueError(f"not a whole image of a known format ({', '.join(FORMATS)})") from error
    return picture


def read_rows(path: Path, images: Sequence[str], required: Sequence[str]) -> Iterator[Row | Fault]:
    """The rows of a file one at a time, and in their place what is wrong with a line.

    Args:
        path: A tab-separated file with a header.
        images: Columns that must be there, unless `image_path` is.
        required: Columns that must be there.
    """
    former = csv.field_size_limit(_LONGEST_FIELD)
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            yield from _read(csv.reader(stream, "excel-tab", strict=True), path, images, required)
    finally:
        csv.field_size_limit(former)


def _read(
    reader, path: Path, images: Sequence[str], required: Sequence[str]
) -> Iterator[Row | Fault]:
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            yield Fault(path.name, line, f"not tab-separated fields: {error}")
            continue
        if header is None:
            header = fields
            if what := _fault_of_header(header, images, required):
                yield Fault(path.name, line, what)
                return
        elif fields and len(fields) != len(header):
            yield Fault(path.name, line, f"{len(fields)} fields, the header has {len(header)}")
        elif not all(map(_is_utf8, fields)):
            yield Fault(path.name, line, "not UTF-8")
        elif fields:
            yield Row(line, dict(zip(header, fields, strict=True)))
    if header is None:
        yield Fault(path.name, 1, "no header")


def _fault_of_header(
    header: Sequence[str], images: Sequence[str], required: Sequence[str]
) -> str | None:
    if len(set(header)) < len(header):
        return "two columns have the same name"
    wanted = required if "image_path" in header else (*required, *images)
    missing = [name for name in wanted if name not in header]
    return f"column {missing[0]!r} is missing" if missing else None


def _is_utf8(field: str) -> bool:
    try:
        field.encode()
    except UnicodeEncodeError:  # what surrogateescape made of a stray byte
        return False
    return True


@contextmanager
def row_writer(path: Path, header: Sequence[str]) -> Iterator[Callable[[Iterable[object]], object]]:
    """A function that writes a row to a new file in the dialect of ours, its header written."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        write = csv.writer(stream, "excel-tab", lineterminator="\n").writerow
        write(header)
        yield write


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder to fill; at the end it takes the place of `out`, and vanishes if anything fails."""
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
    made, former = scratch / "made", scratch / "former"
    try:
        made.mkdir()
        yield made
        if out.exists():
            out.rename(former)
        try:
            made.rename(out)
        except OSError:
            if former.exists():
                former.rename(out)
            raise
    finally:
        shutil.rmtree(scratch)
