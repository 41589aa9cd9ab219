"""medq ingest: a folder of clinical files into the shards of a pool, without names of people.

Of a file nothing goes out but pixels and the modality; the subject is a salted hash. The state
lies beside the pool in `<out>.ingest/`, which ignores itself in git: `ledger.sqlite` (hashes only)
and `quarantine.jsonl`, the one file that names files. What is burnt into the pixels is not seen.

Files are read in the order of their paths by processes that may crash (`isolation`), and a shard is
committed as a whole (`ledger`), so a run that was killed goes on at its open shard and ends with
the shards of an undisturbed run. In memory are the names of one folder, a few files for each
process, and one shard.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tqdm import tqdm

from medq_engine import tables
from medq_engine.errors import MedqError
from medq_engine.ingest.clinical_readers import UnusableError
from medq_engine.ingest.file_tree import version, walk
from medq_engine.ingest.isolation import Lost, ordered
from medq_engine.ingest.ledger import Ledger, Outcome
from medq_engine.ingest.pseudonyms import keyed, keyed_file, read_salt
from medq_engine.ingest.views import Take, take_views
from medq_engine.simulation import content_id, to_png
from medq_engine.vocabulary import Modality

NOTE = (
    "This list names files, and file names may name patients: keep it on this machine, "
    "never commit or send it."
)
BURNT_IN = (
    "Headers and file names are left behind, but text that is burnt into the pixels goes along: "
    "look at the pool before you share it."
)
KEEP_EVERY = 64
"""Files that gave nothing new, after which the ledger is committed without a shard."""


class IngestError(MedqError):
    """Nothing can be taken in; the message says why."""


@dataclass(frozen=True)
class Options:
    """What `medq ingest` was asked for.

    Args:
        folder: The tree of files.
        out: Folder of the pool's shards.
        modality: Of all files; None takes it from DICOM headers and refuses what has none.
        take: How much of a file, and how large.
        shard_images: At most so many images a shard.
        source: Name of the collection, as the table shows it; it must not name people.
        licence: As the table shows it.
        subject_from: "parent", the folder that holds a file, or "file", for what is not DICOM.
        salt_file: Made with 32 random bytes if it is not there.
        processes: That read files at once.
        seconds: After which a file is given up.
        retry: Try again what was quarantined before.
    """

    folder: Path
    out: Path
    modality: Modality | None
    take: Take
    shard_images: int = 2000
    source: str = "ingest"
    licence: str = "private"
    subject_from: str = "parent"
    salt_file: Path = Path(".medq-salt")
    processes: int = 1
    seconds: float = 300.0
    retry: bool = False

    @property
    def state(self) -> Path:
        """Beside the pool and not in it: who shares the pool must not share this."""
        return self.out.with_name(self.out.name + ".ingest")

    @property
    def quarantine(self) -> Path:
        """The list of files that gave nothing."""
        return self.state / "quarantine.jsonl"


@dataclass(frozen=True)
class Job:
    """A file on its way: its path in the folder, its key, and what the ledger knows of it."""

    relative: str
    key: bytes
    known: Outcome | None


@dataclass(frozen=True)
class Taken:
    """What a file gave: the digest of its bytes, and PNGs."""

    digest: bytes
    modality: Modality
    subject_id: str
    images: tuple[bytes, ...]


@dataclass
class Summary:
    """What became of all files of the tree, now and in earlier runs; `shards` are this run's."""

    files: Counter[str] = field(default_factory=Counter)
    images: int = 0
    dropped: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    shards: list[str] = field(default_factory=list)
    added: int = 0

    def count(self, outcome: Outcome) -> None:
        """Add a file."""
        self.files[outcome.outcome] += 1
        self.images += outcome.images
        self.dropped += outcome.dropped
        if outcome.reason:
            self.reasons[outcome.reason] += 1

    def text(self, options: Options) -> str:
        """The final table."""
        lines = [
            f"files         {self.files.total():>8}",
            f"  ingested    {self.files['ingested']:>8}",
            f"  duplicates  {self.files['duplicate']:>8}   the file or all its images known",
            f"  quarantined {self.files['quarantined']:>8}   {options.quarantine}",
            *(f"  {number:>20}   {reason}" for reason, number in self.reasons.most_common()),
            f"images        {self.images:>8}   {options.out}",
            f"  new         {self.added:>8}   in {len(self.shards)} shards of this run",
            f"  duplicates  {self.dropped:>8}   not written",
            BURNT_IN,
        ]
        return "\n".join(lines)


def jobs(options: Options, salt: bytes, ledger: Ledger) -> Iterator[Job]:
    """The files of the tree in their order, with what the ledger knows of them."""
    root = str(options.folder.resolve())
    settings = json.dumps([options.modality, vars(options.take)], sort_keys=True)
    for relative in walk(options.folder):
        try:
            size, changed = version(options.folder / relative)
        except OSError as problem:
            yield Job(relative, b"", Outcome("quarantined", reason=str(problem)))
            continue
        # The folder too: archives unpack to equal names, sizes and times in different places.
        key = keyed(salt, "file", root, relative, size, changed, settings)[:16]
        yield Job(relative, key, ledger.outcome(key))


def read_file(options: Options, salt: bytes, job: Job) -> Taken | UnusableError:
    """Read one file, in a process of its own; patient and path end here as a hash.

    A failure is named by its type only: the messages of libraries quote headers.
    """
    path = options.folder / job.relative
    try:
        if not path.stat().st_size:
            return UnusableError("empty")
        modality, patient, views = take_views(path, options.modality, options.take)
        digest = keyed_file(salt, path)
    except UnusableError as reason:
        return reason
    except Exception as error:
        return UnusableError(f"damaged or cut short ({type(error).__name__})")
    if patient:
        subject = keyed(salt, "patient", patient)
    elif options.subject_from == "file":
        subject = keyed(salt, "file", options.source, job.relative)
    else:
        subject = keyed(salt, "folder", options.source, os.path.dirname(job.relative))
    images = tuple(map(to_png, views))
    return Taken(digest, modality, subject.hex()[:16], images)


def record(options: Options, taken: Taken, image_id: str, png: bytes) -> dict[str, object]:
    """A row of the pool (schema RECORD)."""
    return {
        "image_id": image_id,
        "image": {"bytes": png, "path": f"{image_id}.png"},
        "modality": taken.modality,
        "subject_id": taken.subject_id,
        "source": options.source,
        "origin": "clinical",
        "licence": options.licence,
        "width": options.take.size,
        "height": options.take.size,
    }


def images_of(result: Taken | UnusableError | Lost) -> int:
    """How many images a file may add at most."""
    return len(result.images) if isinstance(result, Taken) else 0


def settle(
    result: Taken | UnusableError | Lost, ledger: Ledger
) -> tuple[Outcome, list[tuple[str, bytes]]]:
    """What becomes of a file that was read, and the (image id, PNG) that it adds to the pool."""
    if isinstance(result, UnusableError | Lost):
        reason = result.reason if isinstance(result, Lost) else str(result)
        return Outcome("quarantined", reason=reason), []
    if ledger.has_source(result.digest):
        return Outcome("duplicate", dropped=len(result.images)), []
    ledger.add_source(result.digest)
    named = ((content_id(png), png) for png in result.images)
    fresh = [(image_id, png) for image_id, png in named if ledger.add_image(image_id)]
    dropped = len(result.images) - len(fresh)
    return Outcome("ingested" if fresh else "duplicate", len(fresh), dropped), fresh


def check(options: Options) -> None:
    """Refuse what would read its own output, and what no shard could hold.

    Raises:
        IngestError: The message names the option.
    """
    folder = options.folder.resolve()
    if not folder.is_dir():
        raise IngestError(f"{options.folder} is not a folder")
    if not options.out.name:
        raise IngestError(f"--out {options.out} has no name of its own")
    for path, name in ((options.out, "--out"), (options.salt_file, "--salt-file")):
        if path.resolve().is_relative_to(folder):
            raise IngestError(f"{name} {path} lies in {options.folder}, which is to be read")
    if max(2 * options.take.slices, options.take.tiles) > options.shard_images:
        raise IngestError("--shard-images must hold one file: twice --slices, and --tiles")


def ingest(options: Options) -> Summary:
    """Take a folder's files into the pool; see the module for what is kept and in which order.

    Raises:
        IngestError: The options do not fit together.
        SaltError: The salt cannot be used.
        LedgerError: The ledger does not fit the salt or the pool, or another run is at work.
    """
    check(options)
    salt = read_salt(options.salt_file)
    summary = Summary()
    rows: list[dict[str, object]] = []
    unkept = 0

    def flush() -> None:
        shard = tables.table(rows, tables.RECORD)
        summary.shards.append(ledger.write(shard))
        summary.added += len(rows)
        rows.clear()

    with (
        closing(Ledger(options.state, options.out, keyed(salt, "mark"))) as ledger,
        options.quarantine.open("w", encoding="utf-8") as quarantine,
        tqdm(total=sum(1 for _ in walk(options.folder)), unit="file", disable=None) as bar,
    ):
        quarantine.write(json.dumps({"note": NOTE}) + "\n")
        if options.retry:
            ledger.forget_quarantined()
        work = ordered(
            partial(read_file, options, salt),
            jobs(options, salt, ledger),
            lambda job: job.known is None,
            options.processes,
            options.seconds,
        )
        with closing(work):
            for job, result in work:
                outcome = job.known
                if outcome is None:
                    # Before anything of this file is remembered: a shard is kept with its own
                    # files and no others.
                    if len(rows) + images_of(result) > options.shard_images:
                        flush()
                    outcome, fresh = settle(result, ledger)
                    ledger.settle(job.key, outcome)
                    rows += (record(options, result, name, png) for name, png in fresh)
                    unkept += 1
                    if not rows and unkept >= KEEP_EVERY:
                        ledger.commit()
                        unkept = 0
                summary.count(outcome)
                if outcome.reason:
                    line = {"path": job.relative, "reason": outcome.reason}
                    quarantine.write(json.dumps(line) + "\n")
                bar.update()
        if rows:
            flush()
        ledger.commit()
    return summary
