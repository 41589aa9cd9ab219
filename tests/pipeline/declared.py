"""What a stage really uses, read from its code: modules it imports, params it reads."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "medq_engine"


def module_file(name: str) -> Path | None:
    """The file of a module of the library or of `pipeline`, or None for anything else."""
    top = name.split(".")[0]
    base = {PACKAGE: ROOT / "src", "pipeline": ROOT}.get(top)
    if base is None:
        return None
    path = base.joinpath(*name.split("."))
    if path.with_suffix(".py").exists():
        return path.with_suffix(".py")
    return path / "__init__.py" if (path / "__init__.py").exists() else None


@cache
def imports(path: Path) -> frozenset[Path]:
    """Files of the repository that a file imports, directly."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found |= {file for name in names if (file := module_file(name))}
    return frozenset(found)


def closure(path: Path) -> set[Path]:
    """All files of the repository that a file needs, itself included."""
    todo, seen = [path], set()
    while todo:
        file = todo.pop()
        if file not in seen:
            seen.add(file)
            todo += imports(file)
    if ROOT / "src" / PACKAGE / "report.py" in seen:
        seen |= set((ROOT / "src" / PACKAGE / "templates").iterdir())
    return seen


def params_read(path: Path) -> set[str]:
    """Dotted names of the params that a stage reads, as far as its code spells them out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    longer = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and id(node) not in called
    }
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        name = ast.unparse(node)
        # A method (`params.a.items()`) is no param, and a.b is part of a.b.c.
        if name.startswith("params.") and id(node) not in called | longer:
            found.add(name.removeprefix("params."))
        if name == "models.answering":
            found |= {"evaluate", "model", "seed"}
    return found
