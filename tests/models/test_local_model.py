import pytest

from medq_engine.language import question
from medq_engine.models.generation import generate
from medq_engine.models.local_model import LocalModel
from medq_engine.models.scoring import score
from medq_engine.questions import Query


@pytest.fixture
def model(nano_model) -> LocalModel:
    return LocalModel(nano_model, images_per_batch=2, option_orders=2, max_new_tokens=3, seed=5)


def test_it_scores_with_its_settings(model, nano_model, noise_images):
    images = dict(zip("abcd", noise_images, strict=True))
    queries = [Query((key,), *question("how", "mri")) for key in "dab"]
    for found, expected in zip(
        model.score(images, queries), score(nano_model, images, queries, 2, 2), strict=True
    ):
        assert found.probabilities.tolist() == expected.probabilities.tolist()
        assert found.nll.tolist() == expected.nll.tolist()


def test_it_generates_with_its_settings(model, nano_model, noise_images):
    expected = generate(nano_model, noise_images, "Describe.", 3, 2, 0.8, 2, 5)
    assert model.generate(noise_images, "Describe.", 0.8, 2) == expected
    greedy = generate(nano_model, noise_images, "Describe.", 3, 2)
    assert model.generate(noise_images, "Describe.", 0.0, 1) == greedy
