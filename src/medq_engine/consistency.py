"""Whether a model says the same thing each time that it describes an image.

Several sampled descriptions that agree in what they state come from a model that knows what it
sees, whatever their words (semantic entropy, Kuhn et al. 2023, arXiv 2302.09664, asks the same of
answers).
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from medq_engine.descriptions import denies, findings_in, verdict_in
from medq_engine.language import NO_DEGRADATION
from medq_engine.vocabulary import Modality


def statements(text: str, modality: Modality) -> frozenset[tuple[str, ...]]:
    """What a description states: every fault, every fault's severity, "no degradation", verdict.

    A fault and its severity are two statements, so that mild and severe blur agree on the blur.
    """
    found = findings_in(text, modality)
    verdict = verdict_in(text)
    return frozenset(
        {("fault", finding.label) for finding in found}
        | {("severity", finding.label, finding.severity) for finding in found}
        | ({("fault", NO_DEGRADATION)} if denies(text) else set())
        | ({("verdict", verdict)} if verdict else set())
    )


def description_consistency(texts: Sequence[str], modality: Modality) -> float:
    """Semantic consistency of several descriptions of one image, 0 (none) to 1 (all say the same).

    The mean over all pairs of texts of the Jaccard index of their statements (`statements`): shared
    ones by all that either makes. Texts that state nothing agree with none, not even one another.

    Args:
        texts: At least two descriptions.
        modality: Of the image.

    Raises:
        ValueError: There are fewer than two texts.
    """
    if len(texts) < 2:
        raise ValueError(f"consistency needs at least two descriptions, not {len(texts)}")
    said = [statements(text, modality) for text in texts]
    return float(np.mean([len(a & b) / max(len(a | b), 1) for a, b in combinations(said, 2)]))
