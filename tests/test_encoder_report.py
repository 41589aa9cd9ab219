import numpy as np
import pytest

from medq_engine.encoder_report import QUERIES, interval, lift, measure, queries, tasks


def findings(*labels: str) -> list[dict[str, str]]:
    return [{"label": label, "severity": "mild", "place": ""} for label in labels]


@pytest.fixture
def world(unit_rows):
    """CT with rings along the first axis and streaks along the second; MRI that shows neither."""
    rng = np.random.default_rng(0)
    dev_truth = [findings("ring")] * 4 + [findings("streak")] * 3 + [findings()] * 5
    pool_truth = [findings("blur", "ring")] * 10 + [findings("streak")] * 5 + [findings()] * 985
    dev = rng.normal(size=(12, 8)) * 0.2
    dev[:4, 0] += 1
    dev[4:7, 1] += 1
    pool = rng.normal(size=(1000, 8)) * 0.2
    pool[:10, 0] += 1
    pool[10:15, 1] += 1
    pool[15:800, 2] += 1  # anatomy
    asked = tasks(
        [*dev_truth, findings("ring")],
        ["ct"] * 12 + ["mri"],
        [*pool_truth, findings("blur")],
        ["ct"] * 1000 + ["mri"],
        ["ring", "streak", "smoke"],
    )
    return unit_rows([*dev, dev[0]]), unit_rows([*pool, pool[0]]), asked


def test_a_task_needs_the_fault_in_dev_and_in_the_pool_of_its_modality(world):
    asked = world[2]
    assert [(task.modality, task.fault) for task in asked] == [("ct", "ring"), ("ct", "streak")]
    ring = asked[0]
    assert ring.shown.tolist() == [0, 1, 2, 3]
    assert ring.others.tolist() == list(range(4, 12))
    assert len(ring.pool) == 1000
    assert ring.hits.sum() == 10
    assert ring.untaught.sum() == 15


def test_lift_is_precision_over_the_base_rate():
    hits = np.array([1, 0, 1, 0, 0, 0, 0, 0, 0, 0], bool)
    assert lift(np.arange(10)[::-1], hits, 2) == pytest.approx(0.5 / 0.2)
    assert lift(np.arange(10), hits, 2) == 0


def test_the_ceiling_is_the_lift_of_a_search_without_error(world):
    ring = world[2][0]
    assert ring.ceiling(5) == pytest.approx(lift(ring.hits.astype(float), ring.hits, 5))
    assert ring.ceiling(50) == pytest.approx(lift(ring.hits.astype(float), ring.hits, 50))


def test_the_medoid_is_one_of_the_images_and_the_contrast_leaves_the_other_fault_out(world):
    dev, _, asked = world
    found = queries(dev, asked[0])
    assert tuple(found) == QUERIES
    assert found["one image"].shape == (4, 8)
    assert found["medoid"][0].tolist() in found["one image"].tolist()
    assert found["contrast"][0] @ dev[4] < found["mean"][0] @ dev[4]


def test_a_search_that_sees_the_fault_is_measured_better_than_one_that_does_not(world):
    dev, pool, asked = world
    seeing = measure("sees", "whitened", dev, pool, asked)
    blind = measure("blind", "whitened", dev[:, 3:], pool[:, 3:], asked)
    assert seeing.lift["contrast", 20][0] == pytest.approx(asked[0].ceiling(20))
    assert (seeing.lift["contrast", 20] > blind.lift["contrast", 20]).all()
    assert seeing.lift["one image", 50].shape == (2,)
    assert seeing.untaught[0] >= 10 / 50
    assert blind.untaught[0] < 10 / 50
    assert seeing.features == 8


def test_the_interval_holds_the_mean_and_shrinks_with_more_tasks():
    rng = np.random.default_rng(0)
    values = rng.normal(10, 3, 400)
    mean, low, high = interval(values, np.random.default_rng(1))
    assert mean == pytest.approx(values.mean())
    assert low < mean < high
    _, fewer_low, fewer_high = interval(values[:25], np.random.default_rng(1))
    assert fewer_high - fewer_low > 2 * (high - low)


def test_of_two_images_the_first_is_the_medoid(unit_rows):
    dev = unit_rows(np.random.default_rng(2).normal(size=(40, 3, 8)).reshape(120, 8))
    for first in range(0, 120, 3):
        truth = [findings("ring")] * 2 + [findings()]
        ids = slice(first, first + 3)
        task = tasks(truth, ["ct"] * 3, [findings("ring")], ["ct"], ["ring"])[0]
        assert queries(dev[ids], task)["medoid"][0].tolist() == dev[first].tolist()
