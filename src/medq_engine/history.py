"""What the rounds brought: one row for each closed round, read from git tags and nothing else."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medq_engine.rounds import git


@dataclass(frozen=True)
class Row:
    """One closed round, from the metric files of its commit."""

    tag: str
    commit: str
    date: str
    gate: dict[str, object]
    labels: dict[str, object]


def closed_rounds(root: Path) -> list[Row]:
    """Every closed round in the order of their numbers."""
    rows = []
    tags = git(root, "tag", "--list", "round-[0-9]*").splitlines()
    for tag in sorted(tags, key=lambda tag: int(tag.removeprefix("round-"))):
        commit, date = git(root, "log", "-1", "--format=%h %cs", tag).split()
        gate, labels = (
            json.loads(git(root, "show", f"{tag}:metrics/{name}.json"))
            for name in ("gate", "annotate_import")
        )
        rows.append(Row(tag, commit, date, gate, labels))
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """The rounds as a Markdown table; differences in points with their interval."""

    def points(d: dict[str, float]) -> str:
        return f"{100 * d['value']:+.1f} ({100 * d['low']:+.1f} to {100 * d['high']:+.1f})"

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
