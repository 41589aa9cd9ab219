"""The inputs of a world: what does not depend on its overrides comes from the repository.

Every input stage that another value of its params would change runs in a folder of its own, named
by its key; worlds and strategies with the same key share it.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ruamel.yaml import YAML

from medq_engine.experiment.recipe import RecipeError, Stage

Places = dict[str, Path]
"""Where the data of a declared path lies."""


def write_params(params: Mapping[str, object], path: Path) -> None:
    """Write params.yaml for a stage."""
    path.parent.mkdir(parents=True, exist_ok=True)
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False  # a line a key, as people write it
    with path.open("w", encoding="utf-8") as stream:
        yaml.dump(params, stream)


def link(places: Mapping[str, Path], folder: Path) -> None:
    """Symbolic links in a folder, at the declared paths, in the place of what was there."""
    for path, target in places.items():
        here = folder / path
        here.parent.mkdir(parents=True, exist_ok=True)
        here.unlink(missing_ok=True)
        here.symlink_to(target)


def prepare(
    root: Path,
    scratch: Path,
    stages: Sequence[Stage],
    own: Mapping[str, str],
    keys: Mapping[str, str],
    params: Mapping[str, object],
    run: Callable[[Stage, Path], None],
) -> Places:
    """Make the inputs that are not there yet; where all of them lie.

    Args:
        root: Of the repository, whose own inputs are up to date.
        scratch: Where other inputs are made and kept.
        stages: Each after those that it needs.
        own: Keys of the stages under the repository's params.
        keys: Keys under the world's params.
        params: The world's.
        run: Runs a stage in a folder.

    Raises:
        RecipeError: The repository lacks an input.
    """
    places: Places = {}
    for stage in stages:
        if keys[stage.name] == own[stage.name]:
            home = root
        else:
            home = scratch / f"{stage.name}-{keys[stage.name]}"
            if not home.exists():
                _make(root, home, stage, places, params, run)
        for out in stage.outs:
            places[out] = home / out
            if not places[out].exists():
                raise RecipeError(f"{places[out]} is missing: `dvc repro {out}` makes it")
    return places


def _make(
    root: Path,
    home: Path,
    stage: Stage,
    places: Places,
    params: Mapping[str, object],
    run: Callable[[Stage, Path], None],
) -> None:
    # Under another name until it is done; a stage that can resume finds what it had begun.
    partial = home.with_name(f"{home.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    link({dep: places.get(dep, root / dep) for dep in stage.deps}, partial)
    write_params(params, partial / "params.yaml")
    run(stage, partial)
    shutil.rmtree(partial / ".work", ignore_errors=True)
    partial.rename(home)
