"""What a strategy's challengers lose of what the base could do, by slice of test and round."""

from medq_engine import markdown
from medq_engine.experiment.findings import World
from medq_engine.experiment.resampling import over_seeds
from medq_engine.experiment.wording import points

SLICES = ("modality", "kind")


def section(world: World, strategy: str) -> str:
    """Accuracy in every slice by round of a strategy, less the base's, in Markdown."""
    rounds = world.rounds(strategy)
    rows = []
    for by in SLICES:
        for name, before in world.base_by[by].items():
            apart = [
                over_seeds([r["test"]["by"][by][name] - before for r in world.results(strategy, n)])
                for n in rounds
            ]
            rows.append((by, name, f"{100 * before:.1f}", *map(points, apart)))
    table = markdown.table(("", "slice", "base", *(f"round {n}" for n in rounds)), rows)
    return (
        f"## What {strategy} forgets (simulated)\n\nAccuracy of each round's challenger less the "
        "base's, in points: the mean over seeds with Student's interval. Challengers that the gate "
        f"refused are among them.\n\n{table}"
    )
