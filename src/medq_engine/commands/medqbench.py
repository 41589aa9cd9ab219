"""`medq import-medqbench` and `export-medqbench`: MedQ-Bench's files in and out."""

import argparse
from pathlib import Path

from medq_engine.medqbench import exporting, importing
from medq_engine.medqbench.files import ExchangeError

BENCHMARK = Path("data/benchmark")


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare both commands."""
    parser = commands.add_parser("import-medqbench", help="read MedQ-Bench's files into tables")
    parser.add_argument("folder", type=Path, metavar="DIR", help="where the TSV files are")
    parser.add_argument("--out", type=Path, metavar="DIR", default=BENCHMARK)
    parser.set_defaults(run=lambda given, root: import_medqbench(given.folder, given.out))
    parser = commands.add_parser("export-medqbench", help="write the tables as MedQ-Bench's files")
    parser.add_argument("--benchmark", type=Path, metavar="DIR", default=BENCHMARK)
    parser.add_argument("--out", type=Path, metavar="DIR", required=True)
    parser.set_defaults(run=lambda given, root: export_medqbench(given.benchmark, given.out))


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
