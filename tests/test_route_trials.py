import numpy as np
import polars as pl
import pytest

from medq_engine.annotators import draft_answers, shown_by
from medq_engine.config import RouteParams
from medq_engine.evidence import known_tasks, to_ask
from medq_engine.language import Finding, answer
from medq_engine.questions import Scored
from medq_engine.route_trials import Assumption, Bench, drafts_of, reliability, trial
from medq_engine.routing import tasks_of
from medq_engine.tables import CANDIDATE, ITEM, PROTOTYPE, table

FAULTS = ("aliasing", "blur", "spike noise")
PERFECT = {"yes-no": 1.0, "what": 1.0, "how": 1.0}
POOR = {"yes-no": 0.6, "what": 0.3, "how": 0.4}
SETTINGS = RouteParams(
    rule="risk",
    noise_target=0.05,
    noise_confidence=0.9,
    entropy_quantile=0.9,
    agreement=0.5,
    expert_share=0.3,
    diminishing=0.5,
    audit_share=0.2,
    gold_share=0.1,
    double_share=0.1,
    control_share=0.2,
)


def shows(number: int) -> tuple[Finding, ...]:
    fault = (None, *FAULTS)[number % 4]
    return (Finding(fault, "mild" if number % 8 < 4 else "severe"),) if fault else ()


@pytest.fixture(scope="module")
def candidates() -> pl.DataFrame:
    rows = [
        {
            "image_id": f"p{n}",
            "prototype_id": "" if n >= 80 else ("what", "how")[n % 2],
            "arm": "control" if n >= 80 else "prototype",
            "cosine": None,
        }
        for n in range(100)
    ]
    return table(rows, CANDIDATE)


@pytest.fixture
def bench(item_row, candidates) -> Bench:
    """A model that knows two of three faults and takes the third for a fine image."""
    rows = []
    for n in range(160):
        findings = [vars(finding) for finding in shows(n)]
        for kind in ("what", "how"):
            about = {"image_ids": [f"d{n}"], "scene_id": f"s{n}", "findings": findings}
            rows.append(item_row(f"{n}-{kind}", question_type=kind, **about))
    items = table(rows, ITEM)
    prototypes = table(
        [
            {"prototype_id": kind, "modality": "mri", "question_type": kind, "attribute": "blur"}
            for kind in ("what", "how")
        ],
        PROTOTYPE,
    )
    truth = {f"p{n}": shows(n) for n in range(100)} | {f"d{n}": shows(n) for n in range(160)}
    modality_of = dict.fromkeys(truth, "mri")
    asked = to_ask(
        [
            *known_tasks(items, {"what", "how"}),
            *tasks_of(candidates, prototypes, modality_of, 1),
        ]
    )
    scored = {}
    for row in asked:
        seen = [f for f in truth[row["image_id"]] if f.label != "spike noise"]
        place = row["options"].index(answer(row["question_type"], seen))
        p = np.full(len(row["options"]), 0.1 / len(row["options"]))
        p[place] += 0.9
        scored[row["image_id"], row["question"]] = Scored(p, -np.log(p))
    errors = {("mri", "spike noise"): 1.0, ("mri", "aliasing"): 0.0, ("mri", "blur"): 0.0}
    errors |= {("mri", "no degradation"): 0.0}
    unknown = frozenset({"spike noise"})
    return Bench(items, prototypes, modality_of, truth, scored, errors, unknown, 45.0)


def test_a_trial_counts_what_experts_read_and_what_nobody_reads(bench, candidates):
    found = trial(candidates, bench, Assumption("good", 1.0, PERFECT), SETTINGS, 0)
    assert found["tasks"] == 100
    assert found["read"] <= 30
    assert found["true"] == 0.0
    assert found["covered"] is True
    assert found["above"] is False
    assert found["unreviewed"] > 20
    assert found["unreviewed"] + found["deferred"] + found["experts"] + found["held"] == 100
    assert found["chosen"] == 0  # there is nothing that nobody trusts


def test_reading_is_spent_on_the_fault_that_the_model_does_not_know(bench, candidates):
    drafts = {"yes-no": 0.7, "what": 0.7, "how": 0.7}
    found = [
        trial(candidates, bench, Assumption("poor", 1.0, drafts), SETTINGS, seed)
        for seed in range(3)
    ]
    assert sum(row["hits"] for row in found) > 0.4 * sum(row["chosen"] for row in found) > 4
    assert {row["faults"] for row in found} == {1}  # a quarter of the images show it


def test_a_trial_is_seeded_and_each_seed_another_round(bench, candidates):
    poor = Assumption("poor", 0.9, POOR)
    same = [trial(candidates, bench, poor, SETTINGS, 1) for _ in range(2)]
    assert same[0] == same[1]
    assert trial(candidates, bench, poor, SETTINGS, 2) != same[0]


def test_drafts_are_those_of_the_simulated_annotator(bench):
    rows = to_ask(known_tasks(bench.items, {"what", "how"}))[:40]
    found = drafts_of(rows, bench, Assumption("declared", 1.0, POOR), 7)
    for row in rows:
        drawn = draft_answers(row["image_id"], "mri", bench.truth[row["image_id"]], POOR, 7)
        given = {one["question"]: one["answer"] for one in drawn}
        assert found[row["image_id"], row["question"]] == given[row["question"]]


def test_drafts_may_share_the_models_errors_or_follow_one_reading(bench):
    rows = to_ask(known_tasks(bench.items, {"what", "how"}))
    follow = drafts_of(rows, bench, Assumption("follow", 1.0, PERFECT, follows=1.0), 0)
    for row in rows:
        p = bench.scored[row["image_id"], row["question"]].probabilities
        assert follow[row["image_id"], row["question"]] == row["options"][int(p.argmax())]
    one = drafts_of(rows, bench, Assumption("one", 1.0, POOR, one_reading=True), 0)
    said = {}
    for row in rows:
        said.setdefault(row["image_id"], {})[row["question_type"]] = one[
            row["image_id"], row["question"]
        ]
    assert all((s["what"] == "no degradation") == (s["how"] == "None") for s in said.values())
    assert any(s["what"] == "no degradation" for s in said.values())


def test_reliability_is_of_every_task(bench, candidates):
    found = reliability(candidates, bench, Assumption("good", 1.0, PERFECT), 0)
    assert len(found) == 100
    assert found.filter(pl.col("said") < 0.1)["wrong"].mean() == 0.0


def test_images_of_dev_are_known_by_their_items(bench):
    assert set(shown_by(bench.items)["image_id"]) == {f"d{n}" for n in range(160)}
