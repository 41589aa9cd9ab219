"""What MedQ-Bench's texts tell of an item where its files have no column for it.

All readers are cautious: a text that names none, or more than one, says nothing.
"""

import re
from collections.abc import Sequence

from medq_engine.descriptions import FIRST, SECOND
from medq_engine.vocabulary import VERDICTS, Modality, QuestionType, Verdict

ALIASES: dict[Modality, tuple[str, ...]] = {
    "mri": ("mri", "mr", "magnetic resonance"),
    "ct": ("ct", "computed tomography"),
    "histopathology": ("histopathology", "histopathological", "histology", "histological"),
    "endoscopy": ("endoscopy", "endoscopic", "colonoscopy", "colonoscopic", "gastroscopy"),
    "fundus": ("fundus", "fundoscopy", "retinal"),
}
# Alone they name a modality, in a sentence they need not.
NAMES_ALONE: dict[str, Modality] = {"pathology": "histopathology", "retina": "fundus"}
OTHER_MODALITIES = ("pet", "spect", "ultrasound", "x ray", "radiograph", "oct", "mammography")

_NAMED = re.compile(
    r"\b(?:(?P<nth>first|second) (?:image|one|picture|scan)|image (?P<sign>[ab12]))\b"
)
_OTHER = re.compile(
    r"\b(?:than|over|to|with)(?: that of)?(?: the)?"
    r" (?:(?:first|second)(?: (?:image|one|picture|scan))?|image [ab12])\b"
)
_BETTER, _WORSE = (
    re.compile(
        rf"\b(?:{words})\W+(?:\w+\W+){{0,3}}?quality\b"
        rf"|\bquality\W+(?:\w+\W+){{0,6}}?(?:{words})\b"
        rf"|\bis\W+(?:\w+\W+){{0,2}}?(?:{alone})\b"
    )
    for words, alone in (
        ("better|best|higher|highest|superior", "better|superior|preferable|preferred"),
        ("worse|worst|lower|lowest|poorer|inferior", "worse|inferior"),
    )
)
_DENIED = re.compile(r"\b(?:no|not|neither|nor|same|equal|similar)\b")
_VERDICT = re.compile(
    rf"\bquality(?: of (?:this|the) [\w -]+?)? is\W+({'|'.join(VERDICTS)})\b", re.IGNORECASE
)


def modalities_in(text: str) -> set[Modality]:
    """The modalities that a text names."""
    words = _spaced(text)
    return {m for m, aliases in ALIASES.items() if any(f" {a} " in words for a in aliases)}


def modality_of_name(name: str) -> Modality | None:
    """The modality that a name such as "Fundus Photography" stands for, or None."""
    words = _spaced(name)
    if any(f" {other} " in words for other in OTHER_MODALITIES):
        return None
    found = modalities_in(name) or {NAMES_ALONE.get(words.strip())}
    return found.pop() if len(found) == 1 else None


def _spaced(text: str) -> str:
    return f" {re.sub(r'[^a-z0-9]+', ' ', text.casefold())} "


def question_type_of(question: str, options: Sequence[str]) -> QuestionType:
    """MedQ-Bench's type of a perception question: by its options yes-no, else by its first word."""
    if {"yes", "no"} <= {option.strip(" .").casefold() for option in options}:
        return "yes-no"
    return "how" if re.match(r"how\b", question, re.IGNORECASE) else "what"


def overall_verdict(text: str) -> Verdict | None:
    """The verdict of a description: the last "(overall) quality (of this ...) is <verdict>"."""
    verdicts = _VERDICT.findall(text)
    return verdicts[-1].lower() if verdicts else None


def better_image(text: str) -> str:
    """Which image a comparison prefers: FIRST, SECOND, or "" if it names none.

    The last clause that judges the quality of one image decides; a clause that names both, or that
    denies, is passed over.
    """
    clauses = re.split(r"[.;!\n]|\bwhile\b|\bwhereas\b|\bbut\b", text.casefold())
    for clause in reversed(clauses):
        said = _OTHER.sub(" ", clause)
        named = {
            FIRST if match["nth"] == "first" or match["sign"] in ("a", "1") else SECOND
            for match in _NAMED.finditer(said)
        }
        better, worse = bool(_BETTER.search(said)), bool(_WORSE.search(said))
        if len(named) == 1 and better != worse and not _DENIED.search(said):
            return FIRST if (FIRST in named) == better else SECOND
    return ""
