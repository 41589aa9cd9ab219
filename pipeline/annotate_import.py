"""annotate-import: the answered batch and the unreviewed labels -> what this round may train on."""

from medq_engine import annotations, labelling, lessons, tables
from pipeline import paths, stage


def main() -> None:
    params = paths.params()
    queue = paths.QUEUE / f"{params.tag}.jsonl"
    answers = paths.ANNOTATIONS / f"{params.tag}.jsonl"
    batch = [row for _, row in annotations.read_lines(queue)]
    reviewed = annotations.read_annotations(answers, batch, tables.fingerprint(queue.read_bytes()))
    tasks = tables.read(paths.TASKS, tables.TASK)
    history = tables.read(paths.HISTORY, tables.LABEL)
    images = tables.Images(paths.POOL)

    found = labelling.accept(tasks, reviewed, history, images, params.annotate_import)
    tables.write(found.labels, paths.LABELS, tables.LABEL)
    training = lessons.training_rows(found.labels, images, params.seed)
    tables.write(tables.table(training, tables.TRAINING), paths.TRAINING, tables.TRAINING)
    tables.write_json(found.metrics, paths.METRICS / "annotate_import.json")
    print(
        f"annotate-import: {len(found.labels)} labels so far, {found.metrics['round']} this round"
    )


if __name__ == "__main__":
    stage.run(main)
