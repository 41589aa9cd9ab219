"""Calibrating mild and severe: strengths whose full-reference loss falls in a declared band.

Every degradation declares a loss (`measure`) and a band of it for each level. For every modality
where it occurs, the strength is found by bisection at which the mean loss over a set of pristine
images is the middle of the band, each image with its own fixed seed. The same level thus costs
about the same on a brain and on a retina, and a change of the physics does not move the labels in
silence.
"""

import math
from collections.abc import Sequence

import numpy as np
import polars as pl
import torch
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from medq_engine.degradations.base import Band, Degradation
from medq_engine.errors import MedqError
from medq_engine.simulation import seeded
from medq_engine.vocabulary import Measure, Modality

# The first three of the five scales of Wang et al. 2003, whose weights sum to 1 again: images of
# 96 pixels have no more.
WEIGHTS = np.array([0.0448, 0.2856, 0.3001])
BETAS = tuple(WEIGHTS / WEIGHTS.sum())
KERNEL = 7
SIGMA = 1.0
BISECTIONS = 12

LEVEL = {
    "name": pl.String,
    "modality": pl.String,
    "severity": pl.String,
    "strength": pl.Float64,
    "measure": pl.String,
    "low": pl.Float64,
    "high": pl.Float64,
    "loss": pl.Float64,
    "ms_ssim": pl.Float64,
    "psnr": pl.Float64,
}


class CalibrationError(MedqError):
    """A level cannot be reached; the message names the degradation, the modality and the band."""


def loss(measure: Measure, reference: np.ndarray, degraded: np.ndarray) -> float:
    """Full-reference loss of one image, 0 for the same image.

    Args:
        measure: `ms-ssim`: 1 - MS-SSIM over three scales (Wang, Simoncelli and Bovik 2003), mean of
            the channels. `rmse`: root mean square error; PSNR is -20 log10 of it.
        reference, degraded: float32 in [0, 1], (H, W) or (H, W, 3), at least 48 px a side.
    """
    if measure == "rmse":
        return float(np.sqrt(np.mean((degraded - reference) ** 2)))
    planes = [
        torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.atleast_3d(i), 2, 0)))[:, None]
        for i in (degraded, reference)
    ]
    similarity = multiscale_structural_similarity_index_measure(
        *planes, kernel_size=KERNEL, sigma=SIGMA, data_range=1.0, betas=BETAS, normalize="relu"
    )
    return 1 - float(similarity)


def mean_loss(
    degradation: Degradation,
    modality: Modality,
    strength: float,
    images: Sequence[np.ndarray],
    measure: Measure | None = None,
) -> float:
    """Mean loss over pristine images, each degraded with a seed of its own, the same every time."""
    return float(
        np.mean(
            [
                loss(
                    measure or degradation.measure,
                    image,
                    degradation.simulate(
                        image, strength, seeded("calibration", degradation.name, modality, index)
                    ),
                )
                for index, image in enumerate(images)
            ]
        )
    )


def strength_for(
    degradation: Degradation, modality: Modality, band: Band, images: Sequence[np.ndarray]
) -> float:
    """The strength at which the mean loss is the middle of `band`, to three digits; at most 1."""
    target = sum(band) / 2
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if mean_loss(degradation, modality, middle, images) < target:
            low = middle
        else:
            high = middle
    return round(high, 3)


def levels(
    degradation: Degradation, modality: Modality, images: Sequence[np.ndarray]
) -> list[dict[str, object]]:
    """Mild and severe of one degradation in one modality (schema LEVEL).

    Args:
        degradation: What is calibrated.
        modality: Where.
        images: Pristine images of the modality, float32 in [0, 1].

    Returns:
        For each level the strength, its band, the loss there, and MS-SSIM and PSNR (dB) whatever
        the measure.

    Raises:
        CalibrationError: No strength up to 1 reaches the band.
    """
    rows = []
    for severity, band in (("mild", degradation.mild), ("severe", degradation.severe)):
        strength = strength_for(degradation, modality, band, images)
        found = {
            measure: mean_loss(degradation, modality, strength, images, measure)
            for measure in ("ms-ssim", "rmse")
        }
        loss_there = found[degradation.measure]
        if not band[0] <= loss_there <= band[1]:
            raise CalibrationError(
                f"{degradation.name} on {modality}: {degradation.measure} loss {loss_there:.3f} at "
                f"strength {strength} is outside the band {band} of {severity}"
            )
        rows.append(
            {
                "name": degradation.name,
                "modality": modality,
                "severity": severity,
                "strength": strength,
                "measure": degradation.measure,
                "low": band[0],
                "high": band[1],
                "loss": round(loss_there, 4),
                "ms_ssim": round(1 - found["ms-ssim"], 4),
                "psnr": round(-20 * math.log10(found["rmse"]), 2),
            }
        )
    return rows


def strengths(table: pl.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """Calibrated levels (schema LEVEL) as `degradations.STRENGTHS` holds them; `none` is 0."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in table.iter_rows(named=True):
        here = found.setdefault(row["name"], {}).setdefault(row["modality"], {"none": 0.0})
        here[row["severity"]] = row["strength"]
    return found
