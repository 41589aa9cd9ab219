"""Blind baselines: how often a benchmark's answers can be guessed without the image.

A benchmark that can be answered from its questions measures language and not sight (Goyal et al.
2017, arXiv 1612.00837; Chen et al. 2024, arXiv 2403.20330). Two baselines look for what is left to
guess: `answer_only` knows how often an answer or a position was right, `question_only` also reads
question, options and modality. Where neither beats chance, accuracy is owed to the image.

What is asked is learnt from other splits. Folds inside a split would mislead: where its answers are
balanced exactly, a fold with more of one leaves fewer of it to learn from, and accuracy falls below
chance.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

import numpy as np
import polars as pl
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression

from medq_engine.descriptions import FIRST, SECOND
from medq_engine.errors import MedqError
from medq_engine.simulation import seeded
from medq_engine.statistics import paired_bootstrap
from medq_engine.vocabulary import QUESTION_TYPES, SEVERITIES, VERDICTS

TEST = "test"
RESAMPLES = 2000
CONFIDENCE = 0.95
# Weak enough to learn a cue that a few dozen items share, strong enough to stay calm on noise.
INVERSE_PENALTY = 1.0

# Fitted on the items of one question type at `train`, gives the position chosen at each of `test`.
Guesser = Callable[[np.ndarray, np.ndarray], np.ndarray]


class BlindError(MedqError):
    """The baselines cannot be measured; the message says what is missing."""


class Questions:
    """Closed items of one question type, as rows of (item, option).

    Attributes:
        items: The items, schema ITEM.
        right: Position of the right option of each item, shape (items,).
        chance: Share right of a random guess at each item, shape (items,).
        owner: Item of each row, shape (rows,).
        place: Position of each row's option among its item's options, shape (rows,).
        option: Text of each row's option.
    """

    def __init__(self, items: pl.DataFrame) -> None:
        options = items["options"].to_list()
        self.items = items
        self.right = np.array([o.index(a) for o, a in zip(options, items["answer"], strict=True)])
        self.chance = np.array([1 / len(o) for o in options])
        self.owner = np.repeat(np.arange(len(options)), [len(o) for o in options])
        self.place = np.concatenate([np.arange(len(o)) for o in options])
        self.option = np.array([text for o in options for text in o])

    def best(self, scores: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Position of the best option at each chosen item; the first of those that are level.

        Args:
            scores: Score of each row, shape (rows,).
            chosen: Indices of items, shape (n,).
        """
        ranked = np.lexsort((self.place, -scores, self.owner))
        first = np.searchsorted(self.owner[ranked], chosen)
        return self.place[ranked[first]]


def answer_only(questions: Questions) -> Guesser:
    """Always the answer, or always the position, that was right most often when it was on offer.

    Whichever of the two rules is better on the training items is used. An answer that was never on
    offer counts as chance.
    """
    # Answers are told apart by text, or rows by position: a rule is a key of each row.
    keys = (np.unique(questions.option, return_inverse=True)[1], questions.place)
    hits = (questions.place == questions.right[questions.owner]).astype(float)
    chance = questions.chance[questions.owner]

    def guess(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        seen = np.isin(questions.owner, train).astype(float)
        rules = []
        for key in keys:
            # One offer at chance beforehand: a rare answer that was right once is no sure thing.
            offers = np.bincount(key, seen)[key]
            scores = (np.bincount(key, seen * hits)[key] + chance) / (offers + 1)
            right = questions.best(scores, train) == questions.right[train]
            rules.append((right.mean(), scores))
        return questions.best(max(rules, key=lambda rule: rule[0])[1], test)

    return guess


def question_only(questions: Questions) -> Guesser:
    """Logistic regression that ranks the options by TF-IDF of question and options.

    Every option of an item is a row, right or wrong; the likeliest row is the answer. What the
    question says tells options apart only together with them, so that words of the question, the
    modality and the other options are crossed with the option's text and its position.
    """
    counts = CountVectorizer(analyzer=lambda terms: terms).fit_transform(_terms(questions))
    hits = questions.place == questions.right[questions.owner]

    def guess(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        rows = np.isin(questions.owner, train)
        weights = TfidfTransformer(sublinear_tf=True).fit(counts[rows])
        model = LogisticRegression(C=INVERSE_PENALTY, solver="liblinear", random_state=0)
        model.fit(weights.transform(counts[rows]), hits[rows])
        return questions.best(model.decision_function(weights.transform(counts)), test)

    return guess


BASELINES = {"answer_only": answer_only, "question_only": question_only}


def _terms(questions: Questions) -> list[list[str]]:
    """What the ranker may know about each row: never the image, its truth or its origin."""
    made = []
    columns = (questions.items[name] for name in ("question", "modality", "options"))
    for question, modality, options in zip(*columns, strict=True):
        words = question.lower().rstrip("?").split()
        pairs = [f"{first} {second}" for first, second in pairwise(words)]
        lengths = sorted(map(len, options))
        for place, option in enumerate(options):
            others = (f"beside {other}" for other in options if other != option)
            cues = [*words, *pairs, question, modality, *others]
            made.append(
                [
                    f"option {option}",
                    f"place {place}",
                    f"option {option} place {place}",
                    f"length rank {lengths.index(len(option))}",
                    *(f"option {option} | {cue}" for cue in cues),
                    *(f"place {place} | {cue}" for cue in cues),
                ]
            )
    return made


def measure(items_by_split: Mapping[str, pl.DataFrame], seed: int) -> dict[str, object]:
    """Accuracy of the blind baselines on every kind of closed item, beside chance.

    Args:
        items_by_split: Items (schema ITEM) by split, `test` among them; splits share no subject.
        seed: Seed of the resamples.

    Returns:
        `test`: asked on test, learnt from the other splits. `cross_validation`: the same for every
        split in turn. Both hold by question type (a comparison asks which of two images is
        better), and by set of options where a "how" has several: `items`, `chance`, and of either
        baseline `accuracy` and `over_chance` (accuracy less chance), each as `value`, `low`,
        `high` in shares; intervals are 95 % percentile bootstraps over scenes.

    Raises:
        BlindError: There is no split to ask or to learn from, or a question type is in one only.
    """
    if TEST not in items_by_split or len(items_by_split) < 2:
        raise BlindError(f"splits {sorted(items_by_split)}: want {TEST!r} and one to learn from")
    frames = [items.with_columns(split=pl.lit(split)) for split, items in items_by_split.items()]
    closed = (
        pl.concat(frames)
        .with_columns(
            kind=pl.when(pl.col("task") == "perception").then("question_type").otherwise("task"),
            options=pl.when(pl.col("task") == "comparison")
            .then(pl.lit([FIRST, SECOND]))
            .otherwise("options"),
        )
        .filter(pl.col("options").list.len() > 1)
    )
    found: dict[str, dict[str, object]] = {TEST: {}, "cross_validation": {}}
    for kind in sorted(closed["kind"].unique(), key=_rank):
        questions = Questions(closed.filter(pl.col("kind") == kind))
        splits = questions.items["split"].to_numpy()
        if len(set(splits)) < 2:
            raise BlindError(f"question type {kind!r} is in {splits[0]!r} only: nothing to learn")
        right = {name: _asked(questions, build(questions)) for name, build in BASELINES.items()}
        for how, asked in ((TEST, splits == TEST), ("cross_validation", splits != "")):
            for group, inside in _groups(questions, kind):
                chosen = np.flatnonzero(asked & inside)
                if len(chosen):
                    found[how][group] = _compared(questions, right, chosen, seed, how, group)
    return {"confidence": CONFIDENCE, "resamples": RESAMPLES, **found}


def _rank(kind: str) -> tuple[int, str]:
    known = QUESTION_TYPES.index(kind) if kind in QUESTION_TYPES else len(QUESTION_TYPES)
    return known, kind


def _scale(option: str) -> tuple[int, str]:
    words = (*SEVERITIES, *VERDICTS)
    return words.index(option.lower()) if option.lower() in words else len(words), option


def _asked(questions: Questions, guesser: Guesser) -> np.ndarray:
    """Whether each item was guessed right from the other splits, as 0 or 1, shape (items,)."""
    splits = questions.items["split"].to_numpy()
    right = np.zeros(len(splits))
    for split in np.unique(splits):
        test = np.flatnonzero(splits == split)
        chosen = guesser(np.flatnonzero(splits != split), test)
        right[test] = chosen == questions.right[test]
    return right


def _groups(questions: Questions, kind: str) -> Iterator[tuple[str, np.ndarray]]:
    """The question type as a whole and, of "how", each set of options; with a mask over items."""
    yield kind, np.ones(len(questions.right), dtype=bool)
    if kind == "how":
        sets = np.array(
            [", ".join(sorted(options, key=_scale)) for options in questions.items["options"]]
        )
        names = np.unique(sets)
        for name in names if len(names) > 1 else ():
            yield f"{kind} ({name})", sets == name


def _compared(
    questions: Questions,
    right: Mapping[str, np.ndarray],
    chosen: np.ndarray,
    seed: int,
    *where: str,
) -> dict[str, object]:
    chance = questions.chance[chosen]
    scenes = questions.items["scene_id"].gather(chosen).to_list()

    def over(level: np.ndarray, given: np.ndarray) -> dict[str, float]:
        # The same draws for every level, so that both intervals tell the same story.
        rng = seeded("blind", seed, *where)
        gain = paired_bootstrap(level, given, scenes, RESAMPLES, CONFIDENCE, rng)
        return {"value": gain.value, "low": gain.low, "high": gain.high}

    row: dict[str, object] = {"items": len(chosen), "chance": float(chance.mean())}
    for name, given in right.items():
        row[name] = {
            "accuracy": over(np.zeros(len(chosen)), given[chosen]),
            "over_chance": over(chance, given[chosen]),
        }
    return row
