"""Every stage declares what it uses, and sees nothing that it must not see."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.pipeline.declared import ROOT, closure, params_read

FILES = (Path("dvc.yaml"), Path("data/dvc.yaml"), Path("models/dvc.yaml"))
LOOP = [
    "evaluate",
    "cluster",
    "retrieve",
    "route",
    "annotate-import",
    "finetune",
    "quality-gate",
]
# These cannot change an output: config only checks params, which are declared themselves; paths are
# spelled out in dvc.yaml; stage and errors only show what went wrong; packages hold no code.
PLUMBING = {
    "pipeline/__init__.py",
    "pipeline/paths.py",
    "pipeline/stage.py",
    "src/medq_engine/__init__.py",
    "src/medq_engine/config.py",
    "src/medq_engine/errors.py",
    "src/medq_engine/models/__init__.py",
}


def stages() -> dict[str, dict]:
    """Every stage of the three files by name."""
    yaml = YAML(typ="safe")
    found = {}
    for file in FILES:
        found |= yaml.load((ROOT / file).read_text(encoding="utf-8"))["stages"]
    return found


STAGES = stages()


def paths_of(stage: dict, kind: str) -> list[str]:
    """Paths of a stage's deps, outs or metrics, without their options."""
    return [next(iter(e)) if isinstance(e, dict) else e for e in stage.get(kind, [])]


def upstream(name: str) -> set[str]:
    """Every path that a stage depends on, through the outputs of other stages too."""
    maker = {p: n for n, s in STAGES.items() for k in ("outs", "metrics") for p in paths_of(s, k)}
    todo, seen = [name], set()
    while todo:
        for dep in paths_of(STAGES[todo.pop()], "deps"):
            if dep not in seen:
                seen.add(dep)
                todo += [maker[dep]] if dep in maker else []
    return seen


def test_the_loop_is_exactly_the_seven_stages():
    yaml = YAML(typ="safe")
    found = yaml.load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert list(found) == LOOP


@pytest.mark.parametrize("name", STAGES)
def test_stage_declares_every_module_that_it_uses(name: str):
    module = ROOT / "pipeline" / f"{name.replace('-', '_')}.py"
    used = {p.relative_to(ROOT).as_posix() for p in closure(module)} - PLUMBING
    declared = [d for d in paths_of(STAGES[name], "deps") if d.startswith(("src/", "pipeline/"))]
    missing = {u for u in used if not any(u == d or u.startswith(f"{d}/") for d in declared)}
    unused = {d for d in declared if not any(u == d or u.startswith(f"{d}/") for u in used)}
    assert not missing, "declare them in deps, or a change goes stale in silence"
    assert not unused, "not used: they would re-run the stage for nothing"


@pytest.mark.parametrize("name", STAGES)
def test_stage_declares_every_param_that_it_reads(name: str):
    read = params_read(ROOT / "pipeline" / f"{name.replace('-', '_')}.py")
    declared = set(STAGES[name].get("params", []))
    covered = {r for r in read if any(r == d or r.startswith(f"{d}.") for d in declared)}
    assert read - covered == set()
    assert {d for d in declared if not any(r == d or r.startswith(f"{d}.") for r in read)} == set()


def test_only_the_simulated_annotator_depends_on_the_oracle():
    readers = [n for n, s in STAGES.items() if any("oracle" in d for d in paths_of(s, "deps"))]
    assert readers == ["drafts"]


def test_only_stages_that_may_open_the_oracle_name_it_in_code():
    naming = {
        path.relative_to(ROOT).as_posix()
        for folder in ("pipeline", "src")
        for path in (ROOT / folder).rglob("*.py")
        if "paths.ORACLE" in path.read_text(encoding="utf-8")
        or '"oracle"' in path.read_text(encoding="utf-8")
    }
    assert naming == {
        "pipeline/pool.py",
        "pipeline/drafts.py",
        "pipeline/encoder_study.py",  # reports, no stages
        "pipeline/route_study.py",
        "pipeline/cell.py",
        "src/medq_engine/commands/life.py",
    }


@pytest.mark.parametrize("name", ["evaluate", "cluster", "retrieve", "route", "finetune"])
def test_nothing_that_selects_or_trains_sees_gate_or_test(name: str):
    assert not upstream(name) & {"data/benchmark/gate", "data/benchmark/test"}


def test_paths_that_a_stage_opens_are_declared():
    # The modules name their files through pipeline.paths: each name must stand in deps or outs.
    constants = {
        "SCENES": "data/images",
        "HASHES": "data/benchmark/hashes.parquet",
        "POOL": "data/pool",
        "DRAFTS": "data/drafts.parquet",
        "EMBEDDINGS": "data/embeddings",
        "HISTORY": "data/history.parquet",
        "REPLAY": "models/replay.parquet",
        "CURRENT": "models/current",
        "PREDICTIONS": "data/round/predictions.parquet",
        "PROTOTYPES": "data/round/prototypes.parquet",
        "CANDIDATES": "data/round/candidates.parquet",
        "TASKS": "data/round/tasks.parquet",
        "TRAINING": "data/round/training.parquet",
        "BASELINES": "data/baselines",
        "ANNOTATIONS": "data/annotations",
    }
    for name, stage in STAGES.items():
        code = (ROOT / "pipeline" / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8")
        declared = [p for k in ("deps", "outs", "metrics") for p in paths_of(stage, k)]
        for constant, path in constants.items():
            if f"paths.{constant}" in code:
                assert path in declared, f"{name} opens {path} without declaring it"
