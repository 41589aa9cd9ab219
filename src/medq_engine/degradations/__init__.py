"""Degradations of medical images, one physical cause a module, and the registry of them all.

To add one: write a module with a pure function under `_contract.simulator` and a constant
`DEGRADATION`, list it here, and run `make calibration`. Tests run over the registry.
"""

import json
from importlib.resources import files

from medq_engine.degradations import (
    air_bubble,
    aliasing,
    beam_hardening,
    bias_field,
    blood,
    blood_cells,
    blur,
    bubbles,
    chemical_shift,
    colour_cast,
    compression,
    dark_spot,
    defocus,
    eyelash,
    gaussian_noise,
    gibbs_ringing,
    haze,
    instrument_occlusion,
    interlacing,
    lens_flare,
    lens_spots,
    limited_angle,
    low_contrast,
    low_dose_noise,
    low_resolution,
    metal_streak,
    motion_blur,
    motion_ghosting,
    off_centre,
    over_exposure,
    over_staining,
    overlap,
    partial_volume,
    patient_motion,
    pen_ink,
    photon_starvation,
    rician_noise,
    rigid_motion,
    ring_artifact,
    smoke,
    sparse_view,
    specular_reflection,
    spike_noise,
    susceptibility,
    thread,
    tissue_cut,
    tissue_fold,
    truncation,
    under_exposure,
    under_staining,
    undersampling,
    uneven_illumination,
    uneven_staining,
    vignette,
    zipper,
)
from medq_engine.degradations.base import Degradation
from medq_engine.vocabulary import MODALITIES, Modality, Severity

__all__ = ["DEGRADATIONS", "STRENGTHS", "Degradation", "for_modality"]

# The order is that of tables: by modality, what several modalities share last.
_MODULES = (
    motion_ghosting,
    rigid_motion,
    undersampling,
    aliasing,
    gibbs_ringing,
    bias_field,
    spike_noise,
    rician_noise,
    zipper,
    chemical_shift,
    susceptibility,
    low_dose_noise,
    photon_starvation,
    metal_streak,
    beam_hardening,
    ring_artifact,
    sparse_view,
    limited_angle,
    truncation,
    patient_motion,
    partial_volume,
    uneven_staining,
    over_staining,
    under_staining,
    air_bubble,
    pen_ink,
    tissue_fold,
    overlap,
    tissue_cut,
    dark_spot,
    blood_cells,
    thread,
    specular_reflection,
    bubbles,
    smoke,
    blood,
    instrument_occlusion,
    interlacing,
    vignette,
    colour_cast,
    lens_spots,
    lens_flare,
    eyelash,
    haze,
    off_centre,
    blur,
    defocus,
    low_resolution,
    motion_blur,
    uneven_illumination,
    over_exposure,
    under_exposure,
    gaussian_noise,
    low_contrast,
    compression,
)

DEGRADATIONS: dict[str, Degradation] = {
    module.DEGRADATION.name: module.DEGRADATION for module in _MODULES
}

# The strength of each level by degradation and modality, as `make calibration` found it.
STRENGTHS: dict[str, dict[Modality, dict[Severity, float]]] = json.loads(
    files(__name__).joinpath("strengths.json").read_text(encoding="utf-8")
)


def for_modality(modality: Modality) -> tuple[Degradation, ...]:
    """The degradations that occur in `modality`, in the order of the registry.

    Raises:
        ValueError: No such modality.
    """
    if modality not in MODALITIES:
        raise ValueError(f"modality: expected one of {', '.join(MODALITIES)}, got {modality!r}")
    return tuple(d for d in DEGRADATIONS.values() if modality in d.modalities)
