"""`medq profile` and `doctor`: settings of a known model, and whether this machine can run it."""

import argparse
import sys
from pathlib import Path

from medq_engine import profiles
from medq_engine.config import load_params


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare both commands."""
    parser = commands.add_parser("profile", help="list profiles, or write one into params.yaml")
    parser.add_argument("name", nargs="?", help="the profile to write into params.yaml")
    parser.add_argument("--table", action="store_true", help="what each takes, estimated")
    parser.set_defaults(run=profile)
    parser = commands.add_parser("doctor", help="check that the model can run on this machine")
    parser.add_argument("name", nargs="?", help="a profile, instead of params.yaml's model")
    parser.set_defaults(run=lambda given, root: examine(root, given.name))


def profile(given: argparse.Namespace, root: Path) -> str:
    """List the profiles, tell what they take, or write one into params.yaml."""
    if given.table:
        return profile_table(root)
    return use_profile(root, given.name) if given.name else list_profiles(root)


def list_profiles(root: Path) -> str:
    """A line for every profile: its name, what it needs, what it is."""
    folder = root / "profiles"
    known = {name: profiles.load(folder, name) for name in profiles.names(folder)}
    return "\n".join(
        f"{name:<14} {one.needs.device:<4} {one.needs.memory:>4.0f} GB  {one.about}"
        for name, one in known.items()
    )


def profile_table(root: Path) -> str:
    """What every profile takes, laid over params.yaml in memory: estimates as Markdown."""
    from medq_engine import doctor, estimates  # with torch, for which other commands do not wait

    rows = []
    for name in profiles.names(root / "profiles"):
        _, params, profile = doctor.patient(root, name)
        rows.append(estimates.row(name, profile, params.model, params.finetune))
    return estimates.table(rows)


def use_profile(root: Path, name: str) -> str:
    """Write a profile into params.yaml; the diff and what to do next."""
    path = root / "params.yaml"
    before = load_params(path)
    diff = profiles.write(path, profiles.load(root / "profiles", name))
    if not diff:
        return f"params.yaml holds {name} already\nnext: medq doctor"
    lines = [diff]
    if before.incumbent is not None and load_params(path).model.id != before.model.id:
        lines.append("incumbent is an adapter of the model before: set it to null")
    return "\n".join([*lines, "next: medq doctor"])


def examine(root: Path, name: str | None) -> str:
    """Print the doctor's checks as they are made; the verdict, exit with 1 if it is no."""
    from medq_engine import doctor, trials  # with torch, for which other commands do not wait

    name, params, profile = doctor.patient(root, name)
    known = trials.trials(profile.shape if profile else None)
    checks = []
    for check in doctor.examine(params, profile, doctor.this_machine(), known):
        print(check, flush=True)
        checks.append(check)
    verdict = doctor.verdict(name, checks)
    if doctor.failed(checks):
        print(verdict)
        sys.exit(1)
    return verdict
