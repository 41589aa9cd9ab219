"""What an ingestion has done, in SQLite: it survives a kill and holds no name in the clear.

One transaction spans one shard: files, pictures and the shard's name are committed together, after
the shard lies under its final name. A marker beside the database names the shard that is being
written, so that a shard whose transaction was lost is found and removed.
"""

import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from medq_engine import tables
from medq_engine.errors import MedqError

SHARD = re.compile(r"shard-(\d+)\.parquet")
TABLES = """
CREATE TABLE IF NOT EXISTS files
    (key BLOB PRIMARY KEY, outcome TEXT, images INTEGER, dropped INTEGER, reason TEXT);
CREATE TABLE IF NOT EXISTS sources (digest BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS images (image_id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shards (name TEXT PRIMARY KEY, own INTEGER);
CREATE TABLE IF NOT EXISTS salt (mark BLOB);
"""


class LedgerError(MedqError):
    """The ledger does not fit the salt or the pool; the message says what to do."""


@dataclass(frozen=True)
class Outcome:
    """What became of a file: ingested, duplicate or quarantined.

    `images` went into the pool, `dropped` were there already. `reason` is a fixed phrase and never
    holds words of the file.
    """

    outcome: str
    images: int = 0
    dropped: int = 0
    reason: str = ""


class Ledger:
    """The ledger of one pool; the only one who has it open, until it is closed."""

    def __init__(self, state: Path, pool: Path, mark: bytes) -> None:
        """Open or create the ledger in the folder `state`, for the shards of the folder `pool`.

        Args:
            state: Gets a .gitignore of its own.
            pool: Shards that the ledger does not know are searched for duplicates too.
            mark: What the salt gives for a fixed text; subjects of two salts must not be mixed.

        Raises:
            LedgerError: Another run is at work, the salt is another, or a shard has gone.
        """
        state.mkdir(parents=True, exist_ok=True)
        tables.replace(state / ".gitignore", b"*\n")
        self.pool = pool
        self.marker = state / "writing"
        path = state / "ledger.sqlite"
        self._base = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            self._base.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._base.executescript(TABLES)
            self._base.execute("BEGIN IMMEDIATE")
        except sqlite3.DatabaseError as error:
            self._base.close()
            raise LedgerError(f"{path}: {error}; does another ingestion run?") from error
        try:
            self._check(mark, path)
        except LedgerError:
            self.close()
            raise

    def _check(self, mark: bytes, path: Path) -> None:
        known = self._base.execute("SELECT mark FROM salt").fetchone()
        if known is None:
            self._base.execute("INSERT INTO salt VALUES (?)", (mark,))
        elif known[0] != mark:
            raise LedgerError(
                f"{path} was begun with another salt: give that --salt-file, or delete the folder "
                "to go on with new subjects (what is in the pool is still not taken twice)"
            )
        shards = dict(self._base.execute("SELECT name, own FROM shards"))
        if self.marker.exists():
            torn = self.marker.read_text(encoding="utf-8")
            if torn not in shards:
                (self.pool / torn).unlink(missing_ok=True)
            self.marker.unlink()
        there = {file.name: file for file in sorted(self.pool.glob("*.parquet"))}
        gone = sorted(name for name, own in shards.items() if own and name not in there)
        if gone:
            raise LedgerError(
                f"{path} lists {gone[0]}, which is not in {self.pool}: put it back, or delete the "
                f"ledger's folder to take in again what is missing"
            )
        for name in there.keys() - shards.keys():
            try:
                ids = pl.read_parquet(there[name], columns=["image_id"])["image_id"]
            except (OSError, pl.exceptions.PolarsError) as error:
                raise LedgerError(f"{there[name]} is not a shard of a pool: {error}") from error
            self._base.executemany("INSERT OR IGNORE INTO images VALUES (?)", ((i,) for i in ids))
            self._base.execute("INSERT INTO shards VALUES (?, 0)", (name,))
        self.commit()

    def outcome(self, key: bytes) -> Outcome | None:
        """What became of the file with this key, if it was seen before."""
        row = self._base.execute(
            "SELECT outcome, images, dropped, reason FROM files WHERE key = ?", (key,)
        ).fetchone()
        return None if row is None else Outcome(*row)

    def settle(self, key: bytes, outcome: Outcome) -> None:
        """Remember a file; kept by the next `commit`."""
        values = (key, outcome.outcome, outcome.images, outcome.dropped, outcome.reason)
        self._base.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", values)

    def has_source(self, digest: bytes) -> bool:
        """Whether a file with these bytes was taken in."""
        found = self._base.execute("SELECT 1 FROM sources WHERE digest = ?", (digest,))
        return found.fetchone() is not None

    def add_source(self, digest: bytes) -> None:
        """Remember the bytes of a file that was taken in."""
        self._base.execute("INSERT INTO sources VALUES (?)", (digest,))

    def add_image(self, image_id: str) -> bool:
        """Remember a picture; False if the pool has it already."""
        added = self._base.execute("INSERT OR IGNORE INTO images VALUES (?)", (image_id,))
        return added.rowcount == 1

    def forget_quarantined(self) -> None:
        """Let the next reading decide anew about the files that gave nothing."""
        self._base.execute("DELETE FROM files WHERE outcome = 'quarantined'")
        self.commit()

    def shard(self) -> str:
        """Name of the next shard, after all that are in the pool and in the ledger."""
        names = [name for (name,) in self._base.execute("SELECT name FROM shards")]
        names += [file.name for file in self.pool.glob("*.parquet")]
        numbers = [int(found[1]) for found in map(SHARD.fullmatch, names) if found]
        return f"shard-{max(numbers, default=-1) + 1:06d}.parquet"

    def write(self, shard: pl.DataFrame) -> str:
        """Put a shard (schema RECORD) into the pool, commit what led to it, and name it."""
        name = self.shard()
        tables.replace(self.marker, name.encode())
        tables.write(shard, self.pool / name, tables.RECORD)
        self._base.execute("INSERT INTO shards VALUES (?, 1)", (name,))
        self.commit()
        self.marker.unlink()
        return name

    def commit(self) -> None:
        """Keep what was remembered so far, and begin the next transaction."""
        self._base.execute("COMMIT")
        self._base.execute("BEGIN IMMEDIATE")

    def close(self) -> None:
        """Give the ledger free; what was not committed is forgotten."""
        self._base.close()
