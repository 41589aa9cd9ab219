"""A batch out to a folder with its images, and the answers of a file back in."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

from medq_engine.batches import Batch
from medq_engine.exchange import label_studio, spreadsheet
from medq_engine.exchange.answers import DESCRIPTION, FLAWLESS, ExchangeError, Imported, checked
from medq_engine.language import labels
from medq_engine.medqbench.files import whole_folder

Form = Literal["label-studio", "csv"]
FORMS: tuple[Form, ...] = ("label-studio", "csv")
TABLES = (".csv", ".tsv", ".txt")

WORDING = f"""
A description names each fault and how bad it is, then the verdict: "{DESCRIPTION}"
Without a fault: "{FLAWLESS}"
A severe fault, or three, is reject; one or two mild ones are usable. Faults are called:

"""


class Images(Protocol):
    """Where PNG files come from (`batches.image_source`)."""

    def struct(self, image_id: str) -> Mapping[str, object]:
        """The image as tables hold it; KeyError if there is none."""


def export_batch(batch: Batch, images: Images, out: Path, form: Form) -> Path:
    """Write a batch as files for people who work in another tool.

    Args:
        batch: The round's batch.
        images: Its images.
        out: Folder to make; it may be there, but empty.
        form: For which tool.

    Returns:
        The file that the tool opens. `README.md` beside it says how.

    Raises:
        ExchangeError: `out` is not empty, or an image is not there.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ExchangeError(f"{out} is not an empty folder; export into a new one")
    if form == "csv":
        name = f"{batch.tag}.csv"
        files = {
            name: spreadsheet.table_of(batch),
            "README.md": (spreadsheet.README.format(table=name) + _wording(batch)).encode(),
        }
    else:
        name = "tasks.json"
        tasks = json.dumps(label_studio.tasks_of(batch), ensure_ascii=False, indent=1)
        files = {
            name: f"{tasks}\n".encode(),
            "config.xml": label_studio.CONFIG.encode(),
            "README.md": (label_studio.README + _wording(batch)).encode(),
        }
    with whole_folder(out) as folder:
        for file, data in files.items():
            (folder / file).write_bytes(data)
        (folder / "images").mkdir()
        for image_id in sorted({str(task["image_id"]) for task in batch.tasks}):
            (folder / "images" / f"{image_id}.png").write_bytes(_png(images, image_id))
    return out / name


def import_batch(batch: Batch, file: Path, annotator: str | None = None) -> Imported:
    """The readings that a file of another tool holds, each checked; nothing is written.

    Args:
        batch: What is answered.
        file: Label Studio's export (`.json`: JSON or JSON-MIN) or a table (`.csv`, `.tsv`, `.txt`).
        annotator: Who answered where the file does not say so.

    Raises:
        ExchangeError: The file cannot be read, or any of its answers is faulty.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ExchangeError(f"{file} cannot be read: {error.strerror}") from error
    kind = file.suffix.lower()
    try:
        if kind == ".json":
            found = label_studio.read_export(data, annotator)
        elif kind in TABLES:
            found = spreadsheet.read_table(data, batch, annotator)
        else:
            raise ExchangeError(
                f"neither Label Studio's JSON nor a table ({', '.join(TABLES)}): "
                'save a spreadsheet as "CSV UTF-8"'
            )
    except ExchangeError as error:
        raise ExchangeError(f"{file}: {error}") from error
    return checked(batch, file, found)


def _wording(batch: Batch) -> str:
    """How a description is worded, and what faults are called."""
    modalities = sorted({task["modality"] for task in batch.tasks})
    faults = (f"- {modality}: {', '.join(labels(modality))}" for modality in modalities)
    return WORDING + "".join(f"{line}\n" for line in faults)


def _png(images: Images, image_id: str) -> bytes:
    if Path(image_id).name != image_id:
        raise ExchangeError(f"image id {image_id!r} is no file name")
    try:
        return images.struct(image_id)["bytes"]
    except KeyError as error:
        raise ExchangeError(
            f"image {image_id} is in no table: `dvc checkout` restores them"
        ) from error
