"""The grid of an experiment: worlds, strategies, seeds and rounds, and in which order they run.

A world and a strategy are names of params overrides with dotted keys, as `dvc exp run -S` takes
them. A world says what is simulated, a strategy how the loop works in it.
"""

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from ruamel.yaml import YAML, YAMLError

from medq_engine.config import STRICT, Positive
from medq_engine.errors import MedqError

Overrides = dict[str, object]
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")  # in a file's name `--` parts one from the next


class GridError(MedqError):
    """The grid cannot be used; the message names the file and the key."""


@dataclass(frozen=True, config=STRICT)
class Part:
    """Every strategy with every seed in every world, so many rounds in a row.

    An `extra` part is run if it is asked for by name, and is on the page if it was.
    """

    worlds: Annotated[tuple[str, ...], Field(min_length=1)]
    strategies: Annotated[tuple[str, ...], Field(min_length=1)]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    rounds: Positive
    extra: bool = False


@dataclass(frozen=True, config=STRICT)
class Roles:
    """What the report compares.

    Attributes:
        engine: The strategy that all others are held against.
        random: Strategies whose budgets together make the one curve of random sampling.
        others: The other strategies of the literature: by name, the strategies whose budgets make
            its curve; the first has the engine's readings.
        ablations: Strategies that are the engine without one of its parts.
        world: The world of the main comparison.
        common: The world in which the failing faults are frequent.
        round: Budget B of the targets: what the engine has spent after this round.
        ceiling: The strategy whose last accuracy is taken as what labels can reach, or null.
    """

    engine: str
    random: Annotated[tuple[str, ...], Field(min_length=1)]
    others: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]]
    ablations: tuple[str, ...]
    world: str
    common: str
    round: Positive
    ceiling: str | None


@dataclass(frozen=True, config=STRICT)
class Grid:
    """All of the grid's file."""

    worlds: dict[str, Overrides]
    strategies: dict[str, Overrides]
    parts: dict[str, Part]
    report: Roles

    @property
    def default_parts(self) -> list[str]:
        """Names of the parts that are run if none is named."""
        return [name for name, part in self.parts.items() if not part.extra]

    def __post_init__(self) -> None:
        for name in (*self.worlds, *self.strategies, *self.parts):
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} must be words of a-z and 0-9 joined by single hyphens")
        roles = self.report
        worlds = {roles.world, roles.common}
        strategies = {roles.engine, *roles.random, *roles.ablations}
        strategies |= {name for budgets in roles.others.values() for name in budgets}
        strategies |= {roles.ceiling} if roles.ceiling else set()
        for part in self.parts.values():
            worlds |= {*part.worlds}
            strategies |= {*part.strategies}
        for kind, named, known in (
            ("world", worlds, self.worlds),
            ("strategy", strategies, self.strategies),
        ):
            unknown = sorted(named - {*known})
            if unknown:
                raise ValueError(f"no such {kind}: {', '.join(unknown)}")


@plain_dataclass(frozen=True, order=True)
class Chain:
    """Rounds in a row: each starts from what the one before left."""

    world: str
    strategy: str
    seed: int

    @property
    def name(self) -> str:
        """As folders are called."""
        return f"{self.world}--{self.strategy}--s{self.seed}"


@plain_dataclass(frozen=True, order=True)
class Cell:
    """One round of a chain."""

    chain: Chain
    round: int

    @property
    def name(self) -> str:
        """As files are called."""
        return f"{self.chain.name}--r{self.round}"


def read_grid(path: Path) -> Grid:
    """Read and check a grid.

    Raises:
        GridError: It is unreadable, or a key or a name in it is wrong.
    """
    try:
        raw = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        return TypeAdapter(Grid).validate_json(json.dumps(raw), strict=True)
    except (OSError, YAMLError) as error:
        raise GridError(f"{path}: {error}") from error
    except ValidationError as error:
        faults = [
            f"  {'.'.join(map(str, fault['loc'])) or '(top level)'}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise GridError(f"{path} has {len(faults)} faults:\n" + "\n".join(faults)) from error


def override(params: Mapping[str, object], values: Overrides, source: str) -> dict[str, object]:
    """Params with other values at dotted keys.

    Args:
        params: Contents of params.yaml.
        values: By dotted key.
        source: Who wants them, for the message.

    Raises:
        GridError: params.yaml has no such key.
    """
    changed = copy.deepcopy(dict(params))
    for dotted, value in values.items():
        *folders, key = dotted.split(".")
        block: object = changed
        for folder in folders:
            block = block.get(folder) if isinstance(block, dict) else None
        if not isinstance(block, dict) or key not in block:
            raise GridError(f"{source} sets {dotted}, which params.yaml does not have")
        block[key] = copy.deepcopy(value)
    return changed


def cells(grid: Grid, parts: Sequence[str]) -> list[Cell]:
    """The cells of some parts, in running order: a chain's rounds stand in theirs.

    Parts come one after the other; within a part all strategies with the first seed come first, so
    that a run that is cut short has compared all of them.

    Raises:
        GridError: There is no such part.
    """
    unknown = [name for name in parts if name not in grid.parts]
    if unknown:
        raise GridError(f"no part {unknown[0]!r} in the grid; there are: {', '.join(grid.parts)}")
    found = {
        Cell(Chain(world, strategy, seed), number): None
        for part in (grid.parts[name] for name in parts)
        for seed in part.seeds
        for number in range(1, part.rounds + 1)
        for world in part.worlds
        for strategy in part.strategies
    }
    return list(found)
