"""`medq review`, `batch`, `export-batch`, `import-batch`: what people do with a round's batch."""

import argparse
from pathlib import Path

from medq_engine import annotations, answer_file, batches, tables
from medq_engine.batches import Batch
from medq_engine.config import load_params
from medq_engine.exchange import files
from medq_engine.readings import waiting
from medq_engine.simulation import seeded


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the four commands."""
    parser = commands.add_parser("review", help="answer the batch on a local page")
    parser.add_argument("--annotator", metavar="NAME", help="who answers (default: git's name)")
    parser.add_argument("--port", type=int, default=0, help="of 127.0.0.1 (default: a free one)")
    parser.add_argument("--no-browser", action="store_true", help="print the address only")
    parser.set_defaults(run=review)
    parser = commands.add_parser("batch", help="what the batch waits for")
    parser.add_argument(
        "--summary", action="store_true", help="Markdown and contact sheet for the pull request"
    )
    parser.set_defaults(run=batch)
    parser = commands.add_parser("export-batch", help="the batch for Label Studio, or as CSV")
    parser.add_argument("--format", choices=files.FORMS, required=True)
    parser.add_argument("--out", type=Path, metavar="DIR", required=True)
    parser.set_defaults(run=export_batch)
    parser = commands.add_parser("import-batch", help="answers from Label Studio or a CSV")
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--annotator", metavar="NAME", help="who answered, if FILE does not say")
    parser.set_defaults(run=import_batch)


def review(given: argparse.Namespace, root: Path) -> str:
    """Serve the page until Ctrl+C."""
    from medq_engine.review import command  # with the web server, for which others do not wait

    command.run(root, given.annotator, given.port, not given.no_browser)
    return ""


def batch(given: argparse.Namespace, root: Path) -> str:
    """What the batch waits for, or the summary of its pull request."""
    params = load_params(root / "params.yaml")
    now = batches.open_batch(root, params.tag)
    if not given.summary:
        return state(now)
    from medq_engine import answer_sheet, batch_summary  # with matplotlib

    readings = read(now)
    routed = tables.read(root / "data" / "round" / "tasks.parquet", tables.TASK)
    rng = seeded("agreement", params.seed, params.tag)
    floor = params.annotate_import.gold_floor
    text = batch_summary.summary(now, readings, routed, rng, floor)
    page = root / "reports" / f"{now.tag}-batch.md"
    tables.replace(page, text.encode())
    images = batches.image_source(root)
    answer_sheet.answer_sheet(now.tasks, readings, images, page.with_suffix(".png"))
    return text.rstrip()


def export_batch(given: argparse.Namespace, root: Path) -> str:
    """Write the batch as files for another tool."""
    now = open_now(root)
    where = files.export_batch(now, batches.image_source(root), given.out, given.format)
    return f"{len(now.tasks)} tasks are in {where}\nnext: answer them, medq import-batch FILE"


def import_batch(given: argparse.Namespace, root: Path) -> str:
    """Add the answers of a file to the batch's annotation file."""
    now = open_now(root)
    found = files.import_batch(now, given.file, given.annotator)
    answer_file.save(now, found.readings)
    said = f"{len(found.readings)} readings of {given.file} are in {now.answers}"
    if found.left_open:
        said += f"; {found.left_open} were left open there"
    return f"{said}\n{state(now)}"


def open_now(root: Path) -> Batch:
    """The batch of the current round."""
    return batches.open_batch(root, load_params(root / "params.yaml").tag)


def read(now: Batch) -> list[annotations.Reading]:
    """All readings of a batch so far."""
    return annotations.read_readings(now.answers, now.tasks, now.fingerprint)


def state(now: Batch) -> str:
    """What a batch waits for, and the next command."""
    left = waiting(now.tasks, read(now))
    if not left.tasks:
        return f"{now.tag}: all {len(now.tasks)} tasks are answered\nnext: dvc repro"
    return f"{now.tag}: of {len(now.tasks)} tasks, {left}\nnext: medq review"
