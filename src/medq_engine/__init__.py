"""MedQ-Engine: a closed-loop data engine for medical image quality assessment."""
