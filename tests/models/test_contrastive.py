import numpy as np
import pytest
import torch

from medq_engine.models.contrastive import contrastive_features, contrastive_loss, fit_head


def test_the_loss_is_small_where_equal_labels_lie_together():
    near = torch.nn.functional.normalize(
        torch.tensor([[1.0, 0.1], [1, 0], [0, 1], [0.1, 1]]), dim=1
    )
    right = contrastive_loss(near, torch.tensor([0, 0, 1, 1]))
    wrong = contrastive_loss(near, torch.tensor([0, 1, 0, 1]))
    assert right < 0.01
    assert wrong > 5


def test_the_loss_is_that_of_the_formula():
    # Two of one label with cosine 0 to each other, a third at 180 degrees of the first.
    vectors = torch.tensor([[1.0, 0], [0, 1], [-1, 0]])
    first = -np.log(1 / (1 + np.exp(-10)))
    second = -np.log(1 / 2)
    found = contrastive_loss(vectors, torch.tensor([0, 0, 1]))
    assert float(found) == pytest.approx((first + second + 0) / 3, rel=1e-4)


@pytest.fixture
def faults(unit_rows) -> tuple[np.ndarray, list[str]]:
    """Two faults that only two features together tell apart: their signs agree, or they do not."""
    rows = np.random.default_rng(0).normal(size=(400, 3))
    agree = rows[:, 0] * rows[:, 1] > 0
    return unit_rows(rows), np.where(agree, "ring", "streak").tolist()


def test_a_head_brings_images_of_one_fault_together(faults):
    vectors, labels = faults[0], np.array(faults[1])
    shown, unseen = np.arange(400) % 2 == 0, np.arange(400) % 2 == 1
    head = fit_head(vectors[shown], labels[shown], seed=0, steps=40)
    found = contrastive_features(head, vectors[unseen])
    assert found.shape == (200, 256)
    assert found.dtype == np.float32

    def gap(rows: np.ndarray) -> float:
        centred = rows - rows.mean(0)
        centred /= np.linalg.norm(centred, axis=1, keepdims=True)
        same = labels[unseen][:, None] == labels[unseen][None]
        near = centred @ centred.T
        return near[same].mean() - near[~same].mean()

    assert gap(found) > gap(vectors[unseen]) + 0.02


def test_the_same_seed_learns_the_same_head_and_leaves_the_generator_alone(faults):
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    one, two, other = (fit_head(*faults, seed=seed, steps=3) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(one[0].weight, two[0].weight)
    assert not torch.equal(one[0].weight, other[0].weight)
