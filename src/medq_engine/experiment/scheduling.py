"""Running steps side by side, with a line for each, an estimate, and no loss where one fails."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from statistics import fmean

from medq_engine.errors import MedqError
from medq_engine.experiment.plan import Step
from medq_engine.experiment.results import Result


@dataclass
class Pace:
    """What steps took, to tell what those that are left will take."""

    seconds: dict[tuple[object, object], list[float]] = field(default_factory=dict)

    def add(self, cell: Mapping[str, object], result: Result) -> None:
        """Remember a finished step."""
        took = sum(result["seconds"].values())
        self.seconds.setdefault((cell.get("strategy"), cell.get("round", 0)), []).append(took)

    def expected(self, step: Step) -> float | None:
        """Seconds of the steps most alike: same strategy and round, same round, any round."""
        strategy, number = step.cell.get("strategy"), step.cell.get("round", 0)
        rounds = [(key, took) for key, took in self.seconds.items() if key[1]]
        if not number:
            rounds = [(key, took) for key, took in self.seconds.items() if not key[1]]
        for alike in (
            [took for key, took in rounds if key == (strategy, number)],
            [took for key, took in rounds if key[1] == number],
            [took for _, took in rounds],
        ):
            if alike:
                return fmean(one for took in alike for one in took)
        return None


def clock(seconds: float) -> str:
    """`1:04` hours and minutes."""
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02d}"


def line(step: Step, result: Result, done: int, total: int, past: float, left: str) -> str:
    """What is printed of a finished step."""
    took = sum(result["seconds"].values())
    spent = f", {result['trained']} labels trained on" if "trained" in result else ""
    return (
        f"[{done}/{total}] {step.name}: {100 * result['test']['accuracy']:.1f} % on test"
        f"{spent}, {took:.0f} s; {clock(past)} h so far, {left} h left"
    )


def _started(start: Callable[[Step], "Future[Result]"], step: Step) -> "Future[Result]":
    """A step under way; one that cannot even begin has failed like any other."""
    try:
        return start(step)
    except MedqError as error:
        failed: Future[Result] = Future()
        failed.set_exception(error)
        return failed


def run(
    steps: Sequence[Step],
    start: Callable[[Step], "Future[Result]"],
    jobs: int,
    pace: Pace,
    say: Callable[[str], None],
    stop_after: float | None = None,
) -> dict[str, BaseException]:
    """Run steps, `jobs` at a time, each after the one that it starts from.

    Args:
        steps: Those that have to run; what they start from is among them or done.
        start: Hands a step to a worker.
        jobs: Steps at once.
        pace: Of earlier runs.
        say: Takes a line.
        stop_after: Seconds after which no further step begins.

    Returns:
        Errors of the steps that failed, by name. Steps that start from them are not run.
    """
    began = time.monotonic()
    waiting, running, failed = list(steps), {}, {}
    undone = {step.name for step in steps}
    done = 0
    while True:
        late = stop_after is not None and time.monotonic() - began >= stop_after
        for step in [] if late else list(waiting):
            if len(running) == jobs:
                break
            if step.after not in undone:
                waiting.remove(step)
                running[_started(start, step)] = step
        if not running:
            return failed
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            step = running.pop(future)
            error = future.exception()
            done += 1
            if error:
                failed[step.name] = error
                say(f"[{done}/{len(steps)}] {step.name}: {error}")
                continue
            undone.discard(step.name)
            pace.add(step.cell, future.result())
            rest = [pace.expected(other) for other in (*waiting, *running.values())]
            left = "?" if None in rest else f"about {clock(sum(rest) / jobs)}"
            past = time.monotonic() - began
            say(line(step, future.result(), done, len(steps), past, left))
