"""What is still wrong: the kinds of failure that a round set out to mend, on other images.

Prototypes are made of dev failures; whether they are mended is seen on gate, on questions of the
same modality, type and fault. Several prototypes may be of one such kind.
"""

from collections.abc import Mapping

import polars as pl

from medq_engine.statistics import wilson
from medq_engine.tables import Images
from medq_engine.vocabulary import MODALITY_LABELS

KIND = ("modality", "question_type", "attribute")
KINDS = 5
PICTURES = 6


def kinds_of(
    prototypes: pl.DataFrame,
    items: pl.DataFrame,
    before: pl.DataFrame,
    after: pl.DataFrame,
    confidence: float,
) -> pl.DataFrame:
    """The kinds of failure of a round's prototypes, with the errors that gate has of each.

    Args:
        prototypes: Schema PROTOTYPE.
        items: Schema ITEM, of gate.
        before, after: Schema PREDICTION of incumbent and challenger on `items`.
        confidence: Of the interval.

    Returns:
        Columns modality, question_type, attribute, prototypes (ids), mass, items (0 where gate has
        none), before, after (wrong answers), low, high (interval of the challenger's error rate),
        failed (items that the challenger gets wrong). The worst first: by `low`, so that two
        items that are both wrong do not stand above thirty of forty.
    """
    made = prototypes.group_by(KIND).agg(
        prototypes=pl.col("prototype_id").sort(), mass=pl.col("mass").sum()
    )
    asked = (
        items.filter(pl.col("task") == "perception")
        .join(before.select("item_id", before=~pl.col("correct")), on="item_id")
        .join(after.select("item_id", after=~pl.col("correct")), on="item_id")
        .group_by(KIND)
        .agg(
            items=pl.len(),
            failed=pl.col("item_id").filter(pl.col("after")).sort(),
            before=pl.col("before").sum(),
            after=pl.col("after").sum(),
        )
    )
    found = made.join(asked, on=KIND, how="left").with_columns(
        pl.col("items", "before", "after").fill_null(0), pl.col("failed").fill_null([])
    )
    counts = found.select("after", "items").iter_rows()
    bounds = [wilson(wrong, asked, confidence) for wrong, asked in counts]
    return found.with_columns(
        pl.Series("low", [low for low, _ in bounds], pl.Float64),
        pl.Series("high", [high for _, high in bounds], pl.Float64),
    ).sort(["low", "mass", *KIND], descending=[True, True, False, False, False])


def remaining(
    prototypes: pl.DataFrame,
    items: pl.DataFrame,
    images: Images,
    before: pl.DataFrame,
    after: pl.DataFrame,
    confidence: float,
) -> dict[str, object]:
    """The worst kinds of failure that are left, with pictures of what the challenger still fails.

    Args:
        prototypes, items, before, after, confidence: As for `kinds_of`.
        images: The images of `items`.

    Returns:
        kinds: How many kinds the prototypes are of; mended: those without an error left;
        unseen: names of those that gate has no item of;
        worst: at most five of name, prototypes, mass, items, before, after (counts), low, high,
            pictures (at most six of image (PNG bytes), question, said, right).
    """
    kinds = kinds_of(prototypes, items, before, after, confidence)
    seen = kinds.filter(pl.col("items") > 0)
    left = seen.filter(pl.col("after") > 0)
    by_id = {item["item_id"]: item for item in items.iter_rows(named=True)}
    said = dict(after.select("item_id", "answer").iter_rows())

    def picture(item_id: str) -> dict[str, object]:
        item = by_id[item_id]
        return {
            "image": images.struct(item["image_ids"][0])["bytes"],
            "question": item["question"],
            "said": said[item_id],
            "right": item["answer"],
        }

    return {
        "kinds": len(kinds),
        "mended": len(seen) - len(left),
        "unseen": [name_of(kind) for kind in kinds.filter(pl.col("items") == 0).to_dicts()],
        "worst": [
            {name: value for name, value in kind.items() if name not in (*KIND, "failed")}
            | {"name": name_of(kind)}
            | {"pictures": [picture(item_id) for item_id in kind["failed"][:PICTURES]]}
            for kind in left.head(KINDS).to_dicts()
        ],
    }


def name_of(kind: Mapping[str, object]) -> str:
    """A kind of failure as people read it: "chemical shift, MRI, What"."""
    modality = MODALITY_LABELS.get(kind["modality"], kind["modality"])
    return f"{kind['attribute']}, {modality}, {kind['question_type'].capitalize()}"
