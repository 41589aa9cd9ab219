"""medq: what people type around `dvc repro`.

medq status            where the round stands and what to do next
medq simulate-expert   answer the batch with the simulated expert (embedded default only)
medq close             commit and tag the round, log it to MLflow
medq next              start the next round from the last one's verdict
medq profile           list the profiles of known models, or write one into params.yaml
medq doctor            check that the model can run on this machine
medq ingest            take a folder of clinical images into the pool
medq import-medqbench  read MedQ-Bench's files into the benchmark's tables
medq export-medqbench  write the benchmark's tables as MedQ-Bench's files
"""

import argparse
import json
import sys
from pathlib import Path

from medq_engine import annotations, annotators, history, profiles, rounds, tables, tracking
from medq_engine.config import Params, load_params, remote
from medq_engine.errors import MedqError
from medq_engine.ingest import command as ingest_command
from medq_engine.language import Finding
from medq_engine.medqbench import exporting, importing
from medq_engine.medqbench.files import ExchangeError

BENCHMARK = Path("data/benchmark")


def read_metrics(root: Path) -> dict[str, dict[str, object]]:
    """Contents of metrics/*.json by stem."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((root / "metrics").glob("*.json"))
    }


def batch_of(root: Path, tag: str) -> tuple[list[dict[str, object]], str, Path]:
    """The round's tasks, their fingerprint and the file that answers them.

    Raises:
        RoundError: The round has no batch yet.
    """
    queue = root / "data" / "queue" / f"{tag}.jsonl"
    if not queue.exists():
        raise rounds.RoundError(f"{queue} is not there yet: run `dvc repro route`")
    tasks = [row for _, row in annotations.read_lines(queue)]
    answers = root / "data" / "annotations" / f"{tag}.jsonl"
    return tasks, tables.fingerprint(queue.read_bytes()), answers


def simulate_expert(root: Path, params: Params) -> str:
    """Answer the batch with the simulated expert; never over a person's answers."""
    tasks, batch, path = batch_of(root, params.tag)
    if path.exists():
        people = {row.get("annotator") for _, row in annotations.read_lines(path)}
        people -= {annotators.EXPERT_NAME}
        if people:
            names = ", ".join(sorted(map(str, people)))
            raise rounds.RoundError(f"{path} holds answers of {names}; they are not overwritten")
    oracle = tables.read(root / "data" / "oracle" / "truth.parquet", tables.TRUTH)
    truth = {
        row["image_id"]: [Finding(**finding) for finding in row["findings"]]
        for row in oracle.iter_rows(named=True)
    }
    expert = params.expert
    rows = [
        annotators.expert_annotation(
            task, truth[task["image_id"]], batch, expert.accuracy, expert.seconds, params.seed
        )
        for task in tasks
    ]
    tables.replace(path, tables.canonical(rows))
    minutes = len(rows) * expert.seconds / 60
    return (
        f"{annotators.EXPERT_NAME} answered {len(rows)} tasks in {path.relative_to(root)} "
        f"({minutes:.0f} simulated minutes)\nnext: dvc repro"
    )


def close(root: Path, params: Params) -> str:
    """Commit, tag and log the round."""
    metrics = read_metrics(root)
    if "gate" not in metrics:
        raise rounds.RoundError("the round has no verdict yet: run `dvc repro`")
    gate = metrics["gate"]
    commit = rounds.close(root, params.tag, f"{params.tag}: {gate['verdict']}, {gate['reason']}")
    digest = tables.fingerprint((root / "dvc.lock").read_bytes())
    reports = root / "reports"
    artifacts = [reports / f"{params.tag}.html", *sorted((reports / "figures").glob("*.png"))]
    _, _, answers = batch_of(root, params.tag)
    people = {row["annotator"] for _, row in annotations.read_lines(answers)}
    plain = {**tables.plain(params), "simulated": annotators.EXPERT_NAME in people}
    published = json.loads((root / "data" / "baselines" / "medq-bench.json").read_text("utf-8"))
    first = gate["test"]["incumbent"] if params.incumbent is None else None
    new = tracking.log_round(root, plain, metrics, commit, digest, artifacts)
    tracking.log_baselines(root, first, metrics.get("baselines", {}), published, "embedded")
    logged = "logged to MLflow" if new else "was in MLflow already"
    return f"{params.tag} is commit {commit[:10]}, tagged, and {logged}\nnext: medq next"


def start_next(root: Path) -> str:
    """Write the next round's state into params.yaml."""
    metrics = read_metrics(root)
    if "gate" not in metrics:
        raise rounds.RoundError("the round has no verdict yet: run `dvc repro` and `medq close`")
    labels = root / "data" / "round" / "labels.parquet"
    md5s = {
        "challenger": tables.folder_md5(root / "models" / "challenger"),
        "labels": rounds.bytes_md5(labels.read_bytes()),
    }
    tag = rounds.start_next(root, metrics["gate"], md5s)
    return f"params.yaml is at {tag}\nnext: make round (or: dvc repro route, answer, dvc repro)"


def percent(value: float) -> str:
    """`61.4 %`."""
    return f"{100 * value:.1f} %"


# What an endpoint's round consists of: there is nothing to fine-tune and nothing to let in.
ENDPOINT_ROUND = {"evaluate", "cluster", "retrieve", "route", "annotate-import"}


def status(root: Path, params: Params) -> str:
    """A short table of the round and the next command."""
    now = rounds.state(root, params.tag)
    lines = [f"{params.tag}, incumbent: " + incumbent_name(params)]
    metrics = read_metrics(root)
    if now.stale or "gate" not in metrics:
        pending = pending_tasks(root, params.tag)
        if pending:
            lines.append(f"{pending} tasks wait for people in data/queue/{params.tag}.jsonl")
            return "\n".join([*lines, "next: answer them (or: medq simulate-expert), dvc repro"])
        labelled = "annotate_import" in metrics and not set(now.stale) & ENDPOINT_ROUND
        if remote(params.model) and labelled:
            lines.append("the labels are in data/round/training.parquet")
            return "\n".join([*lines, "an endpoint is not fine-tuned: its round ends here"])
        stale = f"stale: {', '.join(now.stale)}" if now.stale else "not run yet"
        return "\n".join([*lines, stale, "next: dvc repro"])
    gate, labels = metrics["gate"], metrics["annotate_import"]
    for split in ("gate", "test"):
        d = gate[split]["overall"]
        lines.append(
            f"  {split:<5} accuracy  {percent(d['incumbent'])} -> {percent(d['challenger'])}   "
            f"difference {100 * d['value']:+.1f} points, 95 % interval "
            f"{100 * d['low']:+.1f} to {100 * d['high']:+.1f}   ({d['items']} items)"
        )
    routes = ", ".join(f"{route} {count}" for route, count in labels["by_route"].items())
    people = ", ".join(f"{name} {count}" for name, count in labels["annotators"].items())
    lines += [
        f"  verdict         {gate['verdict']}: {gate['reason']}",
        f"  labels by route {routes}",
        f"  experts         {people}; {labels['expert_seconds'] / 60:.0f} minutes",
        f"  report          reports/{params.tag}.html",
        "next: " + ("medq next" if now.closed else "medq close"),
    ]
    return "\n".join(lines)


def incumbent_name(params: Params) -> str:
    """`base model`, or the round whose adapter is in force."""
    return "base model" if params.incumbent is None else f"round {params.incumbent.round}"


def pending_tasks(root: Path, tag: str) -> int:
    """Tasks of the round's batch without an answer; 0 where there is no batch."""
    if not (root / "data" / "queue" / f"{tag}.jsonl").exists():
        return 0
    tasks, batch, path = batch_of(root, tag)
    try:
        annotations.read_annotations(path, tasks, batch)
    except annotations.Pending as pending:
        return len(pending.task_ids)
    except annotations.AnnotationError:
        return len(tasks)
    return 0


def import_medqbench(folder: Path, out: Path) -> str:
    """Import MedQ-Bench's files; what was read is kept although some rows were not.

    Raises:
        ExchangeError: Rows were left out; the message lists them.
    """
    done = importing.import_folder(folder, out)
    counts = (f"{s} {items} items, {images} images" for s, (items, images) in done.counts.items())
    said = f"imported into {out}: {'; '.join(counts)}"
    if done.ignored:
        said += f"\nnot read, of no split that is known: {', '.join(done.ignored)}"
    if done.faults:
        faults = "\n".join(map(str, done.faults))
        where = out / importing.FAULTS
        raise ExchangeError(f"{said}\nfaults, also in {where}: {len(done.faults)}\n{faults}")
    return said


def export_medqbench(benchmark: Path, out: Path) -> str:
    """Export the benchmark's tables as MedQ-Bench's files."""
    counts = exporting.export_folder(benchmark, out)
    splits = ", ".join(f"{split} {items} items" for split, items in counts.items())
    return f"exported to {out}: {splits}"


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


def examine(root: Path, name: str | None) -> None:
    """Print the doctor's checks as they are made, the verdict last; exit with 1 if it is no."""
    from medq_engine import doctor, trials  # with torch, for which other commands do not wait

    name, params, profile = doctor.patient(root, name)
    known = trials.trials(profile.shape if profile else None)
    checks = []
    for check in doctor.examine(params, profile, doctor.this_machine(), known):
        print(check, flush=True)
        checks.append(check)
    print(doctor.verdict(name, checks))
    if doctor.failed(checks):
        sys.exit(1)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `medq`."""
    parser = argparse.ArgumentParser(prog="medq", description="Around `dvc repro`: a round's life.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("status", help="where the round stands and what to do next")
    commands.add_parser("simulate-expert", help="answer the batch with the simulated expert")
    commands.add_parser("close", help="commit and tag the round, log it to MLflow")
    commands.add_parser("next", help="start the next round from the last one's verdict")
    commands.add_parser("history", help="the table of all closed rounds, from git")
    profiler = commands.add_parser("profile", help="list profiles, or write one into params.yaml")
    profiler.add_argument("name", nargs="?", help="the profile to write into params.yaml")
    profiler.add_argument("--table", action="store_true", help="what each takes, estimated")
    examiner = commands.add_parser("doctor", help="check that the model can run on this machine")
    examiner.add_argument("name", nargs="?", help="a profile, instead of params.yaml's model")
    importer = commands.add_parser("import-medqbench", help="read MedQ-Bench's files into tables")
    importer.add_argument("folder", type=Path, metavar="DIR", help="where the TSV files are")
    importer.add_argument("--out", type=Path, metavar="DIR", default=BENCHMARK)
    exporter = commands.add_parser(
        "export-medqbench", help="write the tables as MedQ-Bench's files"
    )
    exporter.add_argument("--benchmark", type=Path, metavar="DIR", default=BENCHMARK)
    exporter.add_argument("--out", type=Path, metavar="DIR", required=True)
    ingest_command.add_parser(commands)
    given = parser.parse_args(arguments)
    command = given.command
    root = Path.cwd()
    try:
        if command == "history":
            print(history.markdown(history.closed_rounds(root)))
            return
        if command == "ingest":
            print(ingest_command.run(given, root))
            return
        if command == "import-medqbench":
            print(import_medqbench(given.folder, given.out))
            return
        if command == "export-medqbench":
            print(export_medqbench(given.benchmark, given.out))
            return
        if command == "profile":
            if given.table:
                print(profile_table(root))
            else:
                print(use_profile(root, given.name) if given.name else list_profiles(root))
            return
        if command == "doctor":
            examine(root, given.name)
            return
        if command == "next":
            print(start_next(root))
            return
        params = load_params(root / "params.yaml")
        run = {"status": status, "simulate-expert": simulate_expert, "close": close}[command]
        print(run(root, params))
    except (MedqError, OSError, json.JSONDecodeError) as error:
        sys.exit(f"medq {command}: {error}")


if __name__ == "__main__":
    main()
