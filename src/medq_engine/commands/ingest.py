"""`medq ingest` as it is typed: its options, and its answer."""

import argparse
import os
from pathlib import Path
from typing import get_args

from medq_engine.config import load_params
from medq_engine.ingest.run import BURNT_IN, IngestError, Options, ingest
from medq_engine.ingest.views import Take
from medq_engine.vocabulary import Modality


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare `medq ingest`."""
    parser = commands.add_parser(
        "ingest",
        help="take a folder of DICOM, NIfTI, NRRD, PNG, JPEG, TIFF or SVS into the pool",
        description="Take a folder of DICOM, NIfTI, NRRD, PNG, JPEG, TIFF or SVS files into the "
        "shards of a pool. Stop it whenever you like: the same command goes on where it was, and "
        f"takes what is new. {BURNT_IN}",
    )
    option = parser.add_argument
    option("folder", type=Path, metavar="DIR", help="the tree of files")
    option(
        "--modality",
        choices=get_args(Modality),
        help="of all files; without it, DICOM headers decide and other files are quarantined",
    )
    option("--out", type=Path, default=Path("data/pool"), help="folder of the shards (%(default)s)")
    option("--size", type=positive, help="px, side of an image (images.size of params.yaml)")
    option("--shard-images", type=positive, default=2000, help="at most (%(default)s)")
    option("--slices", type=positive, default=8, help="of a volume or film (%(default)s)")
    option("--tiles", type=positive, default=64, help="of a slide (%(default)s)")
    option(
        "--level",
        type=int,
        choices=range(16),
        metavar="N",
        default=0,
        help="of a slide's pyramid; 0 is the finest",
    )
    option(
        "--source", default="ingest", help="a name for the collection; no person's (%(default)s)"
    )
    option("--licence", default="private", help="(%(default)s)")
    option(
        "--subject-from",
        choices=("parent", "file"),
        default="parent",
        help="who is one subject, in files that are not DICOM: those of a folder, or each file; "
        "also of DICOM without a patient's id (%(default)s)",
    )
    option(
        "--salt-file",
        type=Path,
        default=Path(".medq-salt"),
        help="secret that subjects are hashed with; made if it is not there (%(default)s)",
    )
    option("--processes", type=positive, default=os.cpu_count(), help="that read (%(default)s)")
    option("--seconds", type=float, default=300.0, help="until a file is given up (%(default)s)")
    option("--retry", action="store_true", help="try again what was quarantined")
    parser.set_defaults(run=run)


def positive(text: str) -> int:
    """A whole number from 1."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def run(words: argparse.Namespace, root: Path) -> str:
    """Run `medq ingest` as it was typed, and return its final table.

    Raises:
        IngestError: Nothing of the tree is in the pool, now or since an earlier run.
    """
    size = words.size or load_params(root / "params.yaml").images.size
    same = ("folder", "out", "modality", "shard_images", "source", "licence", "subject_from")
    options = Options(
        take=Take(size, words.slices, words.tiles, words.level),
        **{name: getattr(words, name) for name in same},
        **{name: getattr(words, name) for name in ("salt_file", "processes", "seconds", "retry")},
    )
    summary = ingest(options)
    if not summary.files["ingested"]:
        raise IngestError(f"nothing was ingested\n{summary.text(options)}")
    return summary.text(options)
