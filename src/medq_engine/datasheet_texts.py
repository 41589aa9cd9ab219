"""What the datasheet says that no table can: splits, columns, statements on responsible use.

Properties are those of the Croissant RAI vocabulary 1.0 (http://mlcommons.org/croissant/RAI/1.0);
`rai:hasSyntheticData` is a later addition to it that data set tracks of conferences ask for.
"""

from medq_engine.vocabulary import MODALITIES, SEVERITIES

SPLITS = {
    "dev": "Where failures of a model are looked for, round by round.",
    "gate": "Decides whether a challenger replaces the incumbent.",
    "test": "Reported and never decided by.",
}
COLUMNS = {
    "records": {
        "image_id": "Identifier of the image: 16 hex digits of the SHA-256 of its PNG file.",
        "image": "The image as PNG (grey or RGB, 8 bit).",
        "modality": f"One of: {', '.join(MODALITIES)}.",
        "subject_id": "Patient, slide, eye or phantom; a subject is in one split only.",
        "source": "File the scene was cut from (isBasedOn), or the generator of phantoms.",
        "origin": "clinical (a patient's image), template (an average) or phantom (drawn).",
        "licence": "Licence of the source.",
        "width": "Width, px.",
        "height": "Height, px.",
    },
    "items": {
        "item_id": "Identifier of the item.",
        "task": "What is asked for: perception, description or comparison.",
        "image_ids": "The image, or the images to compare, in the order in which they are shown.",
        "question": "The question in English.",
        "options": "The answers on offer; none for a description or a comparison.",
        "answer": "The right option, or the better image; empty for a description.",
        "question_type": (
            "Of perception: yes-no, what or how; of a comparison: coarse-grained or fine-grained; "
            "empty for a description."
        ),
        "modality": f"One of: {', '.join(MODALITIES)}.",
        "attribute": "The degradation that the question is about.",
        "severity": (
            f"How strong the worst degradation is: {', '.join(SEVERITIES)}; of the worse image "
            "in a comparison."
        ),
        "scope": "Whether any camera or scanner shows the degradation, or one modality.",
        "findings": "Every degradation that was simulated in the image (or the worse one).",
        "findings/label": "Name of the degradation.",
        "findings/severity": "mild or severe.",
        "findings/place": "Where it lies, in words; empty where that is not known.",
        "reference": "Reference text: modality, findings, verdict, or why one image is better.",
        "verdict": "good, usable or reject; it follows from the findings.",
        "subject_id": "Patient, slide, eye or phantom of the image.",
        "scene_id": "Undegraded scene that the image was made of; the unit of resampling.",
        "origin": "clinical, template or phantom, as in records.",
    },
}

RESPONSIBLE_AI: dict[str, object] = {
    "rai:dataCollection": (
        "Nobody was examined for this benchmark. Real scenes are cut out of files that ship inside "
        "published Python packages as test or example data (isBasedOn); each file is checked "
        "against its SHA-256. Where a modality has few real scenes, phantoms are drawn by a "
        "program and marked origin: phantom."
    ),
    "rai:dataCollectionType": ["Secondary Data Analysis", "Software Collection"],
    "rai:hasSyntheticData": True,
    "rai:dataPreprocessingProtocol": [
        "Scenes are windowed, cut, resampled to a square and stored as 8-bit PNG.",
        "Every degradation is simulated: a seeded model of a physical cause is applied to a scene "
        "without an obvious fault; where a scene has one of its own, no question is about it. Some "
        "images are left as they are.",
    ],
    "rai:dataAnnotationProtocol": [
        "No person annotated an item. Findings are those that were simulated; answers, reference "
        "descriptions and verdicts follow from them by rule.",
        "Question types and the order of a description follow MedQ-Bench (arXiv 2510.01691); none "
        "of its images or items is included.",
    ],
    "rai:annotationsPerItem": "1, by construction",
    "rai:dataUseCases": [
        "Measuring whether a multimodal model sees degradations of medical images, and comparing "
        "two versions of a model on the same items.",
        "Testing software of quality assessment from end to end.",
        "Not for clinical use: neither to diagnose nor to accept or reject a patient's image.",
        "Not evidence of how a model performs in any hospital, on any scanner or in any group of "
        "patients.",
    ],
    "rai:dataBiases": [
        "Scenes are what package authors chose as examples: mostly textbook views of good quality, "
        "with few devices and protocols in each modality.",
        "Age, sex, descent and disease of the subjects are unknown: no balance of groups can be "
        "claimed.",
        "Degradations are drawn equally often within a modality; in practice some are far rarer.",
    ],
    "rai:personalSensitiveInformation": [
        "Images of patients, published by others as test or example data without direct "
        "identifiers. Pixels and a source's identifier are kept; headers, names and dates are not.",
    ],
    "rai:dataSocialImpact": (
        "Finding out early that a model cannot judge image quality spares patients; taking a score "
        "on simulated faults for clinical readiness would harm them."
    ),
}
