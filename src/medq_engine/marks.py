"""What a description says of the reference's faults: right, wrong severity, missed, invented."""

from collections.abc import Mapping, Sequence

from medq_engine.descriptions import findings_in, verdict_in
from medq_engine.vocabulary import Modality, Verdict

SYMBOLS = {"right": "✓", "wrong severity": "≈", "missed": "○", "invented": "✗", "wrong": "✗"}
"""A mark is told by its words and its symbol, never by a colour alone."""


def marks(
    text: str, findings: Sequence[Mapping[str, str]], verdict: Verdict, modality: Modality
) -> list[dict[str, str]]:
    """A description beside the reference, fault by fault, and its verdict last.

    Args:
        text: What a model wrote.
        findings: The reference's (schema FINDING).
        verdict: The reference's.
        modality: Of the image.

    Returns:
        `what` (a fault with its severity, or the verdict), `mark` (a key of SYMBOLS) and `symbol`;
        first the reference's faults in its order, then those that only the text has.
    """
    said = {finding.label: finding.severity for finding in findings_in(text, modality)}
    true = {finding["label"]: finding["severity"] for finding in findings}
    found = [
        (
            f"{severity} {label}",
            "missed"
            if label not in said
            else "right"
            if said[label] == severity
            else "wrong severity",
        )
        for label, severity in true.items()
    ]
    found += [
        (f"{severity} {label}", "invented") for label, severity in said.items() if label not in true
    ]
    given = verdict_in(text)
    found.append((f"verdict {given or 'not given'}", "right" if given == verdict else "wrong"))
    return [{"what": what, "mark": mark, "symbol": SYMBOLS[mark]} for what, mark in found]
