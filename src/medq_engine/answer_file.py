"""The one way in which readings get into a round's annotation file.

Whoever writes (the page, an import, a simulated person) reads, changes and stores under one lock,
so that two writers at the same time lose no line. The lock stands beside the file and is the
operating system's: it is free again when its holder is killed.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from medq_engine import tables
from medq_engine.annotations import AnnotationError, Reading, merge, read_readings, store
from medq_engine.batches import Batch

WAIT = 30.0
"""Seconds to wait for another writer, which needs a fraction of one."""


@contextmanager
def locked(path: Path, purpose: str = "write", wait: float = WAIT) -> Iterator[None]:
    """Hold the lock beside a file.

    Args:
        path: The file; it need not exist.
        purpose: Names one of several locks of the same file.
        wait: Seconds to wait for whoever holds it.

    Raises:
        AnnotationError: Somebody else holds it for longer than that.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.{purpose}.lock")
    try:
        # Not a soft lock, which would outlive a killed process.
        with FileLock(beside, timeout=wait, fallback_to_soft=False):
            yield
    except Timeout as error:
        raise AnnotationError(
            f"{path} is in use by another process, which holds {beside}: wait for it or stop it"
        ) from error


class AnswerFile:
    """A batch's annotation file; what was read and checked once is not checked again."""

    def __init__(self, batch: Batch) -> None:
        """The file need not exist yet."""
        self.batch = batch
        self._read: tuple[object, list[Reading]] = (None, [])

    def read(self) -> list[Reading]:
        """The readings that the file holds now.

        Raises:
            AnnotationError: The file breaks its contract.
        """
        batch, version = self.batch, self._version()
        if version != self._read[0]:
            readings = read_readings(batch.answers, batch.tasks, batch.fingerprint)
            self._read = (version, readings)
        return list(self._read[1])

    def change(self, edit: Callable[[list[Reading]], Sequence[Reading]]) -> list[Reading]:
        """Read, change and store the readings, with no other writer in between.

        Args:
            edit: From the readings that are there to those that shall be, all checked.

        Returns:
            The readings as they are now.

        Raises:
            AnnotationError: The file breaks its contract, or the batch is another one by now.
        """
        batch = self.batch
        with locked(batch.answers):
            if tables.fingerprint(batch.queue.read_bytes()) != batch.fingerprint:
                raise AnnotationError(
                    f"{batch.queue} has changed since it was opened: nothing was written to "
                    f"{batch.answers}. Start the command again."
                )
            readings = list(edit(self.read()))
            store(batch.answers, readings)
            self._read = (self._version(), readings)
        return list(readings)

    def _version(self) -> object:
        """What differs once the file was written: every writer puts a new file in its place."""
        try:
            now = self.batch.answers.stat()
        except FileNotFoundError:
            return None
        return now.st_ino, now.st_mtime_ns, now.st_size


def save(batch: Batch, readings: Sequence[Reading]) -> list[Reading]:
    """Add readings, all checked, to a batch's file; each replaces an earlier one with its key.

    Returns:
        All readings of the file as they are now.

    Raises:
        AnnotationError: As `AnswerFile.change` does.
    """
    return AnswerFile(batch).change(lambda there: merge(there, readings))
