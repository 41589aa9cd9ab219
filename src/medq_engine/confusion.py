"""What was taken for what: the wrong answers to "which degradation is most visible?"."""

from collections.abc import Iterable

import polars as pl

from medq_engine.language import NO_DEGRADATION

UNREAD = "(unread)"
"""What stands in the place of an answer that could not be read."""
ROWS = 10


def confusions(items: pl.DataFrame, before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """How often each fault was taken for each other one, right answers among them.

    A question offers a few options only, so a fault can be named no more often than it was offered.

    Args:
        items: Schema ITEM; the what-questions among them are counted.
        before, after: Schema PREDICTION, of the incumbent and of the challenger.

    Returns:
        Columns modality, truth, said, offered (items of this truth that offered `said`), before,
        after (of these, how many were answered with `said`); sorted by the first three.
    """
    by = ["modality", "truth", "said"]
    asked = (
        items.filter(pl.col("task") == "perception", pl.col("question_type") == "what")
        .select("item_id", "modality", "options", truth="answer")
        .join(before.select("item_id", before="answer"), on="item_id")
        .join(after.select("item_id", after="answer"), on="item_id")
    )

    def given(column: str) -> pl.DataFrame:
        offered = pl.col("options").list.contains(pl.col(column))
        said = pl.when(offered).then(pl.col(column)).otherwise(pl.lit(UNREAD))
        return asked.group_by("modality", "truth", said.alias("said")).agg(pl.len().alias(column))

    offered = asked.explode("options").group_by(
        "modality", "truth", pl.col("options").alias("said")
    )
    return (
        offered.agg(offered=pl.len())
        .join(given("before"), on=by, how="full", coalesce=True)
        .join(given("after"), on=by, how="full", coalesce=True)
        .with_columns(pl.col("offered", "before", "after").fill_null(0).cast(pl.Int64))
        .sort(by)
    )


def most_frequent(counts: pl.DataFrame, rows: int = ROWS) -> list[dict[str, object]]:
    """The confusions that were made most often, by both models together.

    Args:
        counts: `confusions`.

    Returns:
        At most `rows` of its rows, right answers left out, the most frequent first.
    """
    wrong = counts.filter(pl.col("truth") != pl.col("said"), pl.col("before") + pl.col("after") > 0)
    together = (pl.col("before") + pl.col("after")).alias("together")
    order = ["together", "modality", "truth", "said"]
    return (
        wrong.with_columns(together)
        .sort(order, descending=[True, False, False, False])
        .drop("together")
        .head(rows)
        .to_dicts()
    )


def in_order(names: Iterable[str]) -> list[str]:
    """Faults in the alphabet's order, between "no degradation" and what could not be read."""
    rank = {NO_DEGRADATION: -1, UNREAD: 1}
    return sorted(names, key=lambda name: (rank.get(name, 0), name.lower()))
