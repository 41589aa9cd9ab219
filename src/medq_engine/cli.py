"""medq: what people type around `dvc repro`.

medq status            where the round stands and what to do next
medq simulate-expert   answer the batch with the simulated expert (embedded default only)
medq review            answer the batch on a local page
medq batch             what the batch waits for; --summary: the text of its pull request
medq export-batch      the batch for Label Studio, or as CSV
medq import-batch      answers from Label Studio or a CSV
medq close             commit and tag the round, log it to MLflow, write reports/index.html
medq next              start the next round from the last one's verdict
medq history           the table of all closed rounds, and reports/index.html
medq track             log closed rounds that MLflow lacks; --rebuild: all of them anew
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

from medq_engine.commands import batch, ingest, life, medqbench, model
from medq_engine.errors import MedqError


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `medq`."""
    parser = argparse.ArgumentParser(prog="medq", description="Around `dvc repro`: a round's life.")
    commands = parser.add_subparsers(dest="command", required=True)
    for module in (life, batch, model, ingest, medqbench):
        module.add_parsers(commands)
    given = parser.parse_args(arguments)
    try:
        said = given.run(given, Path.cwd())
    except (MedqError, OSError, json.JSONDecodeError) as error:
        sys.exit(f"medq {given.command}: {error}")
    if said:
        print(said)


if __name__ == "__main__":
    main()
