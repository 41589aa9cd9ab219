"""Colour deconvolution: how much of each dye lies in each pixel of a stained section."""

import numpy as np

from medq_engine.degradations._optics import absorb, optical_density

# Optical density (red, green, blue) of one unit of haematoxylin, eosin and DAB: Ruifrok and
# Johnston, Quantification of histochemical staining by color deconvolution, Analytical and
# Quantitative Cytology and Histology 23, 2001. DAB also takes up the orange share of eosins.
DYES = np.array([(0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78)])
SITES = 3.5  # amount of a dye, as optical density, that fills every site that can bind it
GLASS = 0.08  # optical density of slide and coverslip under a lamp that is set just below white


def tissue_density(image: np.ndarray) -> np.ndarray:
    """Optical density (H, W, C), natural log, of `image` in [0, 1] without that of the glass."""
    return np.maximum(optical_density(image) - GLASS, 0)


def dye_vectors(image: np.ndarray) -> np.ndarray:
    """Density of a unit of each dye, (3, 3); a grey `image` (H, W, 1) has one dye, (1, 1)."""
    return DYES if image.shape[2] == 3 else np.ones((1, 1))


def unmix(image: np.ndarray) -> np.ndarray:
    """Amounts of dye (H, W, 3), not negative, in the order of `DYES`; (H, W, 1) for grey."""
    return np.maximum(tissue_density(image) @ np.linalg.inv(dye_vectors(image)), 0)


def uptake(amounts: np.ndarray, exposure: np.ndarray) -> np.ndarray:
    """Gain of each dye when concentration times time changes by the factor `exposure`.

    Langmuir isotherm: of the sites that bind dye, a filled fraction f becomes g f / (1 + (g - 1) f)
    when the exposure grows g times, so that full sites take up no more. `exposure` broadcasts
    against `amounts` (H, W, dyes).
    """
    return exposure / (1 + (exposure - 1) * np.minimum(amounts / SITES, 1))


def restain(image: np.ndarray, amounts: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """`image` (H, W, C) with `gains` times as much of each dye as `amounts` (H, W, dyes) says.

    Each channel's density grows by the mean gain of the dyes, weighted by what they absorb there:
    a colour that is no mixture of the dyes stays near its hue, and clear glass stays clear.
    """
    vectors = dye_vectors(image)
    before, after = amounts @ vectors, (amounts * gains) @ vectors
    growth = np.divide(after, before, out=np.ones_like(before), where=before > 0)
    return absorb(image, tissue_density(image) * (growth - 1))
