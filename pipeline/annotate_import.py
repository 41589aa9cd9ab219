"""annotate-import: the answered batch and the unreviewed labels -> what this round may train on."""

import json

from medq_engine import annotations, labelling, lessons, lineage, readings, tables
from medq_engine.simulation import seeded
from pipeline import paths, stage


def main() -> None:
    params = paths.params()
    queue = paths.QUEUE / f"{params.tag}.jsonl"
    answers = paths.ANNOTATIONS / f"{params.tag}.jsonl"
    batch = [row for _, row in annotations.read_lines(queue)]
    given = readings.complete(answers, batch, tables.fingerprint(queue.read_bytes()))
    tasks = tables.read(paths.TASKS, tables.TASK)
    history = tables.read(paths.HISTORY, tables.LABEL)
    spent = json.loads(paths.LEDGER.read_text(encoding="utf-8"))
    images = tables.Images(paths.POOL)

    rng = seeded("agreement", params.seed, params.tag)
    found = labelling.accept(
        tasks,
        given,
        history,
        spent,
        images,
        params.annotate_import,
        params.route,
        params.costs,
        rng,
    )
    tables.write(found.labels, paths.LABELS, tables.LABEL)
    training = lessons.training_rows(found.labels, images, params.seed)
    tables.write(tables.table(training, tables.TRAINING), paths.TRAINING, tables.TRAINING)
    files = {"batch": lineage.content_md5(queue), "annotations": lineage.content_md5(answers)}
    tables.write_json(found.metrics | {"files": files}, paths.METRICS / "annotate_import.json")
    print(
        f"annotate-import: {len(found.labels)} labels so far, {found.metrics['round']} this round"
    )


if __name__ == "__main__":
    stage.run(main)
