"""How estimates are printed."""

from math import isnan

from medq_engine.experiment.resampling import Estimate

NONE = "-"


def points(value: Estimate) -> str:
    """A difference in points of accuracy; without interval where there is one seed."""
    if isnan(value.low):
        return f"{100 * value.value:+.1f}"
    return f"{100 * value.value:+.1f} ({100 * value.low:+.1f} to {100 * value.high:+.1f})"


def percent(value: Estimate) -> str:
    """An accuracy or a share in percent; without interval where there is one seed."""
    if isnan(value.low):
        return f"{100 * value.value:.1f}"
    return f"{100 * value.value:.1f} ({100 * value.low:.1f} to {100 * value.high:.1f})"


def times(value: Estimate | None) -> str:
    """An efficiency; censored bounds as what is known of them."""
    if value is None:
        return NONE

    def one(number: float) -> str:
        known = round(number, 1) <= round(value.reach, 1)
        return f"{number:.1f}" if known else f">= {value.reach:.1f}"

    text, low = one(value.value), one(value.low)
    if not low.startswith(">="):  # otherwise all three are the same bound
        text += f" ({low} to {one(value.high)})"
    return f"{text}, {value.censored:.0%} beyond" if value.censored else text


def at_least(value: Estimate) -> tuple[float, float]:
    """Value and lower bound, as far as they are known."""
    return min(value.value, value.reach), min(value.low, value.reach)
