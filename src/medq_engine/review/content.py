"""What a reader enters about one image, and how it becomes the text that a model is taught.

A description has two parts: sentences composed from findings (`descriptions.describe`), and free
text behind them. Composing is done here and nowhere else, so that page and file say the same.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from medq_engine.annotations import Reading
from medq_engine.descriptions import PLACES, denies, describe, findings_in, verdict_in
from medq_engine.language import Finding, labels
from medq_engine.review.errors import ReviewError
from medq_engine.vocabulary import VERDICTS, Modality

TEXTS = ("answer", "verdict", "text", "note", "unjudged")
COMPOSED = re.compile(
    rf"(.*?quality of this image is (?:{'|'.join(VERDICTS)})\.)(?: (.*))?", re.DOTALL
)


@dataclass(frozen=True)
class Content:
    """A reading as it is entered.

    Attributes:
        answer: One of the options, or empty.
        verdict: good, usable, reject, or empty.
        findings: What the image shows, in the registry's order.
        text: Free text, appended to the composed description.
        note: For people, not trained on.
        unjudged: Why the image cannot be judged; the rest is empty then, but for the note.
    """

    answer: str = ""
    verdict: str = ""
    findings: tuple[Finding, ...] = ()
    text: str = ""
    note: str = ""
    unjudged: str = ""

    def plain(self) -> dict[str, object]:
        """As JSON holds it."""
        return asdict(self) | {"findings": [asdict(finding) for finding in self.findings]}


def parse(given: object, modality: Modality) -> Content:
    """Content out of a request's JSON.

    Raises:
        ReviewError: It is not of that form, or a finding is none of the modality's.
    """
    if not isinstance(given, Mapping) or set(given) != {*TEXTS, "findings"}:
        raise ReviewError(f"a reading has the fields {', '.join((*TEXTS, 'findings'))}")
    for name in TEXTS:
        if not isinstance(given[name], str):
            raise ReviewError(f"{name!r} of a reading is text")
    if not isinstance(given["findings"], list):
        raise ReviewError("'findings' of a reading is a list")
    found = [_finding(one, modality) for one in given["findings"]]
    order = labels(modality)
    found.sort(key=lambda finding: order.index(finding.label))
    if len({finding.label for finding in found}) < len(found):
        raise ReviewError("a fault is named twice: give the more severe one only")
    return Content(**{name: given[name] for name in TEXTS}, findings=tuple(found))


def _finding(given: object, modality: Modality) -> Finding:
    if not isinstance(given, Mapping) or set(given) != {"label", "severity", "place"}:
        raise ReviewError("a finding has label, severity and place")
    allowed = {
        "label": labels(modality),
        "severity": ("mild", "severe"),
        "place": ("", *PLACES),
    }
    for name, values in allowed.items():
        if given[name] not in values:
            raise ReviewError(f"{name} {given[name]!r} of a finding is none of {list(values)}")
    return Finding(**given)


def compose(content: Content, modality: Modality) -> str:
    """The description that a reading's findings and free text make; empty if they make none.

    The verdict "good" without findings says that there is no degradation. Text that names a verdict
    itself is a whole description (of an import, or written by hand) and stays as it is.

    Raises:
        ReviewError: There is free text, but nothing that it could be appended to.
    """
    whole = verdict_in(content.text) is not None
    if content.findings or (content.verdict == "good" and not whole):
        composed = describe(modality, content.findings)
        return f"{composed} {content.text}" if content.text else composed
    if content.text and not whole:
        raise ReviewError(
            "free text goes behind findings: add one (f), or the verdict good (g) if there is "
            "none; a note (o) needs neither"
        )
    return content.text


def content_of(reading: Reading, modality: Modality) -> Content:
    """A stored reading as it was entered: `compose` makes the same description of it."""
    description, verdict = str(reading["description"]), str(reading["verdict"])
    findings: tuple[Finding, ...] = ()
    text = description
    parts = COMPOSED.fullmatch(description)
    if parts and describe(modality, findings_in(parts[1], modality)) == parts[1]:
        findings, text = findings_in(parts[1], modality), parts[2] or ""
        if denies(parts[1]):
            verdict = "good"
    return Content(
        answer=str(reading["answer"]),
        verdict=verdict,
        findings=findings,
        text=text,
        note=str(reading["note"]),
        unjudged=str(reading["unjudged"]),
    )
