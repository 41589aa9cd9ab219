"""A batch as a table for spreadsheets, and reading back what they make of it.

The file is UTF-8 with a byte order mark, since Excel takes it for the system's code page otherwise.
A cell whose text would be taken for a formula gets an apostrophe in front, which is taken away
again on the way back (OWASP, "CSV Injection"). Whatever a spreadsheet does to a table on saving is
undone: other delimiters, moved or empty columns, empty rows, blanks and case of an answer.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, zip_longest

from medq_engine.batches import Batch
from medq_engine.exchange.answers import ExchangeError, Fault, Said, present
from medq_engine.vocabulary import VERDICTS

FOR_READING = (
    *("task_id", "image", "modality", "question", "options", "model_answer", "draft", "batch"),
)
FOR_WRITING = (
    *("answer", "verdict", "description", "note", "cannot_judge", "seconds", "annotator"),
)
REQUIRED = ("task_id", "batch", "answer")
# With a word in front: digits alone, or with an "e" among them, would become a number.
BATCH = "batch "
DELIMITERS = ",;\t"
_LONGEST_CELL = 2**31 - 1
_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff0b\uff0d\uff1d\uff20]")
_SECONDS = re.compile(r"\d+(?:[.,]\d+)?")

README = """# A batch for spreadsheets

`{table}` has a row for each task; the images are in `images`. Fill in:

- `answer`: one of `options`. An empty row is not answered yet.
- `verdict` (optional): good, usable or reject, for the image as a whole.
- `description` (optional): findings and verdict in words; it is learnt from. `note` is not.
- `cannot_judge`: why, in the place of an answer.
- `seconds` (optional): how long it took; empty counts as 0.
- `annotator`: who answered; or give `--annotator NAME` for rows without a name.

Whoever answers a task that somebody has answered copies the row. Save as "CSV UTF-8", then
`medq import-batch FILE`. A spreadsheet cell holds no more than 32,767 characters.
"""


def guard(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguard(cell: str) -> str:
    """The inverse of `guard`; a formula's sign without an apostrophe stays as it is."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def table_of(batch: Batch) -> bytes:
    """The batch as CSV; blind tasks show no answer."""
    stream = io.StringIO(newline="")
    write = csv.writer(stream).writerow
    write((*FOR_READING, *FOR_WRITING))
    for task in batch.tasks:
        hints = {} if task["blind"] else task
        cells = {
            **{name: task[name] for name in ("task_id", "modality", "question")},
            **{name: hints.get(name, "") for name in ("model_answer", "draft")},
            "image": f"images/{task['image_id']}.png",
            "options": " | ".join(task["options"]),
            "batch": BATCH + batch.fingerprint,
        }
        write([guard(str(cells[name])) for name in FOR_READING] + [""] * len(FOR_WRITING))
    return stream.getvalue().encode("utf-8-sig")


def read_table(data: bytes, batch: Batch, annotator: str | None = None) -> list[Said | Fault]:
    """What a table says, row by row; rows are numbered as spreadsheets do.

    Args:
        data: The saved file.
        batch: Whose options forgive case and blanks of an answer.
        annotator: Who answered the rows that name nobody.

    Raises:
        ExchangeError: The text is not UTF-8, or a column is missing.
    """
    options = {str(task["task_id"]): task["options"] for task in batch.tasks}
    return [
        row if isinstance(row, Fault) else _said(*row, options, annotator or "")
        for row in _rows(_decode(data))
    ]


def _decode(data: bytes) -> str:
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # Excel's "Unicode text"
    try:
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ExchangeError(
            'not UTF-8: save it as "CSV UTF-8", so that no letter is lost'
        ) from error


def _rows(text: str) -> Iterator[tuple[str, dict[str, str]] | Fault]:
    """Rows that are not empty: which one it is, and its cells by column."""
    former = csv.field_size_limit(_LONGEST_CELL)
    try:
        header, rows = _header(text)
        for number in count(2):
            where = f"row {number}"
            try:
                cells = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield Fault(where, f"its cells cannot be told apart (a quote too many?): {error}")
                continue
            beyond = cells[len(header) :]
            if any(map(str.strip, beyond)):
                yield Fault(where, f"{len(cells)} cells, but {len(header)} columns")
            elif any(map(str.strip, cells)):
                yield where, dict(zip_longest(header, map(unguard, cells), fillvalue=""))
    finally:
        csv.field_size_limit(former)


def _header(text: str) -> tuple[list[str], Iterator[list[str]]]:
    """Names of the columns in lower case, and the rows below, by the delimiter that tells them.

    Raises:
        ExchangeError: A needed column is missing, or two have the same name.
    """
    for delimiter in DELIMITERS:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            header = [cell.strip().casefold() for cell in next(rows, [])]
        except csv.Error:
            continue
        if "task_id" in header:
            break
    else:
        raise ExchangeError("the first row has no column 'task_id': it must name the columns")
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise ExchangeError(f"column {missing[0]!r} is missing")
    doubled = [name for name in FOR_READING + FOR_WRITING if header.count(name) > 1]
    if doubled:
        raise ExchangeError(f"two columns are called {doubled[0]!r}")
    return header, rows


def _said(
    where: str,
    cells: Mapping[str, str],
    options: Mapping[str, Sequence[str]],
    annotator: str,
) -> Said | Fault:
    task_id = cells["task_id"].strip()
    seconds = cells.get("seconds", "").strip()
    if seconds and not _SECONDS.fullmatch(seconds):
        return Fault(where, f"seconds {seconds!r} is no number")
    return Said(
        where=where,
        task_id=task_id,
        batch=cells.get("batch", "").strip().removeprefix(BATCH),
        annotator=cells.get("annotator", "").strip() or annotator,
        answer=_one_of(options.get(task_id, ()), present(cells.get("answer", ""))),
        verdict=_one_of(VERDICTS, present(cells.get("verdict", ""))),
        description=present(cells.get("description", "")),
        note=present(cells.get("note", "")),
        unjudged=present(cells.get("cannot_judge", "")),
        seconds=float(seconds.replace(",", ".") or 0),
    )


def _one_of(words: Iterable[str], given: str) -> str:
    """The one word that a cell means but for case and blanks around it, or what the cell says."""

    def bare(word: str) -> str:
        return word.strip().casefold()

    meant = [word for word in words if bare(word) == bare(given)]
    return meant[0] if len(meant) == 1 and given not in words else given
