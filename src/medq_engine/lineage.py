"""Where a round comes from: the content of what went in, and the params that changed before it."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from ruamel.yaml import YAML

from medq_engine.tables import TableError

STATE = ("round", "tag", "incumbent", "history")
"""What the next round changes in any case; the report shows it apart."""
ABSENT = "-"


def content_md5(path: Path) -> str:
    """The md5 of a file or folder as DVC writes it into dvc.lock, so that the two can be compared.

    A folder's is that of the JSON list of its files by path, and ends with `.dir`.

    Raises:
        TableError: Nothing is there.
    """

    def md5(data: bytes) -> str:
        return hashlib.md5(data, usedforsecurity=False).hexdigest()

    if path.is_file():
        return md5(path.read_bytes())
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    if not files:
        raise TableError(f"{path}: nothing is there; `dvc checkout` restores it")
    listed = [{"md5": md5(files[name].read_bytes()), "relpath": name} for name in sorted(files)]
    return md5(json.dumps(listed).encode()) + ".dir"


def hashes(inputs: Mapping[str, Path]) -> dict[str, str]:
    """`content_md5` of each of several named inputs."""
    return {name: content_md5(path) for name, path in inputs.items()}


def changed_params(
    before: Mapping[str, object], after: Mapping[str, object]
) -> list[tuple[str, str, str]]:
    """What changed between the params of two rounds, their state left out.

    Args:
        before, after: Contents of params.yaml, or the same blocks of it.

    Returns:
        (dotted key, value before, value now) in the order of the keys; a key that one of the two
        does not have is a dash there.
    """

    def text(values: Mapping[str, object]) -> dict[str, str]:
        return {
            key: json.dumps(value, ensure_ascii=False, default=str) for key, value in leaves(values)
        }

    old, new = text(before), text(after)
    return [
        (key, old.get(key, ABSENT), new.get(key, ABSENT))
        for key in sorted(old.keys() | new.keys())
        if key.split(".")[0] not in STATE and old.get(key) != new.get(key)
    ]


def parsed(text: str) -> dict[str, object]:
    """The contents of a text of params.yaml."""
    return YAML(typ="safe", pure=True).load(text)


def leaves(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    """Params by their dotted keys; lists and empty mappings are leaves."""
    if isinstance(value, Mapping) and value:
        for name, part in value.items():
            yield from leaves(part, f"{key}.{name}" if key else str(name))
    else:
        yield key, value
