"""How probable each possible answer to a task is, given what model and draft annotator say.

A conditional logit (McFadden 1974) pools what speaks for each option (`evidence`); its weights are
fitted on dev, where the truth is known, so that two witnesses who err together count for less than
two who do not. Biases of a modality towards an option are random effects (a ridge). It is a linear
version of Dawid and Skene's model (1979) with known truth for the images of dev.

Dev shows every fault equally often, and a batch does not. Prevalences in the batch are estimated by
expectation maximisation (Saerens, Latinne and Decaestecker 2002), held towards those of dev by a
Dirichlet prior: a batch resembles failures, so a strong correction would be trusted too far.
Images that were drawn because they look usual (`usual`) resemble none: of these the share without a
fault is estimated by itself, over all modalities.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from medq_engine import risk
from medq_engine.evidence import NOTHING, Evidence, Said, Task, evidence_of
from medq_engine.vocabulary import QUESTION_TYPES, Route

# Before any data: a witness's log-probability counts in part, a draft's word as much as an odds
# ratio of 7; standard deviation 1. Biases have mean 0 and variance 1 / BIAS_RIDGE.
DRAFT_WEIGHT, OWN_WEIGHT = 2.0, 0.7
RIDGE, BIAS_RIDGE = 1.0, 2.0
PRIOR_TASKS, USUAL_TASKS = 30, 10
"""Pseudo-tasks an option that hold the prevalences of a batch to those of dev, and the share of
usual images without a fault; chosen with the truth of simulated batches at hand."""
STEPS = 50
FOLDS = 5


@dataclass(frozen=True)
class Trust:
    """A fitted pool of witnesses, for one question type.

    Attributes:
        weights: Of the features, shape (features,).
        biases: By group and option.
        prevalence: Share of each option among dev's images, by group, shape (options,).
    """

    weights: np.ndarray
    biases: dict[tuple[str, str], float]
    prevalence: dict[str, np.ndarray]

    def posterior(self, evidence: Evidence) -> np.ndarray:
        """Probability of each option at dev's prevalences, shape (tasks, most options)."""
        bias = np.zeros(evidence.there.shape)
        for n, (group, options) in enumerate(zip(evidence.groups, evidence.options, strict=True)):
            bias[n, : len(options)] = [self.biases.get((group, option), 0.0) for option in options]
        return _softmax(evidence.features @ self.weights + bias, evidence.there)

    def shifted(self, evidence: Evidence, usual: np.ndarray) -> np.ndarray:
        """Probability of each option at the prevalences of the tasks themselves.

        Args:
            evidence: Of the tasks.
            usual: True where an image was drawn because it looks usual, shape (tasks,).
        """
        found = self.posterior(evidence)
        groups = np.array(evidence.groups)
        known = sorted(self.prevalence.keys() & set(evidence.groups))
        for group in known:
            here = np.flatnonzero((groups == group) & ~usual)
            before = self.prevalence[group]
            found[here, : len(before)] = at_prevalence(found[here, : len(before)], before)
        apart = np.flatnonzero(usual & np.isin(groups, known))
        if len(apart):
            found[apart] = self._denied_more(evidence[apart], found[apart])
        return found

    def _denied_more(self, evidence: Evidence, posterior: np.ndarray) -> np.ndarray:
        """Posteriors at the share of tasks that deny a fault, which is one for all modalities."""
        denies = np.zeros(posterior.shape, dtype=bool)
        for n, options in enumerate(evidence.options):
            denies[n, : len(options)] = [option in NOTHING for option in options]
        at_dev = np.mean(
            [
                self.prevalence[group][row[: len(self.prevalence[group])]].sum()
                for group, row in zip(evidence.groups, denies, strict=True)
            ]
        )
        denied = (posterior * denies).sum(1)
        either = np.stack([denied, 1 - denied], axis=1)
        moved = at_prevalence(either, np.array([at_dev, 1 - at_dev]), USUAL_TASKS)
        odds = moved / np.maximum(either, 1e-12)
        return posterior * np.where(denies, odds[:, :1], odds[:, 1:])


def at_prevalence(
    posterior: np.ndarray, before: np.ndarray, prior_tasks: int = PRIOR_TASKS
) -> np.ndarray:
    """Posteriors moved from known prevalences to those that explain them best (Saerens et al.).

    Args:
        posterior: Shape (tasks, options).
        before: Prevalences under which they hold, shape (options,).
        prior_tasks: How many tasks an option hold them there.
    """
    strength = prior_tasks * len(before)
    now, moved = before, posterior
    for _ in range(STEPS):
        moved = posterior * (now / before)
        moved /= moved.sum(1, keepdims=True)
        now = (moved.sum(0) + strength * before) / (len(posterior) + strength)
    return moved


def fit(evidence: Evidence, truth: np.ndarray, start: Trust | None = None) -> Trust:
    """Fit the pool on tasks with a known answer.

    Args:
        evidence: Of tasks of one question type.
        truth: Position of the right answer, shape (tasks,).
        start: A fit of much the same tasks: sooner there. The optimum is one, wherever it starts.
    """
    pairs = {
        (group, option)
        for group, options in zip(evidence.groups, evidence.options, strict=True)
        for option in options
        if group
    }
    names = sorted(pairs)
    place = {pair: n for n, pair in enumerate(names)}
    which = np.full(evidence.there.shape, len(names))  # the last bias is 0
    for n, (group, options) in enumerate(zip(evidence.groups, evidence.options, strict=True)):
        which[n, : len(options)] = [place.get((group, option), len(names)) for option in options]
    rows, width = np.arange(len(truth)), evidence.features.shape[2]
    mean = np.zeros(width)
    mean[:2] = OWN_WEIGHT, DRAFT_WEIGHT

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        weights, biases = values[:width], np.append(values[width:], 0.0)
        chance = _softmax(evidence.features @ weights + biases[which], evidence.there)
        away = weights - mean
        value = -np.log(np.maximum(chance[rows, truth], 1e-300)).sum()
        value += (RIDGE * away @ away + BIAS_RIDGE * biases @ biases) / 2
        chance[rows, truth] -= 1
        slope = np.einsum("no,nof->f", chance, evidence.features) + RIDGE * away
        pull = np.bincount(which.ravel(), chance.ravel(), len(names) + 1)[:-1]
        return value, np.concatenate([slope, pull + BIAS_RIDGE * biases[:-1]])

    first = np.concatenate([mean, np.zeros(len(names))])
    if start:
        first = np.concatenate([start.weights, [start.biases.get(name, 0.0) for name in names]])
    best = minimize(loss, first, jac=True, method="L-BFGS-B").x
    biases = dict(zip(names, best[width:].tolist(), strict=True))
    return Trust(best[:width], biases, _prevalence(evidence, truth))


def _prevalence(evidence: Evidence, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Share of each option by group, with half a task added to each (Jeffreys)."""
    groups, found = np.array(evidence.groups), {}
    for group in sorted(set(evidence.groups)):
        here = np.flatnonzero(groups == group)
        counts = np.bincount(truth[here], minlength=len(evidence.options[here[0]])) + 0.5
        found[group] = counts / counts.sum()
    return found


def _softmax(scores: np.ndarray, there: np.ndarray) -> np.ndarray:
    scores = np.where(there, scores, -np.inf)
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def cross_fitted(
    evidence: Evidence, truth: np.ndarray, scenes: Sequence[str], start: Trust
) -> np.ndarray:
    """Posteriors of known tasks, each from a fit that saw nothing of its scene.

    Args:
        evidence, truth: As in `fit`.
        scenes: Of each task.
        start: The fit on all of them.
    """
    names = {scene: n for n, scene in enumerate(sorted(set(scenes)))}
    folds = np.array([names[scene] % FOLDS for scene in scenes])
    found = np.zeros(evidence.there.shape)
    for fold in np.unique(folds):
        inside, outside = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        trust = fit(evidence[outside], truth[outside], start) if len(outside) else None
        # One scene only: nothing else is known, so every option is as probable as the next.
        found[inside] = (
            trust.posterior(evidence[inside])
            if trust
            else _softmax(np.zeros(evidence.there[inside].shape), evidence.there[inside])
        )
    return found


@dataclass(frozen=True)
class Belief:
    """Posteriors of tasks of one question type, and of the known ones that they rest on.

    Attributes:
        tasks: Shape (tasks, most options), at the batch's prevalences.
        evidence: Of the tasks.
        known: Shape (known tasks, most options), cross-fitted, at dev's prevalences.
        known_evidence: Of the known tasks.
        truth: Position of the right answer of each known task.
    """

    tasks: np.ndarray
    evidence: Evidence
    known: np.ndarray
    known_evidence: Evidence
    truth: np.ndarray


def believe(tasks: Sequence[Task], known: Sequence[Task], said: Said) -> Belief:
    """What to believe about tasks of one question type, from known tasks of the same type.

    Without a known task nothing is believed: every option is as probable as the next.
    """
    evidence = evidence_of(tasks, said)
    if not known:
        even = _softmax(np.zeros(evidence.there.shape), evidence.there)
        none = np.zeros(0, dtype=int)
        return Belief(even, evidence, even[none], evidence[none], none)
    seen = evidence_of(known, said)
    truth = np.array([list(row["options"]).index(row["truth"]) for row in known])
    trust = fit(seen, truth)
    return Belief(
        tasks=trust.shifted(evidence, np.array([task["arm"] == "usual" for task in tasks])),
        evidence=evidence,
        known=cross_fitted(seen, truth, [row["scene_id"] for row in known], trust),
        known_evidence=seen,
        truth=truth,
    )


@dataclass(frozen=True)
class Trusted:
    """What the trust model says of a batch.

    Attributes:
        chances: Probability of each option of each task.
        by: The more probable one of `model` and `draft`, for each task.
        errors: Probability that it is wrong, corrected by dev, shape (tasks,).
        spread: Standard deviation of the log odds of an error, by question type.
    """

    chances: list[np.ndarray]
    by: list[Route]
    errors: np.ndarray
    spread: dict[str, float]


def trust_in(tasks: Sequence[Task], known: Sequence[Task], said: Said) -> Trusted:
    """What to believe of a batch.

    Args:
        tasks: Of the batch.
        known: Of dev (`evidence.known_tasks`).
        said: Answers to everything that `evidence.to_ask` asks of both.
    """
    chances: list[np.ndarray] = [np.zeros(0)] * len(tasks)
    by: list[Route] = ["model"] * len(tasks)
    errors, spread = np.zeros(len(tasks)), {}
    for kind in QUESTION_TYPES:
        places = [n for n, task in enumerate(tasks) if task["question_type"] == kind]
        if not places:
            continue
        alike = [row for row in known if row["question_type"] == kind]
        belief = believe([tasks[n] for n in places], alike, said)
        given, dev_errors = better(belief.known_evidence, belief.known)
        wrong = given != belief.truth
        found = risk.correction(dev_errors, wrong)
        answers, raw = better(belief.evidence, belief.tasks)
        errors[places] = risk.odds_times(raw, found.mean)
        spread[kind] = found.sd
        for row, n in enumerate(places):
            chances[n] = belief.tasks[row, : len(tasks[n]["options"])]
            by[n] = "model" if answers[row] == belief.evidence.own[row] else "draft"
    return Trusted(chances, by, errors, spread)


def better(evidence: Evidence, posterior: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The more probable one of the model's answer and the draft, and how probably it is wrong.

    Returns:
        Positions of the answers and probabilities, both of shape (tasks,).
    """
    rows = np.arange(len(posterior))
    own, draft = posterior[rows, evidence.own], posterior[rows, evidence.draft]
    by_draft = (evidence.draft >= 0) & (draft > own)
    answers = np.where(by_draft, evidence.draft, evidence.own)
    return answers, 1 - posterior[rows, answers]
