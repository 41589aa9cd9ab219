import numpy as np
import polars as pl
import pytest

from medq_engine.prototypes import (
    Labelled,
    capability_errors,
    choose_clusters,
    find,
    joint_features,
    majority,
    name_of,
    prototypes,
    stability,
)
from medq_engine.tables import ITEM, PREDICTION, PROTOTYPE, table

SETTINGS = {"k_min": 2, "k_max": 6, "text_weight": 0.7, "anchor": "medoid", "seed": 1}


def planted(clusters: int, each: int = 12, spread: float = 0.05) -> np.ndarray:
    """Vectors of length 1 around `clusters` orthogonal directions, cluster by cluster."""
    rng = np.random.default_rng(clusters)
    centres = np.repeat(np.eye(8)[:clusters], each, axis=0)
    vectors = centres + rng.normal(0, spread, centres.shape)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def asked(item_row) -> pl.DataFrame:
    """Failed: 12 x severe metal streak in CT (what), 8 x mild aliasing in MRI (yes-no)."""
    ct = {
        "modality": "ct",
        "question_type": "what",
        "attribute": "metal streak",
        "severity": "severe",
        "question": "Which degradation is most visible in this CT image?",
        "answer": "metal streak",
    }
    rows = [item_row(f"ct{n:02d}", **ct) for n in range(12)]
    rows += [item_row(f"mri{n:02d}") for n in range(8)]
    rows += [item_row(f"fine{n:02d}") for n in range(24)]
    given = [
        {"item_id": r["item_id"], "failure": not r["item_id"].startswith("fine")} for r in rows
    ]
    return table(rows, ITEM).join(table(given, PREDICTION), on="item_id", maintain_order="left")


def known(asked: pl.DataFrame) -> Labelled:
    """The images of all items: along the first axis of CT, along the second of MRI."""
    axis = [0 if modality == "ct" else 1 for modality in asked["modality"]]
    vectors = np.eye(8, dtype=np.float32)[axis]
    return Labelled(vectors, asked["modality"].to_list(), asked["findings"].to_list())


def failures_of(asked: pl.DataFrame) -> tuple[pl.DataFrame, np.ndarray]:
    return asked.filter(pl.col("failure")), planted(2)[:20]


@pytest.mark.parametrize("clusters", [2, 3, 5])
def test_silhouette_finds_the_planted_number_of_clusters(clusters):
    found, silhouette = choose_clusters(planted(clusters), 2, 8)
    assert len(np.unique(found)) == clusters
    assert len({tuple(found[i : i + 12]) for i in range(0, len(found), 12)}) == clusters
    assert silhouette > 0.5


def test_the_range_of_clusters_is_kept():
    found, _ = choose_clusters(planted(5), 2, 3)
    assert len(np.unique(found)) <= 3
    found, _ = choose_clusters(planted(2), 4, 6)
    assert len(np.unique(found)) >= 4


@pytest.mark.parametrize("rows", [1, 2])
def test_too_few_failures_are_one_cluster(rows):
    found, silhouette = choose_clusters(planted(2)[:rows], 4, 30)
    assert found.tolist() == [0] * rows
    assert silhouette == 0.0


def test_three_failures_can_be_split_although_k_min_is_higher():
    found, _ = choose_clusters(planted(2)[[0, 1, 12]], 4, 30)
    assert found[0] == found[1] != found[2]


def test_text_tells_failures_apart_where_images_cannot():
    images = np.tile(np.float32([1, 0]), (6, 1))
    texts = ["is there blur"] * 3 + ["how severe is it"] * 3
    found, _ = choose_clusters(joint_features(images, texts, 0.7), 2, 4)
    assert len(set(found[:3])) == 1
    assert found[0] != found[3]
    assert np.ptp(joint_features(images, texts, 0.0), axis=0).max() == 0


def test_the_medoid_is_the_member_nearest_to_all_others(unit_rows):
    vectors = unit_rows([[1, 0.5], [1, 0.1], [1, -0.4], [-1, 0]])
    first, second = prototypes(vectors, np.array([0, 0, 0, 1]), "medoid")
    assert first.members == (0, 1, 2)
    assert first.medoid == 1
    assert np.array_equal(first.anchor, vectors[1])
    assert second.members == (3,)


def test_a_centroid_has_length_one_and_need_not_be_a_member(unit_rows):
    vectors = unit_rows([[1, 0], [0, 1]])
    (only,) = prototypes(vectors, np.zeros(2, int), "centroid")
    assert only.anchor == pytest.approx([0.5**0.5, 0.5**0.5])
    assert only.medoid in only.members


def test_prototypes_are_a_partition_of_the_failures_the_largest_first():
    clusters = np.array([2] * 5 + [0] * 19 + [1] * 12)
    found = prototypes(planted(3), clusters, "medoid")
    assert [len(p.members) for p in found] == [19, 12, 5]
    assert sorted(i for p in found for i in p.members) == list(range(36))


def test_majority_ties_go_to_the_first_in_the_alphabet():
    assert majority(["b", "a", "b", "a"]) == "a"
    assert majority(["b", "a", "b"]) == "b"


def test_stability_is_high_for_planted_and_low_for_invented_clusters():
    vectors = planted(3)
    clear = stability(vectors, np.repeat([0, 1, 2], 12), 5, seed=1)
    shuffled = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], 12))
    assert clear == pytest.approx(1.0)
    assert stability(vectors, shuffled, 5, seed=1) < 0.3
    assert stability(vectors, np.zeros(36, int), 5, seed=1) == 1.0


def test_capability_errors_are_failures_over_items(asked):
    assert capability_errors(asked) == {("what", "ct"): 1.0, ("yes-no", "mri"): 0.25}


def test_prototypes_have_a_name_a_person_understands_and_their_mass(asked):
    failures, vectors = failures_of(asked)
    found = find(vectors, failures, asked, known(asked), **SETTINGS)
    assert dict(found.table.schema) == PROTOTYPE
    assert found.table["name"].to_list() == [
        "severe metal streak, CT, What",
        "mild aliasing, MRI, Yes-no",
    ]
    assert found.table["mass"].to_list() == [12, 8]
    assert found.table["capability_error"].to_list() == [1.0, 0.25]
    assert found.metrics["prototypes"] == 2
    assert found.metrics["failures"] == 20


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "mild aliasing, MRI, Yes-no"),
        ({"answer": "No", "severity": "severe"}, "absent aliasing, MRI, Yes-no"),
        (
            {
                "question_type": "what",
                "attribute": "no degradation",
                "answer": "no degradation",
                "severity": "none",
            },
            "no degradation, MRI, What",
        ),
    ],
    ids=["a fault that is there", "a fault that is not there", "a fine image"],
)
def test_a_name_says_what_was_asked_and_what_is_right(item_row, changes, name):
    assert name_of(table([item_row("a", **changes)], ITEM))["name"] == name


def test_a_name_is_about_the_questions_of_the_clusters_own_type(item_row):
    what = {"question_type": "what", "attribute": "no degradation", "severity": "none"}
    rows = [item_row(f"y{n}", attribute=a) for n, a in enumerate(["blur", "blur", "aliasing"])]
    rows += [item_row(f"w{n}", **what) for n in range(2)]
    about = name_of(table(rows, ITEM))
    assert (about["question_type"], about["attribute"]) == ("yes-no", "blur")


@pytest.fixture
def torn(item_row) -> list[dict[str, object]]:
    """Most are yes-no, most are CT, and none is a yes-no question about CT."""
    rows = [item_row(f"a{n}", attribute="blur") for n in range(3)]
    for kind in ("what", "how"):
        about = {"modality": "ct", "question_type": kind, "attribute": "ring artifact"}
        rows += [item_row(f"{kind}{n}", answer="ring artifact", **about) for n in range(2)]
    return rows


def test_question_type_and_modality_are_a_pair_that_failed(torn):
    about = name_of(table(torn, ITEM))
    assert (about["question_type"], about["modality"]) == ("yes-no", "mri")
    assert about["attribute"] == "blur"
    assert about["name"] == "mild blur, MRI, Yes-no"


def test_a_torn_cluster_has_the_error_of_a_capability_that_failed(torn, monkeypatch):
    one = (np.zeros(len(torn), int), 0.0)
    monkeypatch.setattr("medq_engine.prototypes.choose_clusters", lambda *_: one)
    given = [{"item_id": row["item_id"], "failure": True} for row in torn]
    failed = table(torn, ITEM).join(table(given, PREDICTION), on="item_id", maintain_order="left")
    vectors = np.tile(np.eye(8, dtype=np.float32)[:1], (7, 1))
    found = find(vectors, failed, failed, known(failed), **SETTINGS)
    assert found.table["capability_error"].to_list() == [1.0]


def test_the_attribute_is_that_of_the_named_modality(item_row):
    ct = {"modality": "ct", "attribute": "ring artifact"}
    rows = [item_row(f"c{n}", **ct) for n in range(2)]
    rows += [item_row(f"m{n}", attribute=a) for n, a in enumerate(["blur", "spike noise", "noise"])]
    about = name_of(table(rows, ITEM))
    assert (about["modality"], about["attribute"]) == ("mri", "blur")


def test_an_absent_fault_is_called_absent_whatever_else_the_picture_shows(item_row):
    rows = [item_row("a", answer="No", severity="none"), item_row("b", severity="severe")]
    rows.append(item_row("c", answer="No", severity="none"))
    assert name_of(table(rows, ITEM))["name"] == "absent aliasing, MRI, Yes-no"


def test_an_anchor_is_the_vector_of_its_own_member(asked):
    failures, vectors = failures_of(asked)
    for row in find(vectors, failures, asked, known(asked), **SETTINGS).table.iter_rows(named=True):
        assert row["anchor_item"] in row["members"]
        position = failures["item_id"].to_list().index(row["anchor_item"])
        assert np.array_equal(np.float32(row["anchor"]), vectors[position])


def test_nothing_failed_gives_an_empty_table(asked):
    found = find(np.zeros((0, 8), np.float32), asked[:0], asked, known(asked), **SETTINGS)
    assert dict(found.table.schema) == PROTOTYPE
    assert len(found.table) == 0
    assert found.metrics == {"failures": 0, "prototypes": 0}


def test_a_contrast_anchor_looks_for_what_the_images_of_a_cluster_show(item_row):
    """Failed: MRI images with aliasing that were asked about blur, which they do not show."""
    fine = {"findings": [], "severity": "none"}
    rows = [item_row(f"a{n}", attribute="blur", answer="No") for n in range(3)]
    rows += [item_row(f"b{n}", **fine) for n in range(3)]
    given = [{"item_id": r["item_id"], "failure": r["item_id"].startswith("a")} for r in rows]
    asked = table(rows, ITEM).join(table(given, PREDICTION), on="item_id", maintain_order="left")
    shows = np.eye(8, dtype=np.float32)[[0, 0, 0, 1, 1, 1]]
    labelled = Labelled(shows, asked["modality"].to_list(), asked["findings"].to_list())
    failures = asked.filter(pl.col("failure"))
    settings = SETTINGS | {"anchor": "contrast"}
    for row in find(shows[:3], failures, asked, labelled, **settings).table.to_dicts():
        assert row["attribute"] == "blur"
        assert row["anchor"][:2] == pytest.approx([0.5**0.5, -(0.5**0.5)])
