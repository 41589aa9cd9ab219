"""From a grid to steps with keys: what has to run, and in which order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from medq_engine.experiment import recipe
from medq_engine.experiment.grid import Cell, Grid, cells, override
from medq_engine.experiment.recipe import Stage

VERSION = 1
"""Raised when a cell measures something else than before: all results are stale then."""
THREADS = 1
"""Of torch in every cell: sums over another number of threads end in other bits."""
ASKED = ("data/benchmark/dev", "data/benchmark/gate", "data/benchmark/test", "models/base")
BASELINES = "metrics/baselines.json"
ORACLE = "data/oracle"  # of the simulated experts, and of the report


@dataclass(frozen=True)
class Step:
    """A cell, or the base's answers that the cells of a world begin with.

    Attributes:
        name: Stem of its result's file.
        key: Of the result.
        parts: Keys of what the key is made of: why a result is stale.
        after: Name of the step that it starts from; None for a base.
        base: Name of its world's base.
        cell: World, strategy, seed and round; empty for a base.
        chain: Name of its folder.
        params: Contents of params.yaml.
        world: The same for its inputs, which follow the world's seed and not the chain's.
        inputs: Key of every input stage that it needs.
    """

    name: str
    key: str
    parts: Mapping[str, str]
    after: str | None
    base: str
    cell: Mapping[str, object]
    chain: str
    params: Mapping[str, object]
    world: Mapping[str, object]
    inputs: Mapping[str, str]


class Repository:
    """What the recipes need of a repository: its params and its stages."""

    def __init__(self, root: Path) -> None:
        self.root = root
        text = (root / "params.yaml").read_text(encoding="utf-8")
        first = {"round": 1, "tag": "round-001", "incumbent": None, "history": None}
        self.params: dict[str, object] = YAML(typ="safe", pure=True).load(text) | first
        self.loop = recipe.read_stages(root / "dvc.yaml")
        found: dict[str, Stage] = {}
        for file in recipe.INPUTS:
            found |= recipe.read_stages(root / file)
        self.stages = {n: s for n, s in found.items() if n not in recipe.STATE}
        made = {out for stage in self.stages.values() for out in stage.outs}
        read = {dep for name in recipe.LOOP for dep in self.loop[name].deps}
        everything = sorted(read & made | {*ASKED, BASELINES, ORACLE})
        self.inputs = recipe.needed(self.stages, everything)
        """Input stages of a whole round."""
        self.base_inputs = recipe.needed(self.stages, [*ASKED, BASELINES])
        """Input stages of the base's answers."""
        code = recipe.Code(root)
        self.code = {stage.name: recipe.key_of(code.of(stage.code)) for stage in self.inputs}
        tracked = {dep for stage in self.inputs for dep in stage.deps} - made
        self.tracked = {dep: recipe.md5_of(root / dep) for dep in tracked}
        run = [*(self.loop[name] for name in recipe.LOOP), *(found[n] for n in recipe.STATE)]
        loop = [path for stage in run for path in stage.code]
        beside = [f"src/medq_engine/{name}.py" for name in recipe.BESIDE]
        self.loop_code = recipe.key_of(VERSION, THREADS, code.of([*loop, *beside]))
        asking = self.loop["evaluate"].code
        self.base_code = recipe.key_of(VERSION, THREADS, code.of(asking))

    def keys(self, stages: Sequence[Stage], params: Mapping[str, object]) -> dict[str, str]:
        """Keys of input stages under some params."""
        return recipe.input_keys(stages, params, self.code, self.tracked)


def steps_of(repository: Repository, grid: Grid, parts: Sequence[str]) -> list[Step]:
    """All steps of some parts, in running order, each after the one that it starts from.

    Raises:
        GridError: A part, or a key of an override, is not there.
    """
    found: dict[str, Step] = {}
    for cell in cells(grid, parts):
        world = grid.worlds[cell.chain.world]
        params = override(repository.params, world, f"world {cell.chain.world}")
        base = base_step(repository, params)
        found.setdefault(base.name, base)
        how = grid.strategies[cell.chain.strategy]
        params = override(params, how, f"strategy {cell.chain.strategy}")
        earlier = Cell(cell.chain, cell.round - 1).name if cell.round > 1 else base.name
        step = round_step(repository, cell, params, found[earlier], base.name)
        found[step.name] = step
    return list(found.values())


def base_step(repository: Repository, params: Mapping[str, object]) -> Step:
    """The base's answers in a world; worlds that differ in nothing that matters share them."""
    inputs = repository.keys(repository.base_inputs, params)
    parts = {
        "params": recipe.key_of(recipe.picked(params, repository.loop["evaluate"].params)),
        "code": repository.base_code,
        "inputs": recipe.key_of(inputs),
    }
    key = recipe.key_of(parts)
    name = f"base--{key[:8]}"
    return Step(name, key, parts, None, name, {}, name, _with_threads(params), params, inputs)


def round_step(
    repository: Repository, cell: Cell, params: Mapping[str, object], before: Step, base: str
) -> Step:
    """A cell: its inputs follow the world's seed, the round its chain's."""
    inputs = repository.keys(repository.inputs, params)
    now = {"seed": cell.chain.seed, "round": cell.round, "tag": f"round-{cell.round:03d}"}
    own = _with_threads({**params, **now})
    read = {name for stage in recipe.LOOP for name in repository.loop[stage].params}
    parts = {
        "params": recipe.key_of(recipe.picked(own, [*read, *recipe.MEASURED])),
        "code": repository.loop_code,
        "inputs": recipe.key_of(inputs),
        "before": before.key,
    }
    about = {**vars(cell.chain), "round": cell.round}
    key = recipe.key_of(parts)
    folder = cell.chain.name
    return Step(cell.name, key, parts, before.name, base, about, folder, own, params, inputs)


def _with_threads(params: Mapping[str, object]) -> dict[str, object]:
    return {**params, "model": {**params["model"], "threads": THREADS}}


def due(
    steps: Sequence[Step],
    fresh: Callable[[Step], bool],
    left: Callable[[Step], bool],
) -> list[Step]:
    """The steps that have to run, in their order.

    A stale step runs, and with it the steps before it whose leavings are gone.

    Args:
        steps: Each after the one that it starts from.
        fresh: Whether a step's result is there.
        left: Whether what a step leaves to the next is there.
    """
    by_name = {step.name: step for step in steps}
    wanted: set[str] = set()
    for step in steps:
        if fresh(step) or step.name in wanted:
            continue
        wanted.add(step.name)
        before = by_name.get(step.after or "")
        while before and before.name not in wanted and not left(before):
            wanted.add(before.name)
            before = by_name.get(before.after or "")
    return [step for step in steps if step.name in wanted]
