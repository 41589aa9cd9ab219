"""history: labels, costs and payoffs of the rounds before, from the last commit; at first none."""

import json

import polars as pl

from medq_engine import payoff, rounds, tables
from pipeline import paths, stage


def main() -> None:
    params = paths.params()
    history = params.history
    if history is None:
        tables.write(tables.table([], tables.LABEL), paths.HISTORY, tables.LABEL)
        tables.write_json(None, paths.LEDGER)
        tables.write(tables.table([], payoff.PAYOFF), paths.PAYOFFS, payoff.PAYOFF)
        return
    data = rounds.materialise_file(paths.LABELS, history.rev, history.md5)
    tables.replace(paths.HISTORY, data)
    tables.read(paths.HISTORY, tables.LABEL)
    imported, trained = (
        json.loads(rounds.committed(paths.METRICS / f"{name}.json", history.rev))
        for name in ("annotate_import", "finetune")
    )
    tables.write_json(imported["ledger"]["total"], paths.LEDGER)
    payoffs = pl.DataFrame(trained["payoffs"], schema=payoff.PAYOFF)
    tables.write(payoffs, paths.PAYOFFS, payoff.PAYOFF)


if __name__ == "__main__":
    stage.run(main)
