import math

import pytest

from medq_engine.review.errors import ReviewError
from medq_engine.review.stopwatch import Stopwatch


def test_active_seconds_add_up_over_returns(clock):
    watch = Stopwatch(clock)
    watch.open("a", 5.0)
    clock.now += 60
    assert watch.add("a", 10.04) == 15.0
    watch.open("a", 99.0)  # a return: what is stored by now is counted already
    assert watch.add("a", 10) == 25.0


def test_never_more_than_the_wall_clock(clock):
    watch = Stopwatch(clock)
    watch.open("a", 0.0)
    clock.now += 12
    assert watch.add("a", 3600) == 12.0
    assert watch.add("a", 10**400) == 12.0
    clock.now += 3
    assert watch.add("a", 3600) == 15.0


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf, True, "3", None])
def test_what_is_no_time_is_refused(clock, seconds):
    watch = Stopwatch(clock)
    watch.open("a", 0.0)
    with pytest.raises(ReviewError, match="not a time"):
        watch.add("a", seconds)


def test_a_task_that_was_never_opened_takes_no_time(clock):
    with pytest.raises(ReviewError, match="not open"):
        Stopwatch(clock).add("a", 1)
