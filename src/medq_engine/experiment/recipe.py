"""What a result follows from: params, code and inputs, as one key.

A key is made without running anything. Code counts by its syntax tree without docstrings, so that
a comment does not make hours of results stale; what a stage reads is what dvc.yaml declares (a
test compares that with the code).
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from medq_engine.errors import MedqError

INPUTS = ("data/dvc.yaml", "models/dvc.yaml")
STATE = ("history", "current")
"""Input stages that a round's past decides: a cell runs them itself."""
LOOP = ("evaluate", "cluster", "retrieve", "route", "annotate-import", "finetune")
"""Stages of the loop that a cell runs; the gate's decision is taken without its report."""
BESIDE = ("annotators", "stand_ins", "readings", "gate", "statistics")
"""Modules that a cell uses beside those of its stages: simulated people, and the decision."""
DRAWN = ("figures", "sheets")
"""Modules that draw: no number follows from them."""
MEASURED = ("costs", "expert", "quality_gate")
"""Params that a cell's result depends on beside those of its stages."""


class RecipeError(MedqError):
    """A stage's inputs are not to be had; the message says what to run."""


@dataclass(frozen=True)
class Stage:
    """A stage as dvc.yaml declares it.

    Attributes:
        module: That runs it.
        code: Declared files and folders of code.
        deps, outs: Declared data.
        params: Dotted names.
    """

    name: str
    module: str
    code: tuple[str, ...]
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    params: tuple[str, ...]


def read_stages(file: Path) -> dict[str, Stage]:
    """The stages of a dvc.yaml by name."""
    listed = YAML(typ="safe").load(file.read_text(encoding="utf-8"))["stages"]
    return {name: _stage(name, entry) for name, entry in listed.items()}


def _stage(name: str, entry: Mapping[str, object]) -> Stage:
    deps = tuple(entry.get("deps", ()))
    code = tuple(dep for dep in deps if dep.startswith(("src/", "pipeline/")))
    outs = [out for kind in ("outs", "plots", "metrics") for out in entry.get(kind, ())]
    return Stage(
        name=name,
        module=entry["cmd"].rsplit(maxsplit=1)[-1],
        code=code,
        deps=tuple(dep for dep in deps if dep not in code),
        outs=tuple(next(iter(out)) if isinstance(out, dict) else out for out in outs),
        params=tuple(entry.get("params", ())),
    )


def needed(inputs: Mapping[str, Stage], wanted: Iterable[str]) -> list[Stage]:
    """The input stages that make the wanted data, each after those that it needs itself.

    Raises:
        RecipeError: No stage makes a wanted path.
    """
    makers = {out: stage for stage in inputs.values() for out in stage.outs}
    found: dict[str, Stage] = {}

    def add(stage: Stage) -> None:
        for dep in stage.deps:
            if dep in makers and makers[dep].name not in found:
                add(makers[dep])
        found.setdefault(stage.name, stage)

    for path in wanted:
        if path not in makers:
            raise RecipeError(f"no stage of {' or '.join(INPUTS)} makes {path}")
        add(makers[path])
    return list(found.values())


class _Bare(ast.NodeTransformer):
    """Takes docstrings out of a syntax tree."""

    def visit(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(body, list):  # a lambda's is an expression
            node.body = [part for part in body if not _is_text(part)]
        return node


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def content(file: Path) -> bytes:
    """What counts of a file of code."""
    if file.suffix != ".py":
        return file.read_bytes()
    return ast.dump(_Bare().visit(ast.parse(file.read_text(encoding="utf-8")))).encode()


def md5_of(file: Path) -> str:
    """md5 of what counts of a file."""
    return hashlib.md5(content(file), usedforsecurity=False).hexdigest()


class Code:
    """The code of a repository, read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._md5: dict[Path, str] = {}

    def of(self, paths: Iterable[str]) -> dict[str, str]:
        """md5 of every file under some paths, by its own path; drawing is left out."""
        files = {p for path in paths for p in _files(self.root / path) if p.stem not in DRAWN}
        for file in files - self._md5.keys():
            self._md5[file] = md5_of(file)
        return {f.relative_to(self.root).as_posix(): self._md5[f] for f in sorted(files)}


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    yield from (p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


def key_of(*parts: object) -> str:
    """16 hex digits that change when a part does."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:16]


def picked(params: Mapping[str, object], names: Iterable[str]) -> dict[str, object]:
    """Values of dotted params; the machine's number of threads is none that a result follows from.

    (Cells run with a number of their own, which `plan` has in their keys.)
    """
    found = {}
    for name in sorted({*names} - {"model.threads"}):
        value: object = params
        for word in name.split("."):
            value = value[word]
        if name == "model":
            value = {key: entry for key, entry in value.items() if key != "threads"}
        found[name] = value
    return found


def input_keys(
    stages: Iterable[Stage],
    params: Mapping[str, object],
    code: Mapping[str, str],
    tracked: Mapping[str, str],
) -> dict[str, str]:
    """Key of every input stage under some params.

    Args:
        stages: Each after those that it needs (`needed`).
        params: Contents of params.yaml.
        code: Key of the code of every stage.
        tracked: md5 of the data that no stage makes.
    """
    keys: dict[str, str] = {}
    made: dict[str, str] = {}
    for stage in stages:
        data = {dep: made.get(dep) or tracked[dep] for dep in stage.deps}
        keys[stage.name] = key_of(stage.name, picked(params, stage.params), code[stage.name], data)
        made |= dict.fromkeys(stage.outs, keys[stage.name])
    return keys
