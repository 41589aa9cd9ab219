"""The budget as a bandit: labels go where earlier rounds' labels paid.

The paper's share of a prototype (e_k^alpha, within a capability by failure mass) says how much is
wrong; it is multiplied by what a reading of the prototype's kind is believed to cure. Beliefs are
averaged as squares, over draws of their posterior as in Thompson sampling (Russo et al. 2018,
Foundations and Trends in Machine Learning 11:1): the mean square is the squared mean plus the
variance, so a kind of which little is known keeps a bonus, and what pays well pulls ahead. A part
of the budget stays with the paper's rule, so that no kind starves.

Simulated (tests/test_budget.py): about an eighth more errors cured in four rounds than by the
paper's rule alone where kinds differ, and one percent fewer where they are all alike.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from medq_engine.beliefs import believe
from medq_engine.payoff import Kind

DRAWS = 1000
FLOOR = 0.1
"""Share of the budget that stays with the paper's rule."""


def bandit_shares(
    paper: np.ndarray, kinds: Sequence[Kind], payoffs: pl.DataFrame, rng: np.random.Generator
) -> np.ndarray:
    """Each prototype's share of the budget.

    Args:
        paper: Shares by the paper's rule (`retrieval.capability_shares`), shape (prototypes,).
        kinds: Kind of each prototype.
        payoffs: Schema PAYOFF, all closed rounds; without a row the paper's shares stand.
        rng: Of the posterior's draws.

    Returns:
        Shares that sum to 1, shape (prototypes,).
    """
    if not len(payoffs) or not len(kinds):
        return paper
    # Prototypes of one kind share its draws: they are one arm.
    arms = list(dict.fromkeys(kinds))
    worth = (believe(payoffs).payoffs(arms, DRAWS, rng) ** 2).mean(0)
    weight = paper * worth[[arms.index(kind) for kind in kinds]]
    return (1 - FLOOR) * weight / weight.sum() + FLOOR * paper
