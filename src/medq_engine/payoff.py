"""What labels of a kind brought in a closed round: readings, hits, and the change on dev.

A kind is a fault in a modality, and "no degradation" is one too. The table has every kind of dev,
also those that got no reading: they say what would have happened anyway (see `beliefs`).
"""

from collections.abc import Mapping

import polars as pl

from medq_engine.descriptions import denies, findings_in
from medq_engine.language import NO_DEGRADATION
from medq_engine.tables import table
from medq_engine.vocabulary import MODALITY_LABELS

Kind = tuple[str, str]
"""Modality and fault, as prototypes and items name them."""

PAYOFF = {
    "round": pl.Int32,
    "modality": pl.String,
    "attribute": pl.String,
    "readings": pl.Int32,
    "hits": pl.Int32,
    "labels": pl.Int32,
    "items": pl.Int32,
    "wrong_before": pl.Int32,
    "wrong_after": pl.Int32,
}
"""One row a closed round and kind.

readings: labels by experts on images that were fetched for the kind's prototypes.
hits: those of them that show the fault.
labels: all experts' labels that show it and that the challenger learnt from, the incumbent not.
items, wrong_before, wrong_after: perception items on dev images with the fault, and how many of
them the incumbent and the challenger answer wrongly.
"""


def kinds_of(frame: pl.DataFrame) -> list[Kind]:
    """The kind of each row of a table with columns `modality` and `attribute`."""
    return list(frame.select("modality", "attribute").iter_rows())


def name_of(kind: Kind) -> str:
    """A kind as people read it: "ring artifact, CT"."""
    modality, fault = kind
    return f"{fault}, {MODALITY_LABELS[modality]}"


def shows(label: Mapping[str, object], fault: str) -> bool:
    """True if a person's label says that the image shows a fault ("no degradation": none at all).

    A description names every fault. Without one the answer speaks, where it names a fault.

    Args:
        label: A row of schema LABEL.
    """
    text = str(label["description"])
    if text:
        seen = {finding.label for finding in findings_in(text, label["modality"])}
        return fault in seen or (fault == NO_DEGRADATION and not seen and denies(text))
    if label["question_type"] == "yes-no":
        return label["answer"] == "Yes" and label["attribute"] == fault
    return label["answer"] == fault or (fault == NO_DEGRADATION and label["answer"] == "None")


def of_round(
    items: pl.DataFrame,
    before: pl.DataFrame,
    after: pl.DataFrame,
    labels: pl.DataFrame,
    number: int,
    incumbent: int,
) -> pl.DataFrame:
    """A round's row of every kind that dev has.

    Args:
        items: Schema ITEM, of dev.
        before, after: Schema PREDICTION, incumbent and challenger on these items.
        labels: Schema LABEL, all that were accepted until the round's end.
        number: The round.
        incumbent: The round that trained the incumbent, 0 for the base. A refused round's labels
            are the next challenger's too.

    Returns:
        Schema PAYOFF, in the order of the kinds.
    """
    asked = (
        items.filter(pl.col("task") == "perception")
        .join(before.select("item_id", was="correct"), on="item_id")
        .join(after.select("item_id", now="correct"), on="item_id")
    )
    answers: dict[Kind, list[tuple[bool, bool]]] = {}
    for row in asked.select("modality", "findings", "was", "now").to_dicts():
        for fault in {finding["label"] for finding in row["findings"]} or {NO_DEGRADATION}:
            answers.setdefault((row["modality"], fault), []).append((row["was"], row["now"]))
    expert = labels.filter(pl.col("route") == "expert", pl.col("round") > incumbent).to_dicts()
    rows = []
    for (modality, fault), pairs in sorted(answers.items()):
        learnt = [label for label in expert if label["modality"] == modality]
        fetched = [
            label
            for label in learnt
            if (label["round"], label["arm"], label["attribute"]) == (number, "prototype", fault)
        ]
        rows.append(
            {
                "round": number,
                "modality": modality,
                "attribute": fault,
                "readings": len(fetched),
                "hits": sum(shows(label, fault) for label in fetched),
                "labels": sum(shows(label, fault) for label in learnt),
                "items": len(pairs),
                "wrong_before": sum(not was for was, _ in pairs),
                "wrong_after": sum(not now for _, now in pairs),
            }
        )
    return table(rows, PAYOFF)
