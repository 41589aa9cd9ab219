"""Failure prototypes: what kinds of mistake the model makes, each with a real image to search by.

Failures are embedded jointly (image and question with its right answer) and clustered
agglomeratively; silhouette chooses the number of clusters (arXiv 2603.19863). Beyond the paper: the
anchor is not the mean of the failures, which may look like nothing, but what tells the images of
their fault from the others (`anchors`), or the medoid; a cluster has a name a person understands;
and its stability under the bootstrap is reported.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import polars as pl
from sklearn.cluster import AgglomerativeClustering
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import adjusted_rand_score, silhouette_score

from medq_engine.anchors import contrast_anchor, showing
from medq_engine.language import Finding, answer
from medq_engine.simulation import seeded
from medq_engine.tables import PROTOTYPE, table
from medq_engine.vocabulary import MODALITY_LABELS

STABILITY_RESAMPLES = 20


T = TypeVar("T", str, tuple)


@dataclass(frozen=True)
class Found:
    """Prototypes as a table (schema PROTOTYPE) and the clustering's metrics."""

    table: pl.DataFrame
    metrics: dict[str, object]


@dataclass(frozen=True)
class Prototype:
    """A cluster of failures.

    Attributes:
        members: Positions of the cluster's failures.
        anchor: Vector to search the pool with, length 1, shape (features,).
        medoid: Position of the member nearest to all the others.
    """

    members: tuple[int, ...]
    anchor: np.ndarray
    medoid: int


@dataclass(frozen=True)
class Labelled:
    """Images whose findings are known: what a contrast anchor is made of.

    Attributes:
        vectors: Of length 1, shape (images, features).
        modalities, findings: Of each image.
    """

    vectors: np.ndarray
    modalities: Sequence[str]
    findings: Sequence[Sequence[Mapping[str, str]]]

    def contrast(self, modality: str, fault: str) -> np.ndarray:
        """The anchor that looks for a fault (`anchors.contrast_anchor`)."""
        shown = showing(self.findings, self.modalities, modality, fault)
        others = (np.asarray(self.modalities) == modality) & ~shown
        return contrast_anchor(self.vectors, shown, others)


def joint_features(images: np.ndarray, texts: Sequence[str], text_weight: float) -> np.ndarray:
    """Image vectors (length 1) beside TF-IDF of question and answer, weighted by `text_weight`."""
    words = TfidfVectorizer(ngram_range=(1, 2)).fit_transform(texts).toarray()
    return np.hstack([images, text_weight * words])


def choose_clusters(features: np.ndarray, k_min: int, k_max: int) -> tuple[np.ndarray, float]:
    """Ward clusters with the best silhouette.

    Returns:
        Cluster of each row, and the silhouette; with too few rows to compare, one cluster and 0.
    """
    k_max = min(k_max, len(features) - 1)
    best = (np.zeros(len(features), dtype=int), -1.0)
    for k in range(min(k_min, k_max), k_max + 1):
        if k < 2:
            continue
        found = AgglomerativeClustering(k, linkage="ward").fit_predict(features)
        score = float(silhouette_score(features, found))
        if score > best[1]:
            best = (found, score)
    return best if best[1] > -1 else (best[0], 0.0)


def prototypes(images: np.ndarray, clusters: np.ndarray, anchor: str) -> list[Prototype]:
    """One prototype per cluster, the largest first; `images` are vectors of length 1."""
    found = []
    for cluster in np.unique(clusters):
        members = np.flatnonzero(clusters == cluster)
        vectors = images[members]
        medoid = int(members[np.argmax((vectors @ vectors.T).sum(1))])
        centroid = vectors.mean(0)
        centroid = centroid / max(float(np.linalg.norm(centroid)), 1e-12)
        vector = centroid if anchor == "centroid" else images[medoid]
        found.append(Prototype(tuple(map(int, members)), vector, medoid))
    return sorted(found, key=lambda prototype: (-len(prototype.members), prototype.medoid))


def majority(values: Sequence[T]) -> T:
    """The most frequent value; ties go to the first in the alphabet."""
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], value))


def stability(features: np.ndarray, clusters: np.ndarray, resamples: int, seed: int) -> float:
    """Mean adjusted Rand index between the clusters and those of bootstrap resamples."""
    k = len(np.unique(clusters))
    if k < 2:
        return 1.0
    scores = []
    for resample in range(resamples):
        drawn = seeded("stability", seed, resample).integers(0, len(features), len(features))
        rows = np.unique(drawn)
        if len(rows) <= k:
            continue
        again = AgglomerativeClustering(k, linkage="ward").fit_predict(features[rows])
        scores.append(adjusted_rand_score(clusters[rows], again))
    return float(np.mean(scores)) if scores else 0.0


def capability_errors(asked: pl.DataFrame) -> dict[tuple[str, str], float]:
    """e_k: failures over items, for every capability (question type, modality)."""
    rates = asked.group_by("question_type", "modality").agg(pl.col("failure").mean())
    return {(q, m): rate for q, m, rate in rates.iter_rows()}


def name_of(members: pl.DataFrame) -> dict[str, str]:
    """What a cluster is about, by majority of its failures, and a name for it."""
    capabilities = list(members.select("question_type", "modality").iter_rows())
    kind, modality = majority(capabilities)
    asked = members.filter(pl.col("question_type") == kind, pl.col("modality") == modality)
    faults = asked.select("attribute", "severity", "answer").iter_rows()
    attribute, severity, right = majority(list(faults))
    # Asked about a fault that is not there, the picture's severity is that of another fault.
    how = {"No": "absent ", "Yes": f"{severity} "}.get(right, f"{severity} ".removeprefix("none "))
    return {
        "modality": modality,
        "question_type": kind,
        "attribute": attribute,
        "severity": severity,
        "name": f"{how}{attribute}, {MODALITY_LABELS[modality]}, {kind.capitalize()}",
    }


def shown_by(members: pl.DataFrame) -> str:
    """What the images of a cluster show, by majority: a fault or "no degradation".

    It is not what they were asked about: who sees ringing where there is none should be shown more
    of what is there.
    """
    return majority(
        [answer("what", [Finding(**f) for f in shown]) for shown in members["findings"]]
    )


def find(
    vectors: np.ndarray,
    failures: pl.DataFrame,
    asked: pl.DataFrame,
    labelled: Labelled,
    *,
    k_min: int,
    k_max: int,
    text_weight: float,
    anchor: str,
    seed: int,
) -> Found:
    """Prototypes of the failures.

    Args:
        vectors: Image vectors of the failures, length 1, shape (failures, features).
        failures: Failed items with their predictions, in the order of `vectors`.
        asked: All perception items with their predictions.
        labelled: All images of the split, failed or not.
        anchor: contrast, medoid or centroid.

    Returns:
        Prototypes, the largest first; an empty table when nothing failed.
    """
    if not len(failures):
        return Found(table([], PROTOTYPE), {"failures": 0, "prototypes": 0})
    questions = zip(failures["question"], failures["answer"], strict=True)
    texts = [f"{text} {right}" for text, right in questions]
    features = joint_features(vectors, texts, text_weight)
    clusters, silhouette = choose_clusters(features, k_min, k_max)
    errors = capability_errors(asked)
    rows = []
    for number, prototype in enumerate(prototypes(vectors, clusters, anchor)):
        members = failures[list(prototype.members)]
        about = name_of(members)
        vector = prototype.anchor
        if anchor == "contrast":
            here = members.filter(pl.col("modality") == about["modality"])
            vector = labelled.contrast(about["modality"], shown_by(here))
        rows.append(
            {
                "prototype_id": f"p{number:02d}",
                **about,
                "mass": float(len(members)),
                "capability_error": errors[about["question_type"], about["modality"]],
                "anchor": vector.tolist(),
                "anchor_item": failures["item_id"][prototype.medoid],
                "members": members["item_id"].to_list(),
            }
        )
    metrics = {
        "failures": len(failures),
        "prototypes": len(rows),
        "silhouette": silhouette,
        "stability": stability(features, clusters, STABILITY_RESAMPLES, seed),
    }
    return Found(table(rows, PROTOTYPE), metrics)
