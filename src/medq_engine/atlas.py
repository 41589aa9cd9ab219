"""The atlas of degradations: every attribute at every level as pictures, in figures, in words."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from medq_engine.degradations import DEGRADATIONS
from medq_engine.figures import BLUE, GREY, VERMILION, drawing
from medq_engine.sheets import row_sheet, shorten
from medq_engine.simulation import seeded
from medq_engine.vocabulary import MODALITIES, MODALITY_LABELS

COLOURS = {"mild": BLUE, "severe": VERMILION}
AXES = {"ms-ssim": "1 - MS-SSIM", "rmse": "root mean square error"}


def sheet(levels: pl.DataFrame, images: Sequence[np.ndarray], path: Path) -> None:
    """Two pristine images with every degradation of a modality, mild and severe, twice each.

    Args:
        levels: Calibrated levels of one modality (schema `calibration.LEVEL`).
        images: Pristine images of it; the first and the last are shown.
        path: The PNG to write.
    """
    modality = levels["modality"][0]
    rows = []
    for name in levels["name"].unique(maintain_order=True):
        degradation = DEGRADATIONS[name]
        pictures = []
        for number, image in enumerate((images[0], images[-1])):
            pictures.append((as_picture(image), "as it was"))
            for row in levels.filter(pl.col("name") == name).iter_rows(named=True):
                rng = seeded("atlas", name, number)
                degraded = degradation.simulate(image, row["strength"], rng)
                pictures.append((as_picture(degraded), row["severity"]))
        rows.append((f"{shorten(degradation.label, 22, 2)}\n{degradation.scope}", pictures))
    title = f"{MODALITY_LABELS[modality]}: {len(rows)} degradations, mild and severe"
    row_sheet(rows, title, "simulated; strengths as calibrated (calibration.csv)", path)


def as_picture(image: np.ndarray) -> Image.Image:
    """A float image in [0, 1] as RGB."""
    return Image.fromarray(np.round(image * 255).astype(np.uint8)).convert("RGB")


def loss_plot(levels: pl.DataFrame, path: Path) -> None:
    """The loss of each level beside its declared band, one panel a measure.

    Args:
        levels: Schema `calibration.LEVEL`.
        path: The PNG to write.
    """
    names = {
        m: levels.filter(pl.col("measure") == m)["name"].unique(maintain_order=True).to_list()
        for m in AXES
    }
    tallest = max(map(len, names.values()))
    with drawing(path, 13, 1.2 + 0.24 * tallest) as figure:
        for panel, (measure, here) in zip(figure.subplots(1, 2), names.items(), strict=True):
            for row in levels.filter(pl.col("measure") == measure).iter_rows(named=True):
                place = here.index(row["name"])
                # Modalities of one attribute stand a little apart.
                shift = 0.12 * (MODALITIES.index(row["modality"]) - 2)
                colour = COLOURS[row["severity"]]
                panel.plot([row["low"], row["high"]], [place] * 2, color=colour, lw=7, alpha=0.2)
                panel.plot(row["loss"], place + shift, ".", color=colour, ms=6)
            panel.set_xscale("log")
            panel.set_yticks(range(len(here)), here, fontsize=8.5)
            panel.set_ylim(tallest - 0.5, -0.5)
            panel.set_xlabel(f"mean {AXES[measure]} over the reference images")
            panel.grid(axis="x", color=GREY, alpha=0.25)
        figure.suptitle("Loss at mild (blue) and severe (red): band declared, dot measured")


def page(levels: pl.DataFrame) -> str:
    """The registry as Markdown, with the sheets: what each attribute is and how it is calibrated.

    Args:
        levels: Calibrated levels of all modalities (schema `calibration.LEVEL`).
    """
    cells = levels.select("name", "modality").n_unique()
    lines = [
        "# Degradations",
        "",
        f"{len(DEGRADATIONS)} attributes, {cells} cells of attribute and modality. Made by "
        "`make calibration` from `src/medq_engine/degradations`; do not edit.",
        "",
        "Mild: visible to a person, diagnosis still possible. Severe: anatomy recognisable, not "
        "fit for diagnosis. The bands of full-reference loss were chosen by looking at 96 px; the "
        "strength of each level is found so that the mean loss over the reference images meets the "
        "middle of the band ([calibration.csv](calibration.csv)).",
        "",
        "![Loss of each level beside its band](calibration.png)",
    ]
    for modality in MODALITIES:
        name = MODALITY_LABELS[modality]
        lines += [
            "",
            f"## {name[0].upper() + name[1:]}",
            "",
            f"![Every degradation of {name}, mild and severe]({modality}.png)",
            "",
            "| attribute | loss | mild: strength, loss, PSNR | severe: strength, loss, PSNR |",
            "|---|---|---|---|",
        ]
        here = levels.filter(pl.col("modality") == modality)
        for attribute in here["name"].unique(maintain_order=True):
            rows = here.filter(pl.col("name") == attribute).to_dicts()
            told = [f"{r['strength']:.3f}, {r['loss']:.3f}, {r['psnr']:.1f} dB" for r in rows]
            label = DEGRADATIONS[attribute].label
            lines.append(f"| {label} | {AXES[rows[0]['measure']]} | {' | '.join(told)} |")
    lines += [
        "",
        "## What each one is",
        "",
        "Attributes of one family look alike and are never offered beside each other.",
        "",
        "| attribute | modalities | family | cause | parameters | source |",
        "|---|---|---|---|---|---|",
    ]
    for degradation in DEGRADATIONS.values():
        modalities = ", ".join(MODALITY_LABELS[modality] for modality in degradation.modalities)
        lines.append(
            f"| {degradation.label} | {modalities} | {degradation.family} | {degradation.cause} | "
            f"{'; '.join(degradation.parameters)} | {degradation.source} |"
        )
    return "\n".join(lines) + "\n"
