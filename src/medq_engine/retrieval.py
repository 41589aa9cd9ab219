"""From prototypes to candidates: exact cosine search, a budget that follows the errors, guards.

The threshold and the budget rule e_k^alpha are the paper's (arXiv 2603.19863). Beyond it: every
image is taken once, near-duplicates and images that resemble the benchmark are left out, usual
images of the same sources stand beside the likely failures (`usual`), and a random control arm
shows what the search is worth.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import faiss
import numpy as np
import polars as pl

from medq_engine import usual
from medq_engine.budget import bandit_shares
from medq_engine.config import Retrieve
from medq_engine.encoders import of_length_one
from medq_engine.payoff import Kind, kinds_of
from medq_engine.saturation import Saturated, saturated


@dataclass(frozen=True)
class Candidate:
    """A pool image (its position) fetched for a prototype, with the cosine that fetched it."""

    image: int
    prototype: int
    cosine: float


def capability_shares(
    errors: Sequence[float], masses: Sequence[float], capabilities: Sequence[str], alpha: float
) -> np.ndarray:
    """Each prototype's share of the budget.

    Capability k gets weight e_k^alpha (the paper's rule; alpha 0 is uniform); within a capability
    the prototypes share by failure mass.

    Args:
        errors: Error rate of each prototype's capability.
        masses: Failures of each prototype.
        capabilities: Name of each prototype's capability (question type x modality).
        alpha: Exponent.

    Returns:
        Shares that sum to 1, shape (prototypes,).
    """
    names = np.asarray(capabilities)
    mass = np.asarray(masses, dtype=float)
    weight = np.asarray(errors, dtype=float) ** alpha
    for name in np.unique(names):
        here = names == name
        weight[here] *= mass[here] / mass[here].sum()
    return weight / weight.sum()


def allot(shares: np.ndarray, budget: int) -> np.ndarray:
    """Whole tasks for each share, summing to `budget` (largest remainders, ties to the first)."""
    exact = shares * budget
    whole = np.floor(exact).astype(int)
    rest = np.argsort(-(exact - whole), kind="stable")[: budget - int(whole.sum())]
    whole[rest] += 1
    return whole


def search(anchors: np.ndarray, pool: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest pool vectors of each anchor by cosine (vectors of length 1), nearest first.

    Exact flat search: a few hundred prototypes against a million vectors need seconds.
    """
    index = faiss.IndexFlatIP(pool.shape[1])
    index.add(pool)
    return index.search(anchors, min(k, len(pool)))


def retrieve(
    anchors: np.ndarray,
    anchor_modalities: Sequence[str],
    pool: np.ndarray,
    pool_modalities: Sequence[str],
    allotted: np.ndarray,
    threshold: float,
    near_duplicate: float,
    barred: Collection[int],
) -> list[Candidate]:
    """Candidates of every prototype: above the threshold, of its modality, each image once.

    Prototypes take turns, so that none empties the neighbourhood of another. What a prototype
    cannot spend for want of similar images goes to those that can.

    Args:
        anchors, pool: Vectors of length 1, shapes (prototypes, features), (images, features).
        allotted: Tasks of each prototype.
        threshold: Least cosine.
        near_duplicate: Cosine to a taken candidate above which an image counts as the same.
        barred: Positions of images that must not be taken (labelled before, or leaking).
    """
    names = np.asarray(pool_modalities)
    queues: list[list[tuple[int, float]]] = []
    for anchor, modality in zip(anchors, anchor_modalities, strict=True):
        here = np.flatnonzero(names == modality)
        if not len(here):
            queues.append([])
            continue
        cosines, found = search(anchor[None], pool[here], len(here))
        pairs = zip(here[found[0]].tolist(), cosines[0].tolist(), strict=True)
        queues.append([p for p in pairs if p[1] > threshold and p[0] not in barred])
    taken: dict[int, Candidate] = {}
    left = allotted.astype(int).copy()
    spare = 0
    heads = [0] * len(queues)
    while True:
        moved = False
        for j, queue in enumerate(queues):
            if left[j] == 0 and spare == 0:
                continue
            candidate = _next(queue, heads, j, taken, pool, near_duplicate)
            if candidate is None:
                # What it cannot spend may still serve a prototype that came before it.
                moved = moved or left[j] > 0
                spare += int(left[j])
                left[j] = 0
                continue
            taken[candidate.image] = candidate
            moved = True
            if left[j]:
                left[j] -= 1
            else:
                spare -= 1
        if not moved:
            return sorted(taken.values(), key=lambda c: (c.prototype, -c.cosine, c.image))


def _next(
    queue: list[tuple[int, float]],
    heads: list[int],
    j: int,
    taken: Mapping[int, Candidate],
    pool: np.ndarray,
    near_duplicate: float,
) -> Candidate | None:
    """The best image for prototype j that is neither taken nor nearly the same as a taken one."""
    mine = list(taken)
    while heads[j] < len(queue):
        image, cosine = queue[heads[j]]
        heads[j] += 1
        same = mine and float((pool[mine] @ pool[image]).max()) > near_duplicate
        if image not in taken and not same:
            return Candidate(image, j, cosine)
    return None


@dataclass(frozen=True)
class Plan:
    """What a round fetches.

    Attributes:
        rows: Schema CANDIDATE, with `image` (position in the pool) in place of `image_id`.
        dropped: Kinds of failure that get no budget, with the reason.
    """

    rows: list[dict[str, object]]
    dropped: list[Saturated]


def plan(
    prototypes: pl.DataFrame,
    whitened: np.ndarray,
    modalities: Sequence[str],
    sources: Sequence[str],
    *,
    barred: np.ndarray,
    payoffs: pl.DataFrame,
    errors: Mapping[Kind, float],
    settings: Retrieve,
    rng: np.random.Generator,
) -> Plan:
    """Candidates of every prototype that is not saturated, the usual arm, then the control arm.

    Args:
        prototypes: Schema PROTOTYPE.
        whitened: Pool vectors (`encoders.Space.whitened`), shape (images, features).
        modalities, sources: Modality of each pool image, and where it comes from.
        barred: True where an image must not be taken, shape (images,).
        payoffs: Schema PAYOFF: what labels brought in earlier rounds.
        errors: The incumbent's error rate on dev, by kind.
    """
    control = round(settings.control_share * settings.budget)
    usuals = round(settings.usual_share * settings.budget)
    dropped = saturated(payoffs, errors, rng, **vars(settings.saturation))
    gone = {one.kind for one in dropped}
    kept = prototypes.filter([kind not in gone for kind in kinds_of(prototypes)])
    found: list[Candidate] = []
    if len(kept):
        capabilities = [f"{q}/{m}" for q, m in kept.select("question_type", "modality").iter_rows()]
        shares = capability_shares(
            kept["capability_error"].to_list(), kept["mass"].to_list(), capabilities, settings.alpha
        )
        if settings.budget_rule == "bandit":
            shares = bandit_shares(shares, kinds_of(kept), payoffs, rng)
        found = retrieve(
            np.array(kept["anchor"].to_list(), dtype=np.float32),
            kept["modality"].to_list(),
            of_length_one(whitened),
            modalities,
            allot(shares, settings.budget - control - usuals),
            settings.threshold,
            settings.near_duplicate,
            set(np.flatnonzero(barred).tolist()),
        )
    fetched = [candidate.image for candidate in found]
    distances = np.linalg.norm(whitened, axis=1)
    origins = list(zip(modalities, sources, strict=True))
    matched = usual.draw(distances, origins, fetched, barred, usuals, rng)
    taken = {*fetched, *matched}
    free = [i for i in np.flatnonzero(~barred).tolist() if i not in taken]
    drawn = sorted(rng.permutation(free)[:control].tolist())
    ids = kept["prototype_id"].to_list()
    rows = [
        {"image": c.image, "prototype_id": ids[c.prototype], "arm": "prototype", "cosine": c.cosine}
        for c in found
    ]
    rows += [chosen(image, "usual") for image in matched]
    return Plan(rows + [chosen(image, "control") for image in drawn], dropped)


def chosen(image: int, arm: str) -> dict[str, object]:
    """A row of a plan for an image that no prototype fetched."""
    return {"image": image, "prototype_id": "", "arm": arm, "cosine": None}
