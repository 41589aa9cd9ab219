"""What a task's prototype looks like: images of dev that stand beside the image to be judged."""

from collections.abc import Collection
from dataclasses import dataclass

import polars as pl

from medq_engine.tables import TableError

SHOWN = 8
"""So many examples fit beside an image; prototypes have two to twenty members."""


@dataclass(frozen=True)
class Example:
    """An image of the benchmark, and what is known of it."""

    image_id: str
    findings: str
    verdict: str
    reference: str


@dataclass(frozen=True)
class Examples:
    """The examples of a prototype, its anchor first."""

    name: str
    shown: tuple[Example, ...]


def examples(
    prototypes: pl.DataFrame, items: pl.DataFrame, wanted: Collection[str]
) -> dict[str, Examples]:
    """Examples of the wanted prototypes by id, each image once, all of the prototype's modality.

    Args:
        prototypes: Schema PROTOTYPE.
        items: Schema ITEM, of dev.
        wanted: Ids of prototypes.

    Raises:
        TableError: A prototype has a member that dev does not have.
    """
    asked = prototypes.filter(pl.col("prototype_id").is_in(list(wanted)))
    members = set(asked["members"].explode().to_list())
    kept = items.filter(pl.col("item_id").is_in(list(members)))
    by_id = {item["item_id"]: item for item in kept.iter_rows(named=True)}
    found = {}
    for prototype in asked.iter_rows(named=True):
        of_image: dict[str, Example] = {}
        for item_id in (prototype["anchor_item"], *prototype["members"]):
            item = by_id.get(item_id)
            if item is None:
                raise TableError(
                    f"item {item_id!r} of prototype {prototype['prototype_id']!r} is not in dev: "
                    "run `dvc repro cluster`, or `dvc checkout`"
                )
            if item["modality"] != prototype["modality"]:
                continue  # what the model gets wrong alike may look quite different
            said = [f"{one['severity']} {one['label']}" for one in item["findings"]]
            of_image.setdefault(
                item["image_ids"][0],
                Example(
                    image_id=item["image_ids"][0],
                    findings=", ".join(said) or "no degradation",
                    verdict=item["verdict"],
                    reference=item["reference"],
                ),
            )
        found[prototype["prototype_id"]] = Examples(
            prototype["name"], tuple(of_image.values())[:SHOWN]
        )
    return found
