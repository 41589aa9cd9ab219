"""Degradations of medical images, one physical cause a module, and the registry of them all.

To add one: write a module with a pure function under `_contract.simulator` and a constant
`DEGRADATION`, and list it here. Tests run over the registry.
"""

from medq_engine.degradations import (
    air_bubble,
    aliasing,
    bias_field,
    blur,
    bubbles,
    colour_cast,
    compression,
    defocus,
    gaussian_noise,
    lens_flare,
    lens_spots,
    low_contrast,
    low_dose_noise,
    metal_streak,
    motion_blur,
    motion_ghosting,
    over_exposure,
    pen_ink,
    rician_noise,
    ring_artifact,
    sparse_view,
    specular_reflection,
    spike_noise,
    tissue_fold,
    uneven_illumination,
    uneven_staining,
)
from medq_engine.degradations.base import Degradation
from medq_engine.vocabulary import MODALITIES, Modality

__all__ = ["DEGRADATIONS", "Degradation", "for_modality"]

# The order is that of tables: by modality, what several modalities share last.
_MODULES = (
    motion_ghosting,
    aliasing,
    bias_field,
    spike_noise,
    rician_noise,
    low_dose_noise,
    metal_streak,
    ring_artifact,
    sparse_view,
    uneven_staining,
    air_bubble,
    pen_ink,
    tissue_fold,
    specular_reflection,
    bubbles,
    colour_cast,
    lens_spots,
    lens_flare,
    blur,
    defocus,
    motion_blur,
    uneven_illumination,
    over_exposure,
    gaussian_noise,
    low_contrast,
    compression,
)

DEGRADATIONS: dict[str, Degradation] = {
    module.DEGRADATION.name: module.DEGRADATION for module in _MODULES
}


def for_modality(modality: Modality) -> tuple[Degradation, ...]:
    """The degradations that occur in `modality`, in the order of the registry.

    Raises:
        ValueError: No such modality.
    """
    if modality not in MODALITIES:
        raise ValueError(f"modality: expected one of {', '.join(MODALITIES)}, got {modality!r}")
    return tuple(d for d in DEGRADATIONS.values() if modality in d.modalities)
