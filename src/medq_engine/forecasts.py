"""Confidence against accuracy, bin by bin: the numbers of a reliability diagram."""

import numpy as np
import polars as pl

from medq_engine.confidence import BINS, calibration_error, top


def reliability_bins(items: pl.DataFrame, predictions: pl.DataFrame) -> dict[str, object]:
    """How often answers given with a confidence are right, for ten equal bins of confidence.

    Confidence is the probability of the answer that a model chose.

    Args:
        items: Schema ITEM; the perception questions among them count.
        predictions: Schema PREDICTION of one model.

    Returns:
        items; ece (`confidence.calibration_error`); bins: ten of low, high, items, confidence and
        accuracy (means, None in an empty bin).
    """
    asked = items.filter(pl.col("task") == "perception").select("item_id")
    given = asked.join(predictions, on="item_id", maintain_order="left")
    forecast = top(given["probabilities"].to_list())
    correct = given["correct"].to_numpy().astype(float)
    place = np.minimum((forecast * BINS).astype(int), BINS - 1)

    def row(number: int) -> dict[str, float | int | None]:
        here = place == number
        some = bool(here.any())
        return {
            "low": number / BINS,
            "high": (number + 1) / BINS,
            "items": int(here.sum()),
            "confidence": float(forecast[here].mean()) if some else None,
            "accuracy": float(correct[here].mean()) if some else None,
        }

    return {
        "items": len(given),
        "ece": calibration_error(forecast, correct),
        "bins": [row(number) for number in range(BINS)],
    }
