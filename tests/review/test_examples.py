import polars as pl
import pytest

from medq_engine import tables
from medq_engine.review.examples import SHOWN, examples


def prototype(**changes):
    row = dict.fromkeys(tables.PROTOTYPE, "") | {
        "prototype_id": "p1",
        "name": "a name",
        "modality": "mri",
        "mass": 1.0,
        "capability_error": 0.5,
        "anchor": [1.0],
        "anchor_item": "b-how",
        "members": ["a-how", "b-how", "b-what"],
    }
    return tables.table([row | changes], tables.PROTOTYPE)


def items(item_row, **others):
    rows = [
        item_row("a-how", image_ids=["a"], findings=[], verdict="good"),
        item_row("b-how", image_ids=["b"]),
        item_row("b-what", image_ids=["b"]),
        *(item_row(name, image_ids=[name], modality=kind) for name, kind in others.items()),
    ]
    return tables.table(rows, tables.ITEM)


def test_the_anchor_comes_first_and_each_image_once(item_row):
    found = examples(prototype(), items(item_row), {"p1"})["p1"]
    assert found.name == "a name"
    assert [(one.image_id, one.findings, one.verdict) for one in found.shown] == [
        ("b", "mild aliasing", "usable"),
        ("a", "no degradation", "good"),
    ]


def test_another_modality_is_no_example(item_row):
    mixed = prototype(members=["a-how", "b-how", "c"])
    found = examples(mixed, items(item_row, c="ct"), {"p1"})["p1"]
    assert [one.image_id for one in found.shown] == ["b", "a"]


def test_so_many_as_fit_and_only_of_prototypes_that_are_wanted(item_row):
    names = {f"m{i}": "mri" for i in range(20)}
    many = prototype(members=["b-how", *names])
    both = pl.concat([many, prototype(prototype_id="p2")])
    found = examples(both, items(item_row, **names), {"p1", ""})
    assert set(found) == {"p1"}
    assert len(found["p1"].shown) == SHOWN


def test_a_member_that_dev_does_not_have_is_named(item_row):
    with pytest.raises(tables.TableError, match="'gone' of prototype 'p1'"):
        examples(prototype(anchor_item="gone"), items(item_row), {"p1"})
