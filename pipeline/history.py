"""history: the labels of all rounds before, from the last round's commit; in the beginning none."""

from medq_engine import rounds, tables
from pipeline import paths, stage


def main() -> None:
    params = paths.params()
    history = params.history
    if history is None:
        tables.write(tables.table([], tables.LABEL), paths.HISTORY, tables.LABEL)
        return
    data = rounds.materialise_file(paths.LABELS, history.rev, history.md5)
    tables.replace(paths.HISTORY, data)
    tables.read(paths.HISTORY, tables.LABEL)


if __name__ == "__main__":
    stage.run(main)
