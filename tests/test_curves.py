import pytest

from medq_engine import curves
from medq_engine.closed import Closed, read_all
from tests.closed_repository import Repository
from tests.made_rounds import BASE, BASELINES, SPLITS

GPT, EXPERT = (BASELINES[f"simulated {who}"]["accuracy"] for who in ("GPT-4o", "expert"))


@pytest.fixture
def repository(tmp_path) -> Repository:
    return Repository(tmp_path)


@pytest.fixture
def three(repository) -> list[Closed]:
    for verdict, gain in (("pass", 0.02), ("fail", -0.03), ("pass", 0.01)):
        repository.close(verdict, gain)
    return read_all(repository.root)


def line(curve: curves.Curve, name: str) -> dict[int, float]:
    return {step: point[name] for step, point in curve.points.items()}


def test_metrics_are_flat_numbers():
    nested = {"a": {"b": 1, "c": None, "d": True, "e": "text"}, "f": 2.5}
    assert dict(curves.flat(nested)) == {"a/b": 1.0, "f": 2.5}


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("expert (simulated)", "by/expert simulated"),
        ("a/b", "by/ab"),
        ("..", "by/_"),
        ("José\n<script>", "by/Joséscript"),
        ("x" * 400, "by/" + "x" * 247),
    ],
)
def test_names_of_people_become_names_that_a_store_takes(name, metric):
    from mlflow.utils.validation import _validate_metric

    ((found, value),) = curves.flat({"by": {name: 3}})
    assert (found, value) == (metric, 3.0)
    _validate_metric(found, value, 0, 0)


def test_a_round_holds_the_way_to_it(three):
    curve = curves.loop(three)
    assert (curve.name, curve.role) == ("round-003 (simulated expert)", "round")
    assert "Verdict pass: because. Labels by simulated experts." in curve.about
    assert line(curve, "accuracy") == pytest.approx({0: 0.5, 1: 0.52, 2: 0.49, 3: 0.53})
    assert line(curve, "in_force/accuracy") == pytest.approx({0: 0.5, 1: 0.52, 2: 0.52, 3: 0.53})
    assert line(curve, "x/labels") == {0: 0, 1: 40, 2: 80, 3: 120}
    assert line(curve, "x/expert_minutes") == {0: 0, 1: 7.5, 2: 15, 3: 22.5}
    assert line(curve, "gap/simulated GPT-4o")[3] == pytest.approx(0.53 - GPT)
    assert line(curve, "gap/simulated expert")[0] == pytest.approx(BASE - EXPERT)
    assert curves.loop(three[:2]).points == {s: curve.points[s] for s in (0, 1, 2)}


def test_people_are_not_called_simulated(tmp_path):
    repository = Repository(tmp_path, annotator="reader-1")
    repository.close()
    curve = curves.loop(read_all(repository.root))
    assert curve.name == "round-001"
    assert "Labels by people." in curve.about


def test_baselines_of_the_same_items_are_level_lines_with_the_same_names(three):
    base, gpt, expert, _ = curves.baselines(three, three[-1].published)
    assert [curve.role for curve in (base, gpt, expert)] == ["base", "simulated", "simulated"]
    assert line(base, "accuracy") == dict.fromkeys(range(4), BASE)
    assert line(gpt, "accuracy") == dict.fromkeys(range(4), GPT)
    assert line(expert, "accuracy") == dict.fromkeys(range(4), EXPERT)
    # Only round 1 started from the base and measured all of it; what it measured stays.
    assert line(base, "accuracy_by/modality/ct") == dict.fromkeys(range(4), BASE)
    assert line(base, "x/labels") == line(curves.loop(three), "x/labels")
    assert {curve.benchmark for curve in (base, gpt, expert)} == {three[0].benchmark}


def test_published_rows_of_another_benchmark_stand_apart(three):
    *_, published = curves.baselines(three, three[-1].published)
    assert published.name == "GPT-4o, another benchmark"
    assert published.benchmark == "another benchmark"
    assert published.points == {0: {"accuracy": 0.6479, "accuracy_by/question_type/yes-no": 0.78}}
    assert not {"gap/GPT-4o", "gap/human"} & curves.loop(three).points[3].keys()


def test_published_rows_of_the_same_items_are_lines_and_have_gaps(repository):
    rows = [
        {"model": "Another", "overall": 70.0},
        {"model": "GPT-4o", "overall": 64.0},
        {"model": "human expert", "overall": 82.5},
    ]
    repository.published(rows, test_md5=SPLITS["test"])
    repository.close(gain=0.1)
    rounds = read_all(repository.root)
    point = curves.loop(rounds).points[1]
    assert point["gap/GPT-4o"] == pytest.approx(0.6 - 0.64)
    assert point["gap/human"] == pytest.approx(0.6 - 0.825)
    assert "gap/Another" not in point
    published = curves.baselines(rounds, rounds[-1].published)[3:]
    assert [curve.name for curve in published] == ["GPT-4o", "human expert", "Another"]
    assert line(published[0], "accuracy") == {0: 0.64, 1: 0.64}
    assert published[0].benchmark == rounds[0].benchmark


def test_rounds_on_another_test_split_are_no_part_of_the_curve(repository):
    repository.close()
    repository.benchmark("e" * 32 + ".dir")
    repository.close()
    rounds = read_all(repository.root)
    assert list(curves.loop(rounds).points) == [0, 2]
    base = curves.baselines(rounds, [])[0]
    assert list(base.points) == [0, 2]
    assert base.benchmark == "embedded benchmark, test eeeeeeee"
    # That round did not start from the base: what it knows of it is the comparison with it.
    assert base.points[0]["accuracy_by/origin/phantom"] == BASE
    assert "accuracy_by/modality/ct" not in base.points[0]
