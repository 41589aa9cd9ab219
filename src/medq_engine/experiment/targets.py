"""The targets of the experiment: what the paper has, what was aimed at, what was measured."""

from collections.abc import Mapping

from medq_engine import markdown
from medq_engine.experiment.findings import World
from medq_engine.experiment.grid import Roles
from medq_engine.experiment.wording import NONE, at_least, percent, times


def section(worlds: Mapping[str, World], roles: Roles) -> str:
    """The table of targets, in Markdown."""
    main, number, rows = worlds[roles.world], roles.round, []

    def add(measure: str, paper: str, target: str, said: str, met: bool | None) -> None:
        verdict = NONE if met is None else "yes" if met else "no"
        rows.append((measure, paper, target, said, verdict))

    for name, paper, target, least, bound in (
        (roles.world, "> 4", ">= 10, lower bound > 4", 10, 4),
        (roles.common, "> 4", ">= 3", 3, 0),
    ):
        world = worlds.get(name)
        found = world and world.efficiency(roles.engine, number, roles.random, "labels")
        met = None
        if found:
            value, low = at_least(found)
            met = value >= least and low > bound
        add(f"label efficiency against random, {name}", paper, target, times(found), met)
    # The best is the one with the highest accuracy for the engine's readings.
    rivals = [name for name, budgets in roles.others.items() if number in main.rounds(budgets[0])]
    best = max(rivals, key=lambda n: main.accuracy(roles.others[n][0], number).value, default=None)
    found = main.efficiency(roles.engine, number, roles.others[best], "labels") if best else None
    value, low = at_least(found) if found else (0.0, 0.0)
    said = f"{times(found)}: {best}" if found else NONE
    met = value > 1.5 and low > 1 if found else None
    add("against the best other strategy", NONE, "> 1.5, lower bound > 1", said, met)
    rounds = main.rounds(roles.engine)
    last = rounds[-1] if rounds else 0
    gap = main.gap_closed(roles.engine, last, None)
    met = gap.value >= 0.85 if gap else None
    said = f"{percent(gap)} %, {last} rounds" if gap else NONE
    add("gap from base to expert closed", "81 %", ">= 85 %", said, met)
    if rounds:
        cost = main.spending(roles.engine, last)
        noise = cost.wrong / max(1, cost.unreviewed)
        said = f"{cost.expert_share:.0%}, {cost.wrong} of {cost.unreviewed} wrong ({noise:.1%})"
        met = cost.expert_share <= 0.10 and noise <= 0.02
        add("expert share of labels", "18 %", "<= 10 % at <= 2 % noise unreviewed", said, met)
    table = markdown.table(("measure", "paper", "target", "measured", "met"), rows, limit=200)
    budget = f"Efficiencies at what the engine has spent after round {number}."
    return f"## Targets (simulated)\n\n{table}\n\n{budget}"
