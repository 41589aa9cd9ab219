"""Which images to label, as the literature of active learning chooses them: what ours must beat.

None of these looks for failures: random; the most uncertain answer (Lewis and Gale 1994); greedy
k-center, which covers the pool (Sener and Savarese 2018); TypiClust, which takes the most typical
image of each cluster (Hacohen et al. 2022). All see what the search sees: the pool's vectors, which
images were labelled before, and the incumbent's answers.
"""

from collections.abc import Callable

import numpy as np
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors

TYPICAL_NEIGHBOURS = 20
MOST_CLUSTERS = 500
"""Both as in the paper of TypiClust."""


def entropy(probabilities: list[np.ndarray]) -> np.ndarray:
    """Entropy of each answer distribution, in units of its largest value, shape (answers,)."""
    values = [-(p * np.log(np.maximum(p, 1e-300))).sum() / np.log(len(p)) for p in probabilities]
    return np.array(values)


def most_uncertain(probabilities: list[np.ndarray], rows: np.ndarray, count: int) -> list[int]:
    """Of pool positions `rows`, those with the highest entropy; ties go to the first."""
    order = np.argsort(-entropy(probabilities), kind="stable")[:count]
    return rows[order].tolist()


def k_center(vectors: np.ndarray, free: np.ndarray, labelled: np.ndarray, count: int) -> list[int]:
    """Greedy k-center: always the image farthest from everything labelled or taken so far.

    Args:
        vectors: Pool vectors, shape (images, features).
        free, labelled: Positions that may be taken, and that are labelled already.
        count: How many.
    """
    if not len(free) or not count:
        return []
    points = vectors[free].astype(np.float64)
    # With nothing labelled the image nearest to the mean comes first: no draw, no outlier.
    start = vectors[labelled] if len(labelled) else vectors[free].mean(0, keepdims=True)
    distance = np.full(len(points), np.inf)
    for centre in start:
        distance = np.minimum(distance, np.linalg.norm(points - centre, axis=1))
    taken: list[int] = []
    if not len(labelled):
        taken.append(int(distance.argmin()))
        distance = np.linalg.norm(points - points[taken[0]], axis=1)
    while len(taken) < min(count, len(points)):
        taken.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[taken[-1]], axis=1))
    return free[taken].tolist()


def typical(
    vectors: np.ndarray, free: np.ndarray, labelled: np.ndarray, count: int, seed: int
) -> list[int]:
    """TypiClust: as many clusters as labels in all; the densest image of each uncovered one.

    Clusters with fewest labels come first, of these the largest. Arguments as for `k_center`.
    """
    known = np.concatenate([labelled, free]).astype(int)
    clusters = min(len(labelled) + count, MOST_CLUSTERS, len(known))
    if not clusters:
        return []
    points = vectors[known]
    cluster = KMeans(clusters, n_init=1, random_state=seed).fit_predict(points)
    density = np.zeros(len(known))
    for number in range(clusters):
        here = np.flatnonzero(cluster == number)
        near = min(TYPICAL_NEIGHBOURS, len(here) - 1)
        if near:
            distances, _ = NearestNeighbors(n_neighbors=near).fit(points[here]).kneighbors()
            density[here] = 1 / np.maximum(distances.mean(1), 1e-12)
    covered = np.bincount(cluster[: len(labelled)], minlength=clusters)
    size = np.bincount(cluster, minlength=clusters)
    left = {
        number: iter(sorted(members, key=lambda i: (-density[i], i)))
        for number in range(clusters)
        if (members := [i for i in np.flatnonzero(cluster == number) if i >= len(labelled)])
    }
    taken: list[int] = []
    while len(taken) < count and left:
        number = min(left, key=lambda n: (covered[n], -size[n], n))
        one = next(left[number], None)
        if one is None:
            del left[number]
            continue
        taken.append(int(known[one]))
        covered[number] += 1
    return taken


def choose(
    strategy: str,
    vectors: np.ndarray,
    free: np.ndarray,
    labelled: np.ndarray,
    count: int,
    answers: Callable[[np.ndarray], list[np.ndarray]],
    rng: np.random.Generator,
) -> list[int]:
    """Pool positions that a strategy takes: random, entropy, coreset or typiclust.

    Args:
        strategy: Its name (`retrieve.strategy`).
        vectors, free, labelled, count: As for `k_center`.
        answers: The incumbent's answer distributions for pool positions; asked by entropy alone.
        rng: Of random's draw and of the clusters' starts.
    """
    if strategy == "random":
        return sorted(rng.permutation(free)[:count].tolist())
    if strategy == "entropy":
        return most_uncertain(answers(free), free, count)
    if strategy == "coreset":
        return k_center(vectors, free, labelled, count)
    return typical(vectors, free, labelled, count, int(rng.integers(2**31)))
