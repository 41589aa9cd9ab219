"""drafts: what the simulated draft annotator answers to every question about pool and dev images.

This is the one stage that reads the oracle. The loop sees answers, never truth. Images of dev are
drafted because gold tasks must look like the others, and because routing learns there, where truth
is known, what a draft is worth. Where an endpoint drafts (drafts.endpoint),
the table stays empty: route asks it about the round's tasks alone.
"""

import polars as pl

from medq_engine import annotators, tables
from medq_engine.language import Finding
from pipeline import paths, stage


def main() -> None:
    params = paths.params()
    rows = []
    if params.drafts.endpoint is None:
        items = tables.read(paths.BENCHMARK / "dev" / "items.parquet", tables.ITEM)
        known = annotators.shown_by(items)
        truths = pl.concat([tables.read(paths.ORACLE, tables.TRUTH), known])
        for truth in truths.iter_rows(named=True):
            findings = [Finding(**finding) for finding in truth["findings"]]
            rows += annotators.draft_answers(
                truth["image_id"], truth["modality"], findings, params.drafts.accuracy, params.seed
            )
    tables.write(tables.table(rows, tables.DRAFT), paths.DRAFTS, tables.DRAFT)


if __name__ == "__main__":
    stage.run(main)
