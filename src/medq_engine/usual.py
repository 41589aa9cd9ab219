"""Images that look usual, from the sources of those that look like failures.

What resembles a failure is mostly faulty. If nearly every label of a source (a site, a scanner, a
collection) is of a faulty image, a model learns the source for the fault and calls its fine images
faulty too: a shortcut (Geirhos et al. 2020, arXiv 2004.07780). So every source gives, beside what
is searched for, images of its own that look as most of its modality do, matched as controls are to
cases in a case-control study (docs/acquisition.md, Fine images are lost at the source).
"""

from collections.abc import Hashable, Sequence

import numpy as np

MOST_USUAL = 1 / 3
"""Share of a source's images, those nearest to what is usual, among which is drawn."""


def draw(
    distances: np.ndarray,
    sources: Sequence[Hashable],
    fetched: Sequence[int],
    barred: np.ndarray,
    count: int,
    rng: np.random.Generator,
) -> list[int]:
    """Usual images of every source, as many as it has a part in what was fetched.

    Args:
        distances: How far each pool image is from what is usual in its modality, shape (images,).
        sources: Of each pool image; what is compared with each other, so with its modality.
        fetched: Positions of the images that look like failures.
        barred: True where an image must not be taken, shape (images,).
        count: How many in all; fewer where the sources do not have so many.

    Returns:
        Positions, in ascending order.
    """
    if not len(fetched):
        return []
    keys, codes = np.unique([repr(source) for source in sources], return_inverse=True)
    parts = np.bincount(codes[list(fetched)], minlength=len(keys)) / len(fetched)
    free = ~barred
    free[list(fetched)] = False
    found: list[int] = []
    for code in np.flatnonzero(parts):
        here = np.flatnonzero(codes == code)
        nearest = here[np.argsort(distances[here], kind="stable")]
        usual = nearest[: max(1, round(MOST_USUAL * len(here)))]
        found += rng.permutation(usual[free[usual]])[: round(parts[code] * count)].tolist()
    return sorted(found)
