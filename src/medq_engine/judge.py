"""Judging descriptions offline on MedQ-Bench's four axes, by findings and verdict.

Each axis is 0, 1 or 2 (arXiv 2510.01691); text that states nothing scores nothing, it is never
dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from medq_engine.descriptions import denies, findings_in, verdict_in
from medq_engine.language import Finding, verdict_of
from medq_engine.vocabulary import VERDICTS, Modality, Verdict

AXES = ("completeness", "preciseness", "consistency", "quality")


@dataclass(frozen=True)
class Judgement:
    """Scores of one description, each 0-2."""

    completeness: int
    preciseness: int
    consistency: int
    quality: int


def _distance(a: Verdict | None, b: Verdict) -> int:
    """Score of verdict `a` against `b`: 2 the same, 1 adjacent, 0 two levels off or missing."""
    return 0 if a is None else 2 - abs(VERDICTS.index(a) - VERDICTS.index(b))


def judge(text: str, true: Sequence[Finding], verdict: Verdict, modality: Modality) -> Judgement:
    """Score a description against the reference's findings (`true`) and verdict.

    - completeness: 2 if every reference finding is named with its severity, 1 if a part is (some
      findings, or the right fault at the wrong severity), 0 if none; a fine image is complete when
      the text says so.
    - preciseness: 2 without contradiction, 1 with a wrong severity only, 0 with a fault that the
      reference does not have, or a denial of one that it has.
    - consistency: 2 if the text's own verdict follows from its own findings, 1 one level off, 0
    else.
    - quality: 2 if the verdict is the reference's, 1 one level off, 0 else.
    """
    said = findings_in(text, modality)
    denied = denies(text)
    severities = {finding.label: finding.severity for finding in true}
    hits = [severities[f.label] == f.severity for f in said if f.label in severities]
    if true:
        whole = len(hits) == len(true) and all(hits)
        completeness = 2 if whole else int(bool(hits))
    else:
        completeness = 2 if denied and not said else 0
    false_finding = any(finding.label not in severities for finding in said)
    if false_finding or (denied and true) or not (said or denied):
        preciseness = 0
    else:
        preciseness = 2 if all(hits) else 1
    given = verdict_in(text)
    consistency = _distance(given, verdict_of(said)) if said or denied else 0
    quality = _distance(given, verdict)
    return Judgement(completeness, preciseness, consistency, quality)
