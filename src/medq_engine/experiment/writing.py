"""The page of an experiment: what was run, what it shows, which targets are met.

The page follows from the cells alone: with the same cells it is the same to the byte.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from medq_engine import markdown
from medq_engine.experiment import drawing, findings, forgetting, stops, targets
from medq_engine.experiment.findings import World
from medq_engine.experiment.grid import Grid, Roles
from medq_engine.experiment.results import FINE, TAUGHT, UNTAUGHT, Result
from medq_engine.experiment.stops import Terms
from medq_engine.experiment.wording import NONE, percent, points, times
from medq_engine.tables import replace

AXIS_NAMES = {"labels": "labels", "minutes": "expert minutes"}

METHOD = """\
- Every cell is one round of the loop by its own stages; a chain's next round starts from what the
  one before left, as after `medq next`. Inputs follow the world's seed, everything in the loop the
  chain's. Descriptions are not asked for.
- *Accuracy* is that of a round's challenger on the perception items of test; *in force* is the
  model that the gate left in place after it.
- *Gate* is the challenger's mean lead on the gate's items over the model then in force, in points,
  and how many challengers passed.
- *Labels* are those that were trained on (all rounds so far, routes with a weight above 0);
  *accepted* are all.
- Intervals are at 95 %. Beside an accuracy: Student's, over seeds alone. Elsewhere: a bootstrap of
  {resamples} draws over seeds and over the {scenes} scenes of test, both at once (Owen 2007; n - 1
  of n seeds are drawn, Rao and Wu 1988).
- *Times as many* is what a strategy needs to reach the engine's accuracy after a round, divided by
  what the engine has spent by then. The curve of the other goes from the base through all its
  budgets: an isotonic regression, with straight lines over the square root in between. Where it
  never gets there, the longest run gives a bound (>=), also in every draw of the bootstrap: the
  share of such draws is *beyond*.
- What images really show (`truth` in the cells) is read for this page alone: nothing in the loop
  sees it.
"""


def write(grid: Grid, total: int, there: Mapping[str, Result], terms: Terms, page: Path) -> str:
    """Write page and figures; what to tell the user.

    Args:
        grid: Of the experiment.
        total: Steps that it has.
        there: Their results so far, by name.
        terms: On which a chain goes on.
        page: Markdown file; figures go into the folder of its name.
    """
    worlds = findings.worlds(grid, there)
    if not worlds:
        return "nothing is finished yet: no page was written"
    roles = grid.report
    parts = [head(total, there)]
    main = worlds.get(roles.world)
    if main:
        figures = page.with_suffix("")
        drawing.curves(main, roles, figures / "curves.png")
        untaught = findings.worlds(grid, there, UNTAUGHT)[roles.world]
        parts += [
            targets.section(worlds, roles),
            main_comparison(main, untaught, roles, figures.name),
        ]
        if any(main.rounds(name) for name in roles.ablations):
            parts.append(ablations(main, roles, figures))
        if main.rounds(roles.engine):
            parts.append(forgetting.section(main, roles.engine))
            parts.append(stops.section(main, roles.engine, terms))
    parts.append(sweep(worlds, roles, page.with_suffix("")))
    some = next(iter(worlds.values()))
    scenes = len(some.sampler.sizes)
    method = METHOD.format(resamples=findings.RESAMPLES, scenes=scenes)
    parts += [f"## How it is measured\n\n{method}", listed(grid)]
    text = "\n\n".join(part.strip() for part in parts if part)
    replace(page, f"{text}\n".encode())
    return f"{len(there)} of {total} cells are in {page}"


def head(total: int, there: Mapping[str, Result]) -> str:
    """When, from which code, how much of the grid."""
    dates = sorted({str(found["date"]) for found in there.values()})
    commits = Counter(str(found["commit"]) for found in there.values())
    hours = sum(sum(found["seconds"].values()) for found in there.values()) / 3600
    code = ", ".join(f"`{name}` ({count})" for name, count in sorted(commits.items()))
    span = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return (
        "# Label efficiency\n\n"
        "**Everything on this page is simulated**: faults, draft annotator and experts. Training "
        "and answers are not.\n\n"
        f"Made by `make efficiency` from {len(there)} of {total} cells (`efficiency/cells/`), run "
        f"{span} on commits {code}: {hours:.1f} process hours."
    )


def main_comparison(world: World, untaught: World, roles: Roles, figures: str) -> str:
    """Curves, costs and efficiencies of the main world, and of its untaught faults alone."""
    rivals = [name for budgets in roles.others.values() for name in budgets]
    compared = [roles.engine, *roles.random, *rivals]
    shown = [s for s in dict.fromkeys(compared) if world.rounds(s)]
    base = 100 * float(world.base.mean())
    tops = ", ".join(f"{name} {100 * value:.1f} %" for name, value in world.baselines.items())
    rows, costs = [], []
    for strategy in shown:
        for number in world.rounds(strategy):
            spent = world.spending(strategy, number)
            kinds = [world.slice_accuracy(strategy, number, k) for k in (FINE, TAUGHT, UNTAUGHT)]
            point = world.point(strategy, number)
            rows.append(
                (
                    strategy,
                    number,
                    len(point.seeds),
                    round(spent.trained),
                    round(spent.accepted),
                    round(spent.minutes),
                    percent(world.accuracy(strategy, number)),
                    *(f"{100 * kind:.1f}" for kind in kinds),
                    gate(world.results(strategy, number)),
                    f"{100 * point.in_force.mean():.1f}",
                )
            )
        last = world.rounds(strategy)[-1]
        spent = world.spending(strategy, last)
        costs.append(cost_row(strategy, last, spent, world, roles))
    head = ("strategy", "round", "seeds", "labels", "accepted", "minutes", "accuracy")
    accuracy = markdown.table((*head, FINE, TAUGHT, UNTAUGHT, "gate", "in force"), rows)
    cost = markdown.table(
        (
            "strategy",
            "rounds",
            "expert share",
            "money",
            "unreviewed labels wrong",
            "intervals that hold it",
            "experts' labels with an untaught fault",
            "gap to expert closed",
            "gap to ceiling closed",
        ),
        costs,
    )
    return (
        f"## Strategies in {world.name} (simulated)\n\n![Accuracy on test against labels and "
        f"expert minutes]({figures}/curves.png)\n\nThe base has {base:.1f} % on the same "
        f"{world.items} items; {tops}.\n\n{accuracy}\n\n{efficiencies(world, roles, shown)}\n\n"
        f"{efficiencies(untaught, roles, shown)}\n\n"
        f"### What labels cost and how wrong they are\n\n{cost}"
    )


def gate(results: Sequence[Result]) -> str:
    """Mean lead at the gate, in points, and how many of the challengers passed."""
    leads = [100 * found["gate"]["value"] for found in results]
    passed = sum(found["gate"]["verdict"] == "pass" for found in results)
    return f"{sum(leads) / len(leads):+.1f}, {passed} of {len(leads)} pass"


def cost_row(
    strategy: str, last: int, spent: findings.Spending, world: World, roles: Roles
) -> tuple[object, ...]:
    """One line of costs, noise and closed gaps after a strategy's last round."""
    noise = f"{spent.wrong} of {spent.unreviewed}" if spent.unreviewed else NONE
    closed = world.gap_closed(strategy, last, None)
    top = world.gap_closed(strategy, last, roles.ceiling) if roles.ceiling else None
    return (
        strategy,
        last,
        f"{spent.expert_share:.0%}",
        round(spent.money),
        noise,
        f"{spent.held} of {spent.told}" if spent.told else NONE,
        f"{spent.untaught:.0%}",
        percent(closed) if closed else NONE,
        percent(top) if top else NONE,
    )


def efficiencies(world: World, roles: Roles, shown: Sequence[str]) -> str:
    """How many times as much the others need, by round of the engine."""
    where = f", items with an {world.kind} alone" if world.kind else ""
    groups = [("random, all budgets", roles.random)]
    groups += [(name, some) for name, some in roles.others.items() if {*some} & {*shown}]
    blocks = []
    for axis, name in AXIS_NAMES.items():
        rows = [
            (
                number,
                round(float(world.point(roles.engine, number).spent[axis].mean())),
                *(times(world.efficiency(roles.engine, number, s, axis)) for _, s in groups),
            )
            for number in world.rounds(roles.engine)
        ]
        columns = ("round", f"{name} of {roles.engine}", *(label for label, _ in groups))
        table = markdown.table(columns, rows)
        blocks.append(f"### Times as many {name} as {roles.engine}{where}\n\n{table}")
    return "\n\n".join(blocks)


def ablations(world: World, roles: Roles, figures: Path) -> str:
    """The engine without one of its parts after the same rounds; draws the figure."""
    rows, drawn = [], {}
    for name in roles.ablations:
        for number in world.rounds(name):
            apart = world.less_engine(roles.engine, name, number)
            if apart is None:
                continue
            drawn[name] = apart
            spent = world.spending(name, number)
            seeds = {*world.seeds(name, number)} & {*world.seeds(roles.engine, number)}
            noise = f"{spent.wrong} of {spent.unreviewed}" if spent.unreviewed else NONE
            costs = (round(spent.trained), round(spent.minutes), noise)
            rows.append((name, number, len(seeds), points(apart), *costs))
    columns = ("strategy", "round", "seeds", "accuracy less engine's", "labels", "minutes")
    axis = "points of accuracy less the engine's; left is worse without the part"
    drawing.forest([*drawn.items()], "What each part brings", axis, figures / "ablations.png")
    return (
        f"## Ablations in {world.name} (simulated)\n\n![Accuracy less the engine's]({figures.name}/"
        "ablations.png)\n\nPoints of accuracy, paired by seed and item.\n\n"
        f"{markdown.table((*columns, 'unreviewed labels wrong'), rows)}"
    )


def sweep(worlds: Mapping[str, World], roles: Roles, figures: Path) -> str:
    """The engine against random sampling in every world, also where it does not win.

    After the round of the targets, or where a world has no such round after its last; draws the
    figure.
    """
    rows, drawn = [], {}
    random = roles.random[0]
    for name, world in worlds.items():
        common = {*world.rounds(roles.engine)} & {*world.rounds(random)}
        if not common:
            continue
        number = roles.round if roles.round in common else max(common)
        engine, other = (world.spending(s, number) for s in (roles.engine, random))
        apart = world.less_engine(random, roles.engine, number)
        if apart:
            drawn[name] = apart
        rows.append(
            (
                name,
                number,
                len(world.seeds(roles.engine, number)),
                f"{100 * float(world.base.mean()):.1f}",
                percent(world.accuracy(roles.engine, number)),
                percent(world.accuracy(random, number)),
                points(apart) if apart else NONE,
                f"{round(engine.trained)} / {round(other.trained)}",
                times(world.efficiency(roles.engine, number, roles.random, "labels")),
            )
        )
    axis = "points of accuracy over random sampling, after the same round"
    drawing.forest([*drawn.items()], "The engine in every world", axis, figures / "worlds.png")
    columns = ("world", "round", "seeds", "base", roles.engine, random, "difference", "labels")
    table = markdown.table((*columns, "label efficiency"), rows, limit=120)
    return (
        "## All worlds (simulated)\n\n"
        f"![The engine over random sampling]({figures.name}/worlds.png)\n\n{table}"
    )


def listed(grid: Grid) -> str:
    """Every world and strategy by its overrides of params.yaml."""
    rows = [
        (kind, name, ", ".join(f"{key}: {value}" for key, value in values.items()) or "as it is")
        for kind, named in (("world", grid.worlds), ("strategy", grid.strategies))
        for name, values in named.items()
    ]
    table = markdown.table(("", "name", "params.yaml"), rows, limit=300)
    parts = [
        (
            f"{name} (extra)" if p.extra else name,
            *(", ".join(map(str, v)) for v in (p.worlds, p.strategies, p.seeds)),
            p.rounds,
        )
        for name, p in grid.parts.items()
    ]
    columns = ("part", "worlds", "strategies", "seeds", "rounds")
    run = markdown.table(columns, parts, limit=400)
    extra = "An extra part is run by `.venv/bin/python -m pipeline.efficiency --only` and its name."
    return f"## The grid\n\n{table}\n\n{run}\n\n{extra}"
