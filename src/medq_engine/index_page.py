"""reports/index.html: all closed rounds on one page, from git tags and nothing else.

What is said stands in `templates/index.html`; here is only what a template cannot do.
"""

from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from medq_engine import learning
from medq_engine.closed import ADAPTER, GATE, TEST, Closed, read_all
from medq_engine.history import champion, comparable, points, simulated, what_next
from medq_engine.lineage import changed_params
from medq_engine.report import environment
from medq_engine.rounds import RoundError
from medq_engine.tables import replace

LINEAGE = {
    "data/pool": "pool",
    "data/benchmark/dev": "dev",
    GATE: "gate",
    TEST: "test",
    "data/round/labels.parquet": "labels so far",
    "models/base": "base",
    ADAPTER: "challenger",
}


def changes(rounds: Sequence[Closed]) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Params that changed from each round to the next: (round, [(key, before, now)])."""
    return [
        (now.tag, changed_params(before.params, now.params)) for before, now in pairwise(rounds)
    ]


def render(rounds: Sequence[Closed], reports: Collection[str]) -> str:
    """The page as HTML; the same rounds give the same text.

    Args:
        rounds: Every closed round, at least one.
        reports: Tags whose report lies beside the page; the others are named, not linked.
    """
    page = environment()
    page.filters["points"] = points
    compared = comparable(rounds)
    with TemporaryDirectory() as folder:
        figures = {name: Path(folder) / f"{name}.png" for name in ("curve", "forest")}
        learning.curve(compared, figures["curve"])
        learning.forest(compared, "test", figures["forest"])
        return page.get_template("index.html").render(
            rounds=rounds,
            last=rounds[-1],
            champion=champion(rounds),
            outlook=what_next(rounds),
            reports=reports,
            apart=[closed.tag for closed in rounds if closed not in compared],
            shown=compared[-learning.SHOWN :],
            figures=figures,
            slices=learning.slice_changes(compared, "test"),
            costs=[
                {"tag": closed.tag, **closed.labels["ledger"]}
                for closed in rounds
                if "ledger" in closed.labels
            ],
            measured=[closed for closed in rounds if "quality" in closed.labels],
            changes=changes(rounds),
            lineage=LINEAGE,
            simulated=simulated(rounds),
        )


def write(root: Path) -> Path:
    """Write reports/index.html over all closed rounds; its path.

    Raises:
        RoundError: No round is closed.
    """
    rounds = read_all(root)
    if not rounds:
        raise RoundError("no round is closed yet: `medq close` closes one, and makes the page")
    reports = root / "reports"
    path = reports / "index.html"
    beside = {closed.tag for closed in rounds if (reports / f"{closed.tag}.html").exists()}
    replace(path, render(rounds, beside).encode())
    return path
