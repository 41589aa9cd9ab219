"""The words that the whole engine shares: modalities, severities, routes, question types.

Order matters: tuples are ordered from least to most, or as tables print them.
"""

from typing import Literal

Modality = Literal["mri", "ct", "histopathology", "endoscopy", "fundus"]
Severity = Literal["none", "mild", "severe"]
Verdict = Literal["good", "usable", "reject"]
QuestionType = Literal["yes-no", "what", "how"]
Scope = Literal["general", "modality-specific"]
# What a degradation takes from the first impression of a picture.
Aspect = Literal["clarity", "contrast", "noise", "none"]
# Full-reference losses: 1 - MS-SSIM for structure, root mean square error for light and colour.
Measure = Literal["ms-ssim", "rmse"]
Route = Literal["model", "draft", "expert"]
# How an option is answered: in its own words, or by its letter.
AnswerFormat = Literal["text", "letter"]
# The parts of a multimodal LLM, from the image to the word; `words` reads and writes them.
Part = Literal["patch_embedding", "vision", "connector", "language", "words"]

MODALITIES: tuple[Modality, ...] = ("mri", "ct", "histopathology", "endoscopy", "fundus")
SEVERITIES: tuple[Severity, ...] = ("none", "mild", "severe")
VERDICTS: tuple[Verdict, ...] = ("good", "usable", "reject")
QUESTION_TYPES: tuple[QuestionType, ...] = ("yes-no", "what", "how")
# What a disputed task has in the place of a route when no expert has time for it.
DEFERRED = "deferred"

MODALITY_LABELS: dict[Modality, str] = {
    "mri": "MRI",
    "ct": "CT",
    "histopathology": "histopathology",
    "endoscopy": "endoscopy",
    "fundus": "fundus",
}
