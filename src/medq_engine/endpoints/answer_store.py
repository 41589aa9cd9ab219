"""Raw answers of endpoints as data in git: asked and paid for once, read for ever.

One JSONL file holds one answer a line, keyed by what was asked of which model: the text, the
images' hashes, the sampling settings. Where the server stood is no part of it, and neither images
nor the API key ever are.
"""

import hashlib
import json
import logging
import os
import threading
from collections.abc import Mapping
from pathlib import Path

from medq_engine.errors import MedqError
from medq_engine.tables import replace

log = logging.getLogger(__name__)

CONTENT = ("model", "text", "images", "temperature", "max_tokens", "repeat")
REPLY = ("text", "finish_reason", "prompt_tokens", "completion_tokens", "nll")

_locks: dict[Path, threading.RLock] = {}
"""One lock a file, so that two stores of one process can share the file."""


class AnswerStoreError(MedqError):
    """An answer file is damaged; the message names the file and the line."""


def content_key(content: Mapping[str, object]) -> str:
    """SHA-256 of what was asked (the fields `CONTENT`), as canonical JSON."""
    named = {field: content[field] for field in CONTENT}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


class AnswerStore:
    """Answers by the key of their request; every new one is on the disk before `add` returns.

    Threads may share a store, and one process may open a file twice. A line is written at once and
    whole; only its last line can be torn by a crash, and is then dropped.

    Args:
        path: The JSONL file; it and its folder are made with the first answer.

    Raises:
        AnswerStoreError: A line is no answer, or its key does not fit what it says was asked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _locks.setdefault(path.resolve(), threading.RLock())
        with self._lock:
            self._mend()
            self._rows = self._read()

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key: str) -> dict[str, object]:
        """The raw reply (the fields `REPLY`) to the request with that key."""
        return self._rows[key]["reply"]

    def add(self, content: Mapping[str, object], reply: Mapping[str, object]) -> None:
        """Keep an answer: append its line and wait until the disk has it."""
        key = content_key(content)
        row = {"key": key, **{field: content[field] for field in CONTENT}}
        row["reply"] = {field: reply[field] for field in REPLY}
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Opened for each line: `compact` of another store may have put a new file here.
            with self.path.open("ab") as file:
                file.write(_line(row))
                file.flush()
                os.fsync(file.fileno())
            self._rows[key] = row

    def compact(self) -> None:
        """Rewrite the file sorted by key, each answer once, so that a commit's diff is small."""
        with self._lock:
            rows = self._read()
            if rows:
                replace(self.path, b"".join(_line(rows[key]) for key in sorted(rows)))
            self._rows = rows

    def _mend(self) -> None:
        """See that the file ends with a whole line: a crash may have torn the last one."""
        data = self.path.read_bytes() if self.path.exists() else b""
        if not data or data.endswith(b"\n"):
            return
        whole, last = data[: data.rfind(b"\n") + 1], data[data.rfind(b"\n") + 1 :]
        try:
            json.loads(last)
            replace(self.path, data + b"\n")
        except ValueError:
            log.warning("%s: the last line was cut off and is dropped", self.path)
            replace(self.path, whole)

    def _read(self) -> dict[str, dict[str, object]]:
        rows: dict[str, dict[str, object]] = {}
        data = self.path.read_bytes() if self.path.exists() else b""
        for number, line in enumerate(data.split(b"\n")[:-1], start=1):
            try:
                row = json.loads(line)
                fits = row["key"] == content_key(row) and set(REPLY) <= set(row["reply"])
            except (ValueError, KeyError, TypeError) as error:
                raise AnswerStoreError(
                    f"{self.path}:{number}: not an answer: {error!r}; restore the file from git, "
                    "or delete the line to have it asked again"
                ) from error
            if not fits:
                raise AnswerStoreError(
                    f"{self.path}:{number}: the answer was changed by hand (its key does not fit "
                    "the question, or the reply lacks a field); delete the line to ask again"
                )
            # Two processes may have asked the same: the first answer stands.
            rows.setdefault(row["key"], row)
        return rows


def _line(row: Mapping[str, object]) -> bytes:
    return (json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n").encode()
