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


@cache
def functions(path: Path) -> dict[str, ast.FunctionDef]:
    """The functions of a module by name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def params_read(path: Path) -> set[str]:
    """Dotted names of the params that a stage reads, as far as its code spells them out.

    Functions of `pipeline` that it calls are followed, those that it does not call are not.
    """
    seen: set[tuple[Path, str]] = set()
    todo = [(path, name) for name in functions(path)]
    found: set[str] = set()
    while todo:
        file, name = todo.pop()
        if (file, name) in seen:
            continue
        seen.add((file, name))
        tree = functions(file)[name]
        called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        longer = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and id(node) not in called
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in functions(file):
                todo.append((file, node.id))
            if not isinstance(node, ast.Attribute):
                continue
            words = ast.unparse(node)
            # A method (`params.a.items()`) is no param, and a.b is part of a.b.c.
            if words.startswith("params.") and id(node) not in called | longer:
                found.add(words.removeprefix("params."))
            module = ROOT / "pipeline" / f"{words.split('.')[0]}.py"
            if module.exists() and node.attr in functions(module):
                todo.append((module, node.attr))
    return found
