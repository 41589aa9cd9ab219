"""A round's life: `medq status`, `simulate-expert`, `close`, `next`, `history`, `track`."""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl

from medq_engine import (
    annotations,
    annotators,
    answer_file,
    batches,
    closed,
    history,
    readings,
    rounds,
    stand_ins,
    tables,
    tracking,
)
from medq_engine.config import Params, load_params, remote
from medq_engine.language import Finding


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the six commands."""

    def with_params(do: Callable[[Path, Params], str]) -> Callable[..., str]:
        return lambda given, root: do(root, load_params(root / "params.yaml"))

    add = commands.add_parser
    parser = add("status", help="where the round stands and what to do next")
    parser.set_defaults(run=with_params(status))
    parser = add("simulate-expert", help="answer the batch with simulated people")
    parser.set_defaults(run=with_params(simulate_expert))
    parser = add("close", help="commit and tag the round, log it to MLflow, write the index")
    parser.set_defaults(run=with_params(close))
    parser = add("next", help="start the next round from the last one's verdict")
    parser.set_defaults(run=lambda given, root: start_next(root))
    parser = add("history", help="all closed rounds, from git: a table, and reports/index.html")
    parser.set_defaults(run=lambda given, root: all_rounds(root))
    parser = add("track", help="log the closed rounds that MLflow lacks")
    parser.add_argument("--rebuild", action="store_true", help="log all of them anew, from git")
    parser.set_defaults(
        run=lambda given, root: (tracking.rebuild if given.rebuild else tracking.track)(root)
    )


def read_metrics(root: Path) -> dict[str, dict[str, object]]:
    """Contents of metrics/*.json by stem."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((root / "metrics").glob("*.json"))
    }


def simulate_expert(root: Path, params: Params) -> str:
    """Answer the batch with simulated people; never over a person's answers."""
    batch = batches.open_batch(root, params.tag)
    truth = simulated_truth(root)
    unknown = [task["task_id"] for task in batch.tasks if task["image_id"] not in truth]
    if unknown:
        raise rounds.RoundError(
            f"data/oracle/truth.parquet does not know the image of task {unknown[0]} "
            f"({len(unknown)} in all): simulated people read the embedded default's images only. "
            "Answer with `medq review`."
        )
    given = [
        row
        for task in batch.tasks
        for row in stand_ins.readings_of(
            task, truth[task["image_id"]], batch.fingerprint, params.expert, params.seed
        )
    ]
    with answer_file.locked(batch.answers):
        refuse_people(batch.answers)
        annotations.store(batch.answers, given)
    minutes = sum(row["seconds"] for row in given) / 60
    names = ", ".join(
        name for name in stand_ins.NAMES if any(r["annotator"] == name for r in given)
    )
    return (
        f"{names} answered {len(batch.tasks)} tasks in {batch.answers.relative_to(root)} "
        f"({minutes:.0f} simulated minutes)\nnext: dvc repro"
    )


def refuse_people(answers: Path) -> None:
    """Raise RoundError if an annotation file holds a person's answers."""
    rows = annotations.read_lines(answers) if answers.exists() else []
    people = {str(row.get("annotator")) for _, row in rows} - set(stand_ins.NAMES)
    if people:
        names = ", ".join(sorted(people))
        raise rounds.RoundError(f"{answers} holds answers of {names}; they are not overwritten")


def simulated_truth(root: Path) -> dict[str, list[Finding]]:
    """What images show: of the pool by the simulator's truth, of dev (gold tasks) by its items."""
    data = root / "data"
    items = tables.read(data / "benchmark" / "dev" / "items.parquet", tables.ITEM)
    oracle = tables.read(data / "oracle" / "truth.parquet", tables.TRUTH)
    return {
        truth["image_id"]: [Finding(**finding) for finding in truth["findings"]]
        for truth in pl.concat([annotators.shown_by(items), oracle]).iter_rows(named=True)
    }


def close(root: Path, params: Params) -> str:
    """Commit, tag and log the round, with a model card where its adapter is accepted."""
    metrics = read_metrics(root)
    if "gate" not in metrics:
        raise rounds.RoundError("the round has no verdict yet: run `dvc repro`")
    gate, card = metrics["gate"], root / "models" / "cards" / f"{params.tag}.md"
    if gate["verdict"] == "pass":
        tables.replace(card, card_of(root, params, metrics).encode())
    else:
        card.unlink(missing_ok=True)  # of a close that was refused before the verdict changed
    commit = rounds.close(root, params.tag, f"{params.tag}: {gate['verdict']}, {gate['reason']}")
    logged = (
        "logged to MLflow" if tracking.log_closed(root, params.tag) else "was in MLflow already"
    )
    page = write_index(root)
    return (
        f"{params.tag} is commit {commit[:10]}, tagged, and {logged}\n"
        f"all rounds: {page.relative_to(root)}\n"
        f"{worth_it(closed.read_all(root))}next: medq next"
    )


def worth_it(rounds: Sequence[closed.Closed]) -> str:
    """A line that says if another round is worth its labels; empty where that is not known."""
    outlook = history.what_next(rounds)
    return f"{outlook.verdict}\n" if outlook else ""


def card_of(root: Path, params: Params, metrics: Mapping[str, Mapping[str, object]]) -> str:
    """The model card of the round's adapter."""
    from medq_engine import model_card  # with matplotlib, for which other commands do not wait

    inputs = root / "data" / "dvc.lock"  # a site that tracks data of its own need not have it
    made = closed.hashes(inputs.read_text(encoding="utf-8")) if inputs.exists() else {}
    return model_card.card(
        params.tag,
        tables.plain(params),
        metrics,
        closed.hashes((root / "dvc.lock").read_text(encoding="utf-8")),
        batches.open_batch(root, params.tag).fingerprint,
        embedded=closed.TEST in made,
    )


def all_rounds(root: Path) -> str:
    """The table of closed rounds, with the page that shows them written anew."""
    page = write_index(root)
    rounds = closed.read_all(root)
    return f"{history.markdown(rounds)}\n\n{worth_it(rounds)}{page.relative_to(root)}"


def write_index(root: Path) -> Path:
    """Write reports/index.html; its path."""
    from medq_engine import index_page  # with matplotlib, for which other commands do not wait

    return index_page.write(root)


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
        waits = pending(root, params.tag)
        if waits:
            lines.append(waits)
            return "\n".join([*lines, "next: medq review (or: medq simulate-expert), dvc repro"])
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


def pending(root: Path, tag: str) -> str:
    """What the round's batch waits for; empty where there is no batch or nobody has to do more."""
    try:
        batch = batches.open_batch(root, tag)
        readings.complete(batch.answers, batch.tasks, batch.fingerprint)
    except rounds.RoundError:
        return ""
    except readings.Pending as waits:
        return f"tasks wait for people: {waits.waiting}"
    except annotations.AnnotationError as fault:
        return str(fault)
    return ""
