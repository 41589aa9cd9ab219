"""What a closed round left: its params, metrics and data hashes, read from its commit alone.

The workspace is never looked at, so a round reads the same on the day it is closed and years later.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from ruamel.yaml import YAML

from medq_engine.annotations import SIMULATED
from medq_engine.errors import MedqError
from medq_engine.lineage import parsed
from medq_engine.rounds import git
from medq_engine.tables import fingerprint

GATE, TEST = "data/benchmark/gate", "data/benchmark/test"
ADAPTER = "models/challenger"
REPORTS = "reports/"


class ClosedError(MedqError):
    """A round's tag points at a commit that does not hold a closed round."""


@dataclass(frozen=True)
class Closed:
    """A closed round as its commit holds it.

    Attributes:
        root: The repository.
        tag, number: Its name, `round-002`, and its number.
        commit: Full hash.
        time: When it was committed, in ms since 1970.
        params: Contents of params.yaml.
        metrics: Contents of metrics/*.json by stem.
        data: What dvc.lock says of each path: `md5`, `size`, for a folder `nfiles`.
        lock: Fingerprint of dvc.lock.
        embedded: True if data/dvc.yaml made the benchmark; False for a site's own.
        published: Contents of data/baselines/*.json: tables of `rows` under a `benchmark`.
        card: Text of the adapter's model card; "" where none was written.
    """

    root: Path
    tag: str
    number: int
    commit: str
    time: int
    params: Mapping[str, object]
    metrics: Mapping[str, Mapping[str, object]]
    data: Mapping[str, Mapping[str, object]]
    lock: str
    embedded: bool
    published: Sequence[Mapping[str, object]]
    card: str

    @property
    def short(self) -> str:
        """The commit as people read it."""
        return self.commit[:10]

    @property
    def date(self) -> str:
        """Day of the commit in UTC, YYYY-MM-DD."""
        return datetime.fromtimestamp(self.time / 1000, UTC).date().isoformat()

    @property
    def gate(self) -> Mapping[str, object]:
        """metrics/gate.json."""
        return self.metrics["gate"]

    @property
    def labels(self) -> Mapping[str, object]:
        """metrics/annotate_import.json."""
        return self.metrics["annotate_import"]

    @property
    def baselines(self) -> Mapping[str, Mapping[str, object]]:
        """metrics/baselines.json: who else answered the same items; empty where nobody did."""
        return self.metrics.get("baselines", {})

    @property
    def published_rows(self) -> list[dict[str, object]]:
        """Rows of all published tables, each with its `benchmark`'s name and if it is `here`."""
        return [
            {**row, "benchmark": table["benchmark"], "here": self.same_items(table)}
            for table in self.published
            for row in table["rows"]
        ]

    def same_items(self, table: Mapping[str, object]) -> bool:
        """True if a published table says that its rows were measured on the round's test split.

        It does so by the split's md5 (`test_md5`, as dvc.lock has it): a name would not be proof.
        """
        return table.get("test_md5") == self.test_md5

    @property
    def hashes(self) -> dict[str, str]:
        """Path to md5 of everything that the stages read and wrote."""
        return {path: entry["md5"] for path, entry in self.data.items() if "md5" in entry}

    @property
    def test_md5(self) -> str:
        """md5 of the test split as DVC writes it."""
        return self.hashes[TEST]

    @property
    def benchmark(self) -> str:
        """Name of the test split with its hash: rounds compare where it is the same."""
        owner = "embedded" if self.embedded else "own"
        return f"{owner} benchmark, test {self.test_md5[:8]}"

    @property
    def simulated(self) -> list[str]:
        """Readers of the batch that are simulations, as their names say."""
        return sorted(name for name in self.labels["annotators"] if SIMULATED in name)

    @property
    def passed(self) -> bool:
        """True if the verdict let the round's adapter in."""
        return self.gate["verdict"] == "pass"

    @property
    def difference(self) -> Mapping[str, float]:
        """Challenger less incumbent on gate, with its interval."""
        return self.gate["gate"]["overall"]


def closed_tags(root: Path) -> list[str]:
    """Names of the closed rounds in the order of their numbers."""
    tags = git(root, "tag", "--list", "round-[0-9]*").splitlines()
    return sorted(tags, key=number_of)


def number_of(tag: str) -> int:
    """2 for `round-002`."""
    return int(tag.removeprefix("round-"))


def read_all(root: Path) -> list[Closed]:
    """Every closed round in the order of their numbers.

    Raises:
        ClosedError: A tag points at a commit that holds no closed round.
    """
    return [read(root, tag) for tag in closed_tags(root)]


def read(root: Path, tag: str) -> Closed:
    """A closed round from its commit.

    Raises:
        ClosedError: The commit lacks a file or a value that every closed round has.
        RoundError: There is no such tag.
    """
    commit, seconds = git(root, "log", "-1", "--format=%H %ct", tag).split()
    there = git(root, "ls-tree", "-r", "-z", "--name-only", commit).split("\0")

    def text(path: str) -> str:
        if path not in there:
            raise ClosedError(
                f"{tag} ({commit[:10]}) has no {path}: it is no closed round. If the tag was set "
                f"by mistake, take it away: `git tag -d {tag}`"
            )
        return git(root, "show", f"{commit}:{path}")

    def jsons(folder: str) -> dict[str, object]:
        found = sorted(p for p in there if p.startswith(folder) and p.endswith(".json"))
        return {Path(path).stem: json.loads(text(path)) for path in found}

    metrics, lock, card = jsons("metrics/"), text("dvc.lock"), f"models/cards/{tag}.md"
    for name in {"gate", "annotate_import", "finetune"} - metrics.keys():
        text(f"metrics/{name}.json")
    data = hashes(lock)
    for path in {GATE, TEST, ADAPTER} - data.keys():
        raise ClosedError(f"{tag} ({commit[:10]}): dvc.lock has no {path}")
    inputs = hashes(text("data/dvc.lock")) if "data/dvc.lock" in there else {}
    return Closed(
        root=root,
        tag=tag,
        number=number_of(tag),
        commit=commit,
        time=1000 * int(seconds),
        params=parsed(text("params.yaml")),
        metrics=metrics,
        data=data,
        lock=fingerprint(lock.encode()),
        embedded=TEST in inputs,
        published=list(jsons("data/baselines/").values()),
        card=text(card) if card in there else "",
    )


def hashes(lock: str) -> dict[str, dict[str, object]]:
    """What a dvc.lock says of each path that its stages read or write."""
    stages = YAML(typ="safe").load(lock)["stages"].values()
    entries = [e for stage in stages for e in [*stage.get("deps", []), *stage.get("outs", [])]]
    return {
        entry["path"]: {k: entry[k] for k in ("md5", "size", "nfiles") if k in entry}
        for entry in entries
    }


def fetch_reports(closed: Closed, folder: Path) -> list[str]:
    """Write the round's report and figures to `folder`; paths that DVC does not have any more.

    They come from the DVC cache or a remote, and keep their paths below `reports/`.
    """
    there, missing = DVCFileSystem(str(closed.root), rev=closed.commit), []
    for path in sorted(path for path in closed.data if path.startswith(REPORTS)):
        target = folder / path.removeprefix(REPORTS)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            there.get(path, str(target), recursive=closed.data[path]["md5"].endswith(".dir"))
        except (OSError, DvcException):
            missing.append(path)
            if target.is_dir():
                shutil.rmtree(target)
            target.unlink(missing_ok=True)
    return missing
