"""How quality is asked about, answered and described: the engine's closed language.

Questions follow MedQ-Bench's three perception types (yes-no, what, how), arXiv 2510.01691. Truth is
a list of findings, and everything that is asked or said follows from it. Descriptions stand in
`descriptions`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase

import numpy as np
from PIL import Image

from medq_engine.degradations import for_modality
from medq_engine.vocabulary import (
    MODALITY_LABELS,
    AnswerFormat,
    Modality,
    QuestionType,
    Severity,
    Verdict,
)

NO_DEGRADATION = "no degradation"
YES_NO = ("Yes", "No")
SEVERITY_OPTIONS = ("None", "Mild", "Severe")
QUALITY_OPTIONS = ("Good", "Usable", "Reject")
LETTERS = ascii_uppercase
MANY = 3
"""So many faults at once spoil an image even when each is mild."""


@dataclass(frozen=True)
class Finding:
    """One visible fault: its label (as in `Degradation.label`), its severity, where it lies.

    `place` is a phrase ("in the upper left") or empty where it is not known; two findings are the
    same if label and severity are.
    """

    label: str
    severity: Severity
    place: str = field(default="", compare=False)


@dataclass(frozen=True)
class Turn:
    """A question about one image with its answer; `options` is empty for a description."""

    question: str
    options: tuple[str, ...]
    answer: str


@dataclass(frozen=True)
class Sample:
    """One image with everything that is taught about it; `weight` scales its loss."""

    image: Image.Image
    turns: tuple[Turn, ...]
    weight: float = 1.0


def labels(modality: Modality) -> tuple[str, ...]:
    """Every fault that can be named in a modality, in the registry's order."""
    return tuple(degradation.label for degradation in for_modality(modality))


def unlike(modality: Modality, seen: Iterable[str]) -> tuple[str, ...]:
    """The faults of a modality that look like none of those in `seen` (labels).

    Only these may be offered beside them: "blur" is no wrong answer where the image is out of
    focus.
    """
    family = {degradation.label: degradation.family for degradation in for_modality(modality)}
    taken = {family[label] for label in seen}
    return tuple(label for label in family if family[label] not in taken)


def verdict_of(findings: Sequence[Finding]) -> Verdict:
    """The verdict that follows from findings.

    none -> good; one or two mild ones -> usable; a severe one, or three and more -> reject.
    """
    if len(findings) >= MANY or any(finding.severity == "severe" for finding in findings):
        return "reject"
    return "usable" if findings else "good"


def worst(findings: Sequence[Finding]) -> Severity:
    """The highest severity among findings, `none` without any."""
    severities = {finding.severity for finding in findings}
    return "severe" if "severe" in severities else "mild" if severities else "none"


def question(
    kind: QuestionType, modality: Modality, label: str | None = None
) -> tuple[str, tuple[str, ...]]:
    """The question of a type with its full list of options; yes-no asks about `label`."""
    name = MODALITY_LABELS[modality]
    if kind == "yes-no":
        return f"Is there {label} in this {name} image?", YES_NO
    if kind == "what":
        text = f"Which degradation is most visible in this {name} image?"
        return text, (NO_DEGRADATION, *labels(modality))
    return f"How severe is the degradation in this {name} image?", SEVERITY_OPTIONS


def quality_question(modality: Modality) -> tuple[str, tuple[str, ...]]:
    """The other how-question, about the image as a whole: its verdict."""
    return f"How good is the overall quality of this {MODALITY_LABELS[modality]} image?", (
        QUALITY_OPTIONS
    )


def answer(
    kind: QuestionType,
    findings: Sequence[Finding],
    label: str | None = None,
    options: Sequence[str] = (),
) -> str:
    """The right answer about an image with these findings.

    Args:
        kind: Type of the question.
        findings: What the image shows.
        label: The fault that a yes-no question asks about.
        options: What is offered; it tells the two how-questions apart, and of several faults a
            what-question means the most severe one that it offers.
    """
    if kind == "yes-no":
        return "Yes" if any(finding.label == label for finding in findings) else "No"
    if kind == "how":
        if tuple(options) == QUALITY_OPTIONS:
            return verdict_of(findings).capitalize()
        return worst(findings).capitalize()
    offered = [finding for finding in findings if not options or finding.label in options]
    found = max(offered, key=lambda finding: finding.severity == "severe", default=None)
    return found.label if found else NO_DEGRADATION


def prompt(text: str, options: Sequence[str], form: AnswerFormat = "text") -> str:
    """What the model reads after the image: the question, then the options on a line each."""
    if not options:
        return text
    if form == "text":
        return text + "\n" + "\n".join(options) + "\nAnswer with one option."
    lines = (f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))
    return text + "\n" + "\n".join(lines) + "\nAnswer with the letter of one option only."


def reply(options: Sequence[str], chosen: str, form: AnswerFormat = "text") -> str:
    """What the model is to say for a chosen option: the option itself or its letter."""
    return LETTERS[options.index(chosen)] if options and form == "letter" else chosen


def pick_options(
    modality: Modality, findings: Sequence[Finding], rng: np.random.Generator
) -> tuple[str, ...]:
    """Up to four options of a what-question: the truth, "no degradation" and distractors, shuffled.

    "No degradation" is always among them: an image without a visible fault must be answerable, and
    a model that sees nothing must be able to say so. No distractor looks like what the image shows
    or like another one.
    """
    truth = answer("what", findings)
    options = [truth] if truth == NO_DEGRADATION else [truth, NO_DEGRADATION]
    seen = [finding.label for finding in findings]
    while len(options) < 4 and (others := unlike(modality, seen)):
        options.append(str(rng.choice(others)))
        seen.append(options[-1])
    return tuple(str(option) for option in rng.permutation(options))
