"""What a reader writes about the quality of an image, and reading it back.

The order is MedQ-Bench's (arXiv 2510.01691): modality and anatomy, clarity, contrast and noise, the
faults with place and severity, what follows for reading, "Overall, the quality of this image is X."
Sentences have several phrasings; `findings_in` and `verdict_in` read all of them back, so that a
description is scored on its structure and not on its words.
"""

import re
from collections.abc import Sequence

import numpy as np

from medq_engine.degradations import for_modality
from medq_engine.language import (
    NO_DEGRADATION,
    Finding,
    Turn,
    answer,
    labels,
    pick_options,
    quality_question,
    question,
    unlike,
    verdict_of,
)
from medq_engine.vocabulary import MODALITY_LABELS, VERDICTS, Modality, Severity, Verdict

DESCRIBE = "Describe the quality of this image."
COMPARE = "Which of the two images has the better quality, and why?"
FIRST, SECOND = "first image", "second image"
NEGATION = re.compile(r"\b(?:no|not|without|neither|nor|free of|absence of)\b", re.IGNORECASE)
PLACES = (
    *(f"in the {row} {column}" for row in ("upper", "lower") for column in ("left", "right")),
    *("at the top", "at the bottom", "on the left", "on the right", "in the centre"),
    *(f"in the {half} half" for half in ("upper", "lower", "left", "right")),
    "throughout the image",
)

# The first phrasing of each is the one that a model is taught and that questions are made from.
OPENINGS = (
    "This is {article} {name} image{of}.",
    "The picture is {article} {name} image{of}.",
    "Shown is {article} {name} image{of}.",
)
IMPRESSIONS = (
    "Clarity is {clarity}, contrast is {contrast}, noise is {noise}.",
    "At first sight the clarity is {clarity}, the contrast {contrast} and the noise {noise}.",
    "It has {clarity} clarity and {contrast} contrast, and its noise is {noise}.",
)
SEEN = (
    "There is {severity} {label}{place}.",
    "One sees {severity} {label}{place}.",
    "The image shows {severity} {label}{place}.",
    "It has {severity} {label}{place}.",
)
CLEAN = (
    "No degradation is visible.",
    "There is no degradation.",
    "One sees no degradation.",
    "The image shows no degradation.",
)
CONSEQUENCES: dict[Verdict, tuple[str, ...]] = {
    "good": (
        "It is fit for diagnosis.",
        "All structures can be judged.",
        "Reading is not hindered.",
    ),
    "usable": (
        "It can be read with care.",
        "Fine detail is harder to judge, but the image can be read.",
        "Diagnosis is still possible.",
    ),
    "reject": (
        "It is not fit for diagnosis.",
        "Anatomy cannot be judged with confidence.",
        "The acquisition should be repeated.",
    ),
}
LEVELS: dict[str, dict[Severity, str]] = {
    "clarity": {"none": "good", "mild": "reduced", "severe": "poor"},
    "contrast": {"none": "good", "mild": "reduced", "severe": "poor"},
    "noise": {"none": "low", "mild": "raised", "severe": "high"},
}


def impression(modality: Modality, findings: Sequence[Finding]) -> dict[str, str]:
    """The level of clarity, contrast and noise that findings leave."""
    aspect = {degradation.label: degradation.aspect for degradation in for_modality(modality)}
    levels: dict[str, str] = {}
    for name, words in LEVELS.items():
        hit = {finding.severity for finding in findings if aspect[finding.label] == name}
        levels[name] = words["severe" if "severe" in hit else "mild" if hit else "none"]
    return levels


def describe(
    modality: Modality,
    findings: Sequence[Finding],
    anatomy: str = "",
    rng: np.random.Generator | None = None,
) -> str:
    """A description in MedQ-Bench's order.

    Args:
        modality: What kind of image it is.
        findings: The faults, in the order in which they are named.
        anatomy: What the image shows ("brain"), left out if empty.
        rng: Draws the phrasing of each sentence; without it, the first of each.
    """

    def pick(phrasings: Sequence[str]) -> str:
        return phrasings[0 if rng is None else int(rng.integers(len(phrasings)))]

    name = MODALITY_LABELS[modality]
    article = "an" if name[0] in "aeiouM" else "a"  # an MRI image, an endoscopy image
    of = f" of the {anatomy}" if anatomy else ""
    verdict = verdict_of(findings)
    seen = [
        pick(SEEN).format(
            severity=finding.severity,
            label=finding.label,
            place=f" {finding.place}" if finding.place else "",
        )
        for finding in findings
    ]
    return " ".join(
        [
            pick(OPENINGS).format(article=article, name=name, of=of),
            pick(IMPRESSIONS).format(**impression(modality, findings)),
            *(seen or [pick(CLEAN)]),
            pick(CONSEQUENCES[verdict]),
            f"Overall, the quality of this image is {verdict}.",
        ]
    )


def findings_in(text: str, modality: Modality) -> tuple[Finding, ...]:
    """The findings that a description names, in the registry's order of labels.

    A negation denies all that follows it in its clause: "no mild or severe blur", but not "no
    noise, mild blur".
    """
    clauses = re.split(r"[.;,:\n]|\bbut\b|\bhowever\b", text, flags=re.IGNORECASE)
    said = ". ".join(re.split(NEGATION, clause, maxsplit=1)[0] for clause in clauses)
    places = "|".join(PLACES)
    found = []
    for label in labels(modality):
        pattern = rf"\b(mild|severe)\s+{re.escape(label)}\b(?:\s+({places}))?"
        match = re.search(pattern, said, re.IGNORECASE)
        if match:
            found.append(Finding(label, match[1].lower(), (match[2] or "").lower()))
    return tuple(found)


def denies(text: str) -> bool:
    """True if a description says that there is no degradation at all."""
    return NO_DEGRADATION in text.lower()


def verdict_in(text: str) -> Verdict | None:
    """The verdict that a description ends with, or None if it names none."""
    pattern = rf"quality of this image is\s+({'|'.join(VERDICTS)})\b"
    matches = re.findall(pattern, text, re.IGNORECASE)
    return matches[-1].lower() if matches else None


def compare(
    modality: Modality,
    first: Sequence[Finding],
    second: Sequence[Finding],
    anatomy: str,
    better: str,
) -> str:
    """Why one image of a pair is better: what each shows, and the verdict between them.

    Args:
        modality: Of both images.
        first, second: What each image shows.
        anatomy: What both show, left out if empty.
        better: FIRST or SECOND.
    """

    def shows(findings: Sequence[Finding]) -> str:
        named = [f"{finding.severity} {finding.label}" for finding in findings]
        return " and ".join(named) or NO_DEGRADATION

    of = f" of the {anatomy}" if anatomy else ""
    return (
        f"Both are {MODALITY_LABELS[modality]} images{of}. "
        f"The {FIRST} shows {shows(first)}; its quality is {verdict_of(first)}. "
        f"The {SECOND} shows {shows(second)}; its quality is {verdict_of(second)}. "
        f"Overall, the {better} has the better quality."
    )


def turns(
    modality: Modality, findings: Sequence[Finding], rng: np.random.Generator
) -> tuple[Turn, ...]:
    """Everything that a full reading of an image teaches: yes-no twice, what, how twice, a text.

    One yes-no asks about a fault that is there (where there is one), one about a fault that is not:
    a model that always says yes, or always no, gains nothing.
    """
    present = [finding.label for finding in findings]
    asked = [str(rng.choice(unlike(modality, present)))]
    if present:
        asked.append(str(rng.choice(present)))
    made = [Turn(*question("yes-no", modality, a), answer("yes-no", findings, a)) for a in asked]
    options = pick_options(modality, findings, rng)
    made.append(Turn(question("what", modality)[0], options, answer("what", findings)))
    for text, levels in (question("how", modality), quality_question(modality)):
        made.append(Turn(text, levels, answer("how", findings, options=levels)))
    # Without places: the views that a model is trained on are mirrored and shifted.
    bare = [Finding(finding.label, finding.severity) for finding in findings]
    made.append(Turn(DESCRIBE, (), describe(modality, bare)))
    return tuple(made)
