"""reports/index.html: all closed rounds on one page, from git tags and nothing else.

What is said stands in `templates/index.html`; here is only what a template cannot do.
"""

from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from medq_engine import learning
from medq_engine.history import Row, champion, closed_rounds, points, simulated
from medq_engine.lineage import changed_params
from medq_engine.report import environment
from medq_engine.rounds import RoundError
from medq_engine.tables import replace

LINEAGE = {
    "data/pool": "pool",
    "data/benchmark/dev": "dev",
    "data/benchmark/gate": "gate",
    "data/benchmark/test": "test",
    "data/round/labels.parquet": "labels so far",
    "models/base": "base",
    "models/challenger": "challenger",
}
SAME = ("data/benchmark/test", "models/base")
"""Rounds whose test items or base differ cannot stand on one curve."""


def comparable(rows: Sequence[Row]) -> list[Row]:
    """The rounds with the last one's test items and base."""

    def stand(row: Row) -> list[str | None]:
        return [row.hashes.get(path) for path in SAME]

    return [row for row in rows if stand(row) == stand(rows[-1])]


def changes(rows: Sequence[Row]) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Params that changed from each round to the next: (round, [(key, before, now)])."""
    return [
        (now.tag, changed_params(before.params, now.params))
        for before, now in pairwise(rows)
        if before.params and now.params
    ]


def render(rows: Sequence[Row], reports: Collection[str]) -> str:
    """The page as HTML; the same rounds give the same text.

    Args:
        rows: Every closed round, at least one.
        reports: Tags whose report lies beside the page; the others are named, not linked.
    """
    page = environment()
    page.filters["points"] = points
    compared = comparable(rows)
    with TemporaryDirectory() as folder:
        figures = {name: Path(folder) / f"{name}.png" for name in ("curve", "forest")}
        learning.curve(compared, figures["curve"])
        learning.forest(compared, "test", figures["forest"])
        return page.get_template("index.html").render(
            rows=rows,
            last=rows[-1],
            champion=champion(rows),
            reports=reports,
            apart=[row.tag for row in rows if row not in compared],
            shown=compared[-learning.SHOWN :],
            figures=figures,
            slices=learning.slice_changes(compared, "test"),
            costs=[
                {"tag": row.tag, **row.labels["ledger"]} for row in rows if "ledger" in row.labels
            ],
            measured=[row for row in rows if "quality" in row.labels],
            changes=changes(rows),
            lineage=LINEAGE,
            simulated=simulated(rows),
            params=rows[-1].params,
        )


def write(root: Path) -> Path:
    """Write reports/index.html over all closed rounds; its path.

    Raises:
        RoundError: No round is closed.
    """
    rows = closed_rounds(root)
    if not rows:
        raise RoundError("no round is closed yet: `medq close` closes one, and makes the page")
    reports = root / "reports"
    path = reports / "index.html"
    beside = {row.tag for row in rows if (reports / f"{row.tag}.html").exists()}
    replace(path, render(rows, beside).encode())
    return path
