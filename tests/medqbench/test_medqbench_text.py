import pytest

from medq_engine.descriptions import compare
from medq_engine.language import Finding
from medq_engine.medqbench.text import (
    better_image,
    modalities_in,
    modality_of_name,
    overall_verdict,
    question_type_of,
)


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("Histopathology", "histopathology"),
        ("Pathology", "histopathology"),
        ("Fundus Photography", "fundus"),
        ("colonoscopy", "endoscopy"),
        ("low-dose_CT", "ct"),
        ("MR", "mri"),
        ("PET/CT", None),
        ("MRI and CT", None),
        ("ultrasound", None),
        ("", None),
    ],
)
def test_the_name_of_a_modality_is_normalised(name, modality):
    assert modality_of_name(name) == modality


def test_a_text_names_modalities_by_whole_words():
    assert modalities_in("Is this MRI image sharper than the CT?") == {"mri", "ct"}
    assert modalities_in("The distinct structure is lost.") == set()


@pytest.mark.parametrize(
    ("question", "options", "kind"),
    [
        ("How can one say that there is noise?", ["No", "Yes."], "yes-no"),
        ("how strong is the noise?", ["Mild", "Severe"], "how"),
        ("However it was made, which fault is it?", ["Noise", "Blur"], "what"),
    ],
)
def test_the_type_of_a_question(question, options, kind):
    assert question_type_of(question, options) == kind


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Overall, the quality of this image is usable.", "usable"),
        ("The overall quality of the MRI image is Good.", "good"),
        ('The overall quality is "reject".', "reject"),
        ("Its quality is good at the top. The overall quality is reject.", "reject"),
        ("The quality of this image is not good.", None),
        ("It is good.", None),
    ],
)
def test_the_verdict_of_a_description(text, verdict):
    assert overall_verdict(text) == verdict


@pytest.mark.parametrize(
    ("text", "better"),
    [
        ("Overall, the first image has higher quality.", "first image"),
        (
            "The second image is noisy. Therefore Image B has lower quality than Image A.",
            "first image",
        ),
        ("Compared with the first image, the second image is of better quality.", "second image"),
        ("The quality of Image 2 is superior to that of image 1.", "second image"),
        ("The first image is better than the second.", "first image"),
        ("At first sight both differ; image A is worse.", "second image"),
        ("The first image has higher noise.", ""),
        ("The first image does not have better quality.", ""),
        ("Both images have the same quality.", ""),
        ("", ""),
    ],
)
def test_the_better_image_of_a_pair(text, better):
    assert better_image(text) == better


@pytest.mark.parametrize("better", ["first image", "second image"])
def test_our_own_comparisons_are_read(better):
    text = compare("ct", [Finding("ring artifact", "mild")], [], "brain", better)
    assert better_image(text) == better
