"""What a search for an untaught fault finds, against what chance would: for reports only.

Truth about the pool is known by simulation alone. Nothing here may serve a stage of the loop.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medq_engine.anchors import contrast_anchor, showing

RESAMPLES = 2000
QUERIES = ("one image", "medoid", "mean", "contrast")
"""What the pool is searched by: each dev image of the fault alone, the one nearest to the others,
their mean, their mean less that of the other dev images of the modality (`anchors`)."""

Findings = Sequence[Sequence[Mapping[str, str]]]


@dataclass(frozen=True)
class Task:
    """A fault to find among the pool images of its modality.

    Attributes:
        shown, others: Dev images of the modality with and without the fault, by position.
        pool: Pool images of the modality, by position.
        hits: True where such a pool image shows the fault, shape (len(pool),).
        untaught: True where it shows any fault that the base was not taught, the same shape.
    """

    modality: str
    fault: str
    shown: np.ndarray
    others: np.ndarray
    pool: np.ndarray
    hits: np.ndarray
    untaught: np.ndarray

    def ceiling(self, k: int) -> float:
        """The lift at k if every image with the fault came first."""
        return min(k, self.hits.sum()) / k / self.hits.mean()


@dataclass(frozen=True)
class Found:
    """What one encoder found.

    Attributes:
        encoder: Its name.
        features: Their number.
        space: How vectors were compared.
        lift: By query and k, precision over base rate of each task, shape (tasks,).
        untaught: Share of the contrast's top 50 with any untaught fault, each task, shape (tasks,).
    """

    encoder: str
    features: int
    space: str
    lift: Mapping[tuple[str, int], np.ndarray]
    untaught: np.ndarray


def tasks(
    dev: Findings,
    dev_modalities: Sequence[str],
    pool: Findings,
    pool_modalities: Sequence[str],
    faults: Sequence[str],
) -> list[Task]:
    """Every modality and fault of `faults` (labels) that both dev and pool show."""
    names = np.asarray(pool_modalities)
    made = []
    for modality in sorted(set(dev_modalities)):
        here = np.flatnonzero(names == modality)
        among = [[finding["label"] for finding in pool[i]] for i in here]
        untaught = np.array([not set(faults).isdisjoint(labels) for labels in among], bool)
        of_modality = np.asarray(dev_modalities) == modality
        for fault in sorted(faults):
            shown = showing(dev, dev_modalities, modality, fault)
            hits = np.array([fault in labels for labels in among], bool)
            if shown.any() and hits.any():
                others = np.flatnonzero(of_modality & ~shown)
                shown = np.flatnonzero(shown)
                made.append(Task(modality, fault, shown, others, here, hits, untaught))
    return made


def lift(scores: np.ndarray, hits: np.ndarray, k: int) -> float:
    """Precision among the k highest scores over the base rate; shapes (images,)."""
    best = np.argsort(-scores, kind="stable")[:k]
    return float(hits[best].mean() / hits.mean())


def queries(vectors: np.ndarray, task: Task) -> dict[str, np.ndarray]:
    """What to search by: arrays of shape (anchors, features) by name, as in QUERIES."""
    shown = np.isin(np.arange(len(vectors)), task.shown)
    others = np.isin(np.arange(len(vectors)), task.others)
    images = vectors[task.shown]
    # Of two images neither is nearer: rounded, so that the first is taken on every machine.
    medoid = images[np.argmax(np.round((images @ images.T).sum(1), 4))]
    found = (
        images,
        medoid[None],
        contrast_anchor(vectors, shown, others, 0.0)[None],
        contrast_anchor(vectors, shown, others)[None],
    )
    return dict(zip(QUERIES, found, strict=True))


def measure(
    encoder: str, space: str, dev: np.ndarray, pool: np.ndarray, asked: Sequence[Task]
) -> Found:
    """Search the pool for every task in every way: `dev` and `pool` are vectors of length 1."""
    lifts: dict[tuple[str, int], list[float]] = {(q, k): [] for q in QUERIES for k in (20, 50)}
    untaught = []
    for task in asked:
        among = pool[task.pool]
        for name, anchors in queries(dev, task).items():
            scores = anchors @ among.T
            for k in (20, 50):
                lifts[name, k].append(float(np.mean([lift(s, task.hits, k) for s in scores])))
        # `scores` are the last query's, the contrast's.
        untaught.append(task.untaught[np.argsort(-scores[0], kind="stable")[:50]].mean())
    arrays = {key: np.array(values) for key, values in lifts.items()}
    return Found(encoder, dev.shape[1], space, arrays, np.array(untaught))


def interval(values: np.ndarray, rng: np.random.Generator) -> tuple[float, float, float]:
    """Mean over tasks with its 95 % percentile bootstrap interval: (mean, low, high)."""
    drawn = values[rng.integers(0, len(values), (RESAMPLES, len(values)))].mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)
