"""How quality is asked about, answered and described: the engine's closed language.

Questions follow MedQ-Bench's three perception types (yes-no, what, how); a description follows its
order: modality, findings, "Overall, the quality of this image is X." (arXiv 2510.01691). Whatever
is written here can be read back by `parse_findings` and `parse_verdict`, so that descriptions are
scored on structure and not on strings.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medq_engine.degradations import for_modality
from medq_engine.vocabulary import (
    MODALITY_LABELS,
    VERDICTS,
    Modality,
    QuestionType,
    Severity,
    Verdict,
)

NO_DEGRADATION = "no degradation"
YES_NO = ("Yes", "No")
SEVERITY_OPTIONS = ("None", "Mild", "Severe")
NEGATION = re.compile(r"\b(?:no|not|without|neither|nor|free of|absence of)\b", re.IGNORECASE)
DESCRIBE = "Describe the quality of this image."


@dataclass(frozen=True)
class Finding:
    """One visible fault: its label (as in `Degradation.label`) and its severity."""

    label: str
    severity: Severity


@dataclass(frozen=True)
class Turn:
    """A question about one image with its answer; `options` is empty for a description."""

    question: str
    options: tuple[str, ...]
    answer: str


def labels(modality: Modality) -> tuple[str, ...]:
    """Every fault that can be named in a modality, in the registry's order."""
    return tuple(degradation.label for degradation in for_modality(modality))


def verdict_of(findings: Sequence[Finding]) -> Verdict:
    """The verdict that follows from findings: severe -> reject, mild -> usable, none -> good."""
    severities = {finding.severity for finding in findings}
    if "severe" in severities:
        return "reject"
    return "usable" if "mild" in severities else "good"


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


def answer(kind: QuestionType, findings: Sequence[Finding], label: str | None = None) -> str:
    """The right answer to `question(kind, ...)` about an image with these findings."""
    worst = max(findings, key=lambda finding: finding.severity == "severe", default=None)
    if kind == "yes-no":
        return "Yes" if any(finding.label == label for finding in findings) else "No"
    if kind == "what":
        return worst.label if worst else NO_DEGRADATION
    return worst.severity.capitalize() if worst else "None"


def describe(modality: Modality, findings: Sequence[Finding]) -> str:
    """A description in MedQ-Bench's order: modality, findings, overall verdict."""
    name = MODALITY_LABELS[modality]
    article = "an" if name[0] in "aeiouM" else "a"  # an MRI image, an endoscopy image
    seen = " ".join(f"There is {f.severity} {f.label}." for f in findings)
    return (
        f"This is {article} {name} image. {seen or 'No degradation is visible.'} "
        f"Overall, the quality of this image is {verdict_of(findings)}."
    )


def parse_findings(text: str, modality: Modality) -> tuple[Finding, ...]:
    """The findings that a description names, in the registry's order of labels.

    A negation denies all that follows it in its clause: "no mild or severe blur", but not "no
    noise, mild blur".
    """
    clauses = re.split(r"[.;,:\n]|\bbut\b|\bhowever\b", text, flags=re.IGNORECASE)
    said = ". ".join(re.split(NEGATION, clause, maxsplit=1)[0] for clause in clauses)
    found = []
    for label in labels(modality):
        pattern = rf"\b(mild|severe)\s+{re.escape(label)}\b"
        match = re.search(pattern, said, re.IGNORECASE)
        if match:
            found.append(Finding(label, match.group(1).lower()))
    return tuple(found)


def denies(text: str) -> bool:
    """True if a description says that there is no degradation at all."""
    return NO_DEGRADATION in text.lower()


def parse_verdict(text: str) -> Verdict | None:
    """The verdict that a description ends with, or None if it names none."""
    pattern = rf"quality of this image is\s+({'|'.join(VERDICTS)})\b"
    matches = re.findall(pattern, text, re.IGNORECASE)
    return matches[-1].lower() if matches else None


def prompt(text: str, options: Sequence[str]) -> str:
    """What the model reads after the image: the question, then the options on a line each."""
    if not options:
        return text
    return text + "\n" + "\n".join(options) + "\nAnswer with one option."


def pick_options(modality: Modality, truth: str, rng: np.random.Generator) -> tuple[str, ...]:
    """Four options of a what-question: the truth, "no degradation" and distractors, shuffled.

    "No degradation" is always among them: an image without a visible fault must be answerable, and
    a model that sees nothing must be able to say so.
    """
    distractors = [label for label in labels(modality) if label != truth]
    fixed = [truth] if truth == NO_DEGRADATION else [truth, NO_DEGRADATION]
    drawn = rng.choice(distractors, size=4 - len(fixed), replace=False)
    return tuple(str(option) for option in rng.permutation([*fixed, *drawn]))


def turns(
    modality: Modality, findings: Sequence[Finding], rng: np.random.Generator
) -> tuple[Turn, ...]:
    """Everything that a full reading of an image teaches: yes-no twice, what, how, a description.

    One yes-no asks about a fault that is there (where there is one), one about a fault that is not:
    a model that always says yes, or always no, gains nothing.
    """
    present = [finding.label for finding in findings]
    absent = str(rng.choice([label for label in labels(modality) if label not in present]))
    asked = [absent, *present[:1]]
    made = [Turn(*question("yes-no", modality, a), answer("yes-no", findings, a)) for a in asked]
    truth = answer("what", findings)
    made.append(Turn(question("what", modality)[0], pick_options(modality, truth, rng), truth))
    made.append(Turn(*question("how", modality), answer("how", findings)))
    made.append(Turn(DESCRIBE, (), describe(modality, findings)))
    return tuple(made)
