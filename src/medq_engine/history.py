"""What the rounds brought: one row for each closed round, read from git tags and nothing else."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml import YAML

from medq_engine.rounds import git

METRICS = ("gate", "annotate_import")
PUBLISHED = "data/baselines/"


@dataclass(frozen=True)
class Row:
    """One closed round, from the files of its commit.

    Attributes:
        tag: The round's name.
        commit: Its abbreviated hash.
        date: Of the commit, YYYY-MM-DD.
        gate, labels: metrics/gate.json and metrics/annotate_import.json.
        baselines: metrics/baselines.json: who else answered the same benchmark; may be empty.
        published: Rows of other benchmarks (data/baselines), each with its benchmark's name.
        params: params.yaml; empty where the commit has none.
        hashes: What the stages read and wrote, path to md5 (dvc.lock).
    """

    tag: str
    commit: str
    date: str
    gate: dict[str, object]
    labels: dict[str, object]
    baselines: dict[str, object] = field(default_factory=dict)
    published: list[dict[str, object]] = field(default_factory=list)
    params: dict[str, object] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Did the round's challenger take the incumbent's place?"""
        return self.gate["verdict"] == "pass"


def closed_rounds(root: Path) -> list[Row]:
    """Every closed round in the order of their numbers.

    Raises:
        RoundError: A round's commit does not have the metrics of its verdict and of its labels.
    """
    tags = git(root, "tag", "--list", "round-[0-9]*").splitlines()
    tags.sort(key=lambda tag: int(tag.removeprefix("round-")))
    return [closed_round(root, tag) for tag in tags]


def closed_round(root: Path, tag: str) -> Row:
    """One closed round; what its commit need not have is empty where it is missing."""

    def show(path: str) -> str:
        return git(root, "show", f"{tag}:{path}")

    there = git(root, "ls-tree", "-r", "-z", "--name-only", tag).split("\0")
    commit, date = git(root, "log", "-1", "--format=%h %cs", tag).split()
    gate, labels = (json.loads(show(f"metrics/{name}.json")) for name in METRICS)
    optional = {
        path: show(path)
        for path in ("metrics/baselines.json", "params.yaml", "dvc.lock")
        if path in there
    }
    tables = [
        json.loads(show(path))
        for path in there
        if path.startswith(PUBLISHED) and path.endswith(".json")
    ]
    return Row(
        tag,
        commit,
        date,
        gate,
        labels,
        baselines=json.loads(optional.get("metrics/baselines.json", "{}")),
        published=[
            {**row, "benchmark": table["benchmark"]} for table in tables for row in table["rows"]
        ],
        params=YAML(typ="safe").load(optional.get("params.yaml", "")) or {},
        hashes=locked(optional.get("dvc.lock", "")),
    )


def locked(text: str) -> dict[str, str]:
    """Path to md5 of everything that the stages of a dvc.lock read and wrote."""
    stages = (YAML(typ="safe").load(text) or {}).get("stages", {})
    return {
        entry["path"]: entry["md5"]
        for stage in stages.values()
        for entry in (*stage.get("deps", ()), *stage.get("outs", ()))
        if "md5" in entry
    }


def champion(rows: Sequence[Row]) -> Row | None:
    """The round whose challenger is in force after the last one; None for the base."""
    return next((row for row in reversed(rows) if row.passed), None)


def simulated(rows: Sequence[Row]) -> list[str]:
    """Readers of the batches that are simulations, as their names say."""
    names = {name for row in rows for name in row.labels["annotators"]}
    return sorted(name for name in names if "(simulated)" in name)


def points(difference: Mapping[str, float]) -> str:
    """A difference in percentage points with its interval: `+4.2 (+1.0 to +7.3)`."""
    value, low, high = (100 * difference[name] for name in ("value", "low", "high"))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def markdown(rows: Sequence[Row]) -> str:
    """The rounds as a Markdown table; differences in points with their interval."""
    lines = [
        "| round | commit, date | labels (expert) | expert minutes so far | gate: challenger less "
        "incumbent | verdict | test: base | test: model in force | in force less base, test "
        "| of these, real images |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        since = row.gate["test_since_base"]
        real = since["origin"].get("clinical")
        experts = row.labels["by_route"].get("expert", 0)
        lines.append(
            f"| {row.tag} | {row.commit}, {row.date} | {row.labels['round']} ({experts}) "
            f"| {row.labels['expert_minutes_total']:.0f} | {points(row.gate['gate']['overall'])} "
            f"| {row.gate['verdict']} | {since['incumbent']:.1%} | {since['challenger']:.1%} "
            f"| {points(since)} | {points(real) if real else '-'} |"
        )
    return "\n".join(lines)
