"""history: labels and costs of all rounds before, from the last round's commit; at first none."""

import json

from medq_engine import rounds, tables
from pipeline import paths, stage


def main() -> None:
    params = paths.params()
    history = params.history
    if history is None:
        tables.write(tables.table([], tables.LABEL), paths.HISTORY, tables.LABEL)
        tables.write_json(None, paths.LEDGER)
        return
    data = rounds.materialise_file(paths.LABELS, history.rev, history.md5)
    tables.replace(paths.HISTORY, data)
    tables.read(paths.HISTORY, tables.LABEL)
    metrics = json.loads(rounds.committed(paths.METRICS / "annotate_import.json", history.rev))
    tables.write_json(metrics["ledger"]["total"], paths.LEDGER)


if __name__ == "__main__":
    stage.run(main)
