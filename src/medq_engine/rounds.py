"""A round is a commit: materialise what an earlier round made, close a round, start the next.

Closing the loop is a text-only change of params.yaml: an adapter and a label table are named by the
commit that made them and fetched through DVC, so no binary moves through git.
"""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import dvc.api
from ruamel.yaml import YAML

from medq_engine.errors import MedqError
from medq_engine.tables import replace

# What a round writes into git, from the root of the repository.
ROUND_FILES = (
    "params.yaml",
    "dvc.lock",
    "data/dvc.lock",
    "models/dvc.lock",
    "models/base",
    "models/cards",
    "data/answers",
    "metrics",
)


class RoundError(MedqError):
    """This step makes no sense in the state of the repository; the message says what does."""


def run(command: Sequence[str], root: Path) -> str:
    """Output of a command.

    Raises:
        RoundError: It failed.
    """
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise RoundError(f"`{' '.join(command)}` failed:\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def git(root: Path, *words: str) -> str:
    """Output of a git command, without the last line's end."""
    return run(["git", *words], root).rstrip("\n")


def bytes_md5(data: bytes) -> str:
    """md5 in hex, as DVC names content."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def materialise_file(path: Path, rev: str, md5: str) -> bytes:
    """A DVC-tracked file as it was in commit `rev`.

    Raises:
        RoundError: It is not to be had, or it has another md5.
    """
    try:
        with dvc.api.open(path.as_posix(), rev=rev, mode="rb") as stream:
            data = stream.read()
    except Exception as error:
        raise RoundError(_not_there(path, rev, error)) from error
    found = bytes_md5(data)
    if found != md5:
        raise RoundError(f"{path} of commit {rev} has md5 {found}, but params.yaml says {md5}")
    return data


def committed(path: Path, rev: str) -> str:
    """A git-tracked text file of the repository that this is run in, as it was in commit `rev`.

    Raises:
        RoundError: The commit has no such file.
    """
    return git(Path(), "show", f"{rev}:{path.as_posix()}")


def materialise_folder(folder: Path, rev: str, target: Path) -> None:
    """Write a DVC-tracked folder as it was in commit `rev` to `target`.

    Raises:
        RoundError: It is not to be had.
    """
    try:
        there = dvc.api.DVCFileSystem(rev=rev)
        there.get(folder.as_posix(), str(target), recursive=True)
    except Exception as error:
        raise RoundError(_not_there(folder, rev, error)) from error


def _not_there(path: Path, rev: str, error: Exception) -> str:
    return (
        f"cannot restore {path} of commit {rev}: {type(error).__name__}: {error}\n"
        "Its data must be in the DVC cache or a remote: `dvc fetch` that commit, or `dvc pull`."
    )


@dataclass(frozen=True)
class State:
    """Where the current round stands.

    Attributes:
        tag: The round's name.
        stale: Stages that `dvc status` reports as changed.
        foreign: Changed files that are none of the round's business.
        changed: Changed files that belong to the round.
        closed: True if HEAD is tagged with the round's name.
    """

    tag: str
    stale: tuple[str, ...]
    foreign: tuple[str, ...]
    changed: tuple[str, ...]
    closed: bool


def state(root: Path, tag: str) -> State:
    """Look at git and DVC; changes nothing."""
    own = (*ROUND_FILES, f"data/queue/{tag}.jsonl", f"data/annotations/{tag}.jsonl")
    # -z: names as they are, unquoted; without renames a changed file is one entry.
    entries = git(root, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all")
    paths = [entry[3:] for entry in entries.split("\0") if entry]
    mine = [p for p in paths if any(p == one or p.startswith(f"{one}/") for one in own)]
    status = run([sys.executable, "-m", "dvc", "status", "--json"], root)
    tags = git(root, "tag", "--points-at", "HEAD").splitlines()
    return State(
        tag=tag,
        stale=tuple(sorted(json.loads(status or "{}"))),
        foreign=tuple(p for p in paths if p not in mine),
        changed=tuple(mine),
        closed=tag in tags and not mine,
    )


def close(root: Path, tag: str, message: str) -> str:
    """Commit and tag the round; the commit's hash. A round that is closed already is left as it is.

    Raises:
        RoundError: The tree holds other changes, a stage is stale, or the tag is another commit's.
    """
    now = state(root, tag)
    refuse_unclean(now)
    if now.closed:
        return git(root, "rev-parse", "HEAD")
    if tag in git(root, "tag", "--list").splitlines():
        raise RoundError(
            f"tag {tag} exists on another commit: a closed round is not rewritten. "
            "`medq next` starts a new one from it."
        )
    if now.changed:
        git(root, "add", "--", *now.changed)
        git(root, "commit", "--quiet", "-m", message)
    git(root, "tag", tag)
    return git(root, "rev-parse", "HEAD")


def refuse_unclean(now: State) -> None:
    """Raise RoundError for a dirty or stale tree, naming what is in the way."""
    if now.foreign:
        raise RoundError(
            "changes that do not belong to the round: " + ", ".join(now.foreign[:10]) + "\n"
            "Commit or stash them first, so that the round's commit is the round."
        )
    if now.stale:
        raise RoundError("stages are stale: " + ", ".join(now.stale) + "\nRun `dvc repro` first.")


def start_next(root: Path, gate: Mapping[str, object], md5s: Mapping[str, str]) -> str:
    """Write the next round's state into params.yaml; the new tag.

    Args:
        gate: metrics/gate.json; the challenger becomes the incumbent where the verdict is pass.
        md5s: md5 of the `challenger` folder and of the `labels` file.

    Raises:
        RoundError: The round is not closed, or the tree is dirty or stale.
    """
    path = root / "params.yaml"
    text = path.read_text(encoding="utf-8")
    params = YAML(typ="safe").load(text)
    now = state(root, params["tag"])
    refuse_unclean(now)
    if not now.closed:
        raise RoundError(f"{now.tag} is not closed: run `medq close` first")
    rev, number = git(root, "rev-parse", "HEAD"), params["round"]
    lines = {
        "round": str(number + 1),
        "tag": f"round-{number + 1:03d}",
        # Quoted: a hash of digits alone would be read as a number.
        "history": f'{{rev: "{rev}", md5: "{md5s["labels"]}"}}',
    }
    if gate["verdict"] == "pass":
        made = f'rev: "{rev}", md5: "{md5s["challenger"]}"'
        lines["incumbent"] = f"{{round: {number}, {made}}}"
    replace(path, with_state(text, lines).encode())
    return lines["tag"]


def with_state(text: str, lines: Mapping[str, str]) -> str:
    """params.yaml with other values on the lines of its state; every other byte stays.

    A YAML writer would reflow the rest of the file, and the diff of a round would hide in it.

    Raises:
        RoundError: A key does not stand on one line of its own.
    """
    for key, value in lines.items():
        text, found = re.subn(
            rf"^{key}: (\{{.*?\}}|[^\s#]+)", f"{key}: {value}", text, flags=re.MULTILINE
        )
        if found != 1:
            raise RoundError(f"params.yaml: `{key}:` must stand once, on one line with its value")
    return text
