from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from medq_engine.checks import Quota
from medq_engine.config import RouteParams
from medq_engine.language import NO_DEGRADATION, labels, question
from medq_engine.questions import Query, Scored
from medq_engine.routing import (
    RoutingError,
    agreement,
    assign,
    claim,
    drafted,
    fault_errors,
    for_experts,
    query_of,
    route,
    suspicion,
    tasks_of,
    three_way,
)
from medq_engine.tables import CANDIDATE, DRAFT, ITEM, PROTOTYPE, TASK, table
from medq_engine.vocabulary import DEFERRED


@pytest.mark.parametrize(
    ("own", "draft", "expected"),
    [
        ("Yes", "Yes", 1.0),
        ("Yes", "No", 0.0),
        ("blur", "aliasing", 0.0),
        ("Mild", "Severe", 0.5),
        ("None", "Mild", 0.5),
        ("None", "Severe", 0.0),
        ("Severe", "Severe", 1.0),
    ],
)
def test_neighbouring_severities_half_agree(own, draft, expected):
    assert agreement(own, draft) == agreement(draft, own) == expected


@pytest.mark.parametrize(
    ("entropy", "delta", "expected"),
    [
        (1.0, 0.0, "draft"),  # H == tau_H is unsure
        (1.1, 1.0, "draft"),
        (0.99, 0.49, "expert"),
        (0.99, 0.5, "model"),  # delta == tau_ann agrees
        (0.0, 1.0, "model"),
    ],
)
def test_the_papers_rule_and_its_boundaries(entropy, delta, expected):
    assert three_way(entropy, delta, tau_h=1.0, tau_ann=0.5) == expected


def assigned(
    entropies,
    agreements,
    suspicions=None,
    *,
    unread=(),
    expert_share=1.0,
    audit_share=0.0,
    gold_share=0.0,
    double_share=0.0,
    quantile=0.8,
    seed=0,
):
    readings = int(expert_share * len(entropies) + 1e-9)
    parts = (round(share * readings) for share in (audit_share, gold_share, double_share))
    return assign(
        entropies,
        agreements,
        [i not in unread for i in range(len(entropies))],
        [0.0] * len(entropies) if suspicions is None else suspicions,
        entropy_quantile=quantile,
        tau_ann=0.5,
        quota=Quota(readings, *parts),
        rng=np.random.default_rng(seed),
    )


def test_tau_h_is_the_quantile_of_the_batch():
    routed, tau_h = assigned(np.arange(11.0), [1.0] * 11, quantile=0.7)
    assert tau_h == 7.0
    assert [r.route for r in routed] == ["model"] * 7 + ["draft"] * 4


def test_above_the_ceiling_the_most_suspect_reach_experts_and_the_rest_are_deferred():
    entropies = [1.0, 1.0, 1.0, 1.0, 1.0, 9.0, 9.0, 9.0, 9.0, 9.0]
    suspicions = [0.5, 0.1, 0.4, 0.2, 0.3, 9.0, 9.0, 9.0, 9.0, 9.0]
    routed, _ = assigned(entropies, [0.0] * 10, suspicions, expert_share=0.3, quantile=0.9)
    routes = [r.route for r in routed]
    assert routes[:5] == ["expert", DEFERRED, "expert", DEFERRED, "expert"]
    assert routes[5:] == ["draft"] * 5


def test_equally_suspect_tasks_reach_experts_least_sure_first_then_in_their_order():
    routed, _ = assigned([1.0, 0.5, 1.0, 0.9, 2.0], [0.0] * 5, expert_share=0.4, quantile=1.0)
    assert [r.route for r in routed] == ["expert", DEFERRED, "expert", DEFERRED, "draft"]


def test_a_draft_that_could_not_be_read_labels_nothing():
    routed, _ = assigned(np.arange(5.0), [0.0] * 5, unread={3, 4}, quantile=0.5)
    assert [r.route for r in routed] == ["expert", "expert", "draft", "expert", "expert"]
    routed, _ = assigned(np.arange(5.0), [0.0] * 5, unread={3, 4}, quantile=0.5, expert_share=0.0)
    assert [r.route for r in routed] == [DEFERRED, DEFERRED, "draft", DEFERRED, DEFERRED]


def answered(fault, error_rate, modality="ct"):
    findings = [{"label": fault, "severity": "mild", "place": ""}] if fault else []
    return {"modality": modality, "findings": findings, "error_rate": error_rate}


def test_errors_are_by_what_the_image_shows_whatever_was_asked():
    asked = pl.DataFrame(
        [
            answered("metal streak", 1.0),
            answered("metal streak", 0.6),
            answered("metal streak", 0.2),
            answered("", 0.0),
            answered("", 0.4),
            answered("", 1.0, "mri"),
        ],
        schema_overrides={"findings": ITEM["findings"]},
    )
    assert fault_errors(asked) == pytest.approx(
        {("ct", "metal streak"): 0.6, ("ct", NO_DEGRADATION): 0.2, ("mri", NO_DEGRADATION): 1.0}
    )


@pytest.mark.parametrize(
    ("kind", "draft", "expected"),
    [
        ("what", "blur", "blur"),
        ("what", NO_DEGRADATION, NO_DEGRADATION),
        ("yes-no", "Yes", "aliasing"),
        ("yes-no", "No", NO_DEGRADATION),
        ("how", "Mild", "aliasing"),
        ("how", "None", NO_DEGRADATION),
    ],
)
def test_a_draft_claims_the_fault_that_it_names_or_that_was_asked_about(kind, draft, expected):
    assert claim({"question_type": kind, "attribute": "aliasing"}, draft) == expected


def test_a_draft_is_believed_where_the_model_errs_and_twice_where_the_search_agrees():
    errors = {("mri", "aliasing"): 0.8, ("mri", "blur"): 0.1}
    fetched = {"question_type": "what", "modality": "mri", "attribute": "aliasing"}
    control = fetched | {"attribute": ""}
    assert suspicion(fetched, "aliasing", errors) == 1.6
    assert suspicion(control, "aliasing", errors) == 0.8
    assert suspicion(fetched, "blur", errors) == 0.1
    assert suspicion(fetched, "spike noise", errors) == 1.0  # dev never showed it


@pytest.mark.parametrize("kind", ["what", "yes-no", "how"])
@pytest.mark.parametrize("attribute", ["aliasing", ""])
def test_a_draft_that_could_not_be_read_claims_nothing(kind, attribute):
    task = {"question_type": kind, "modality": "mri", "attribute": attribute}
    assert suspicion(task, "", {("mri", "aliasing"): 0.8}) == 0.0


def test_an_empty_batch_has_no_routes():
    assert assigned([], [], expert_share=0.5, audit_share=0.5) == ([], 0.0)


def test_a_round_without_candidates_is_routed(settings):
    assert route([], [], table([], DRAFT), {}, settings, np.random.default_rng(0)) == ([], 0.0)


@pytest.mark.parametrize("expert_share", [0.0, 0.1, 0.18, 0.5])
@pytest.mark.parametrize("audit_share", [0.0, 0.1, 1.0])
def test_experts_never_get_more_than_their_share(expert_share, audit_share):
    rng = np.random.default_rng(1)
    routed, _ = assigned(
        rng.random(200), rng.integers(0, 2, 200), expert_share=expert_share, audit_share=audit_share
    )
    experts = [r for r in routed if r.route == "expert"]
    assert len(experts) <= expert_share * 200
    assert sum(r.audit for r in routed) == round(audit_share * int(expert_share * 200))


def test_gold_tasks_and_second_readings_are_paid_out_of_the_experts_share():
    entropies, checked = np.arange(100.0), {"gold_share": 0.1, "double_share": 0.2}
    routed, _ = assigned(entropies, [0.0] * 100, expert_share=0.5, audit_share=0.1, **checked)
    experts = [r for r in routed if r.route == "expert"]
    assert len(experts) == 50 - 5 - 10
    assert sum(r.audit for r in experts) == 5


def test_audits_are_a_random_part_of_what_nobody_reviews():
    rng = np.random.default_rng(1)
    entropies, agreements = rng.random(100), rng.integers(0, 2, 100)
    shares = {"expert_share": 0.4, "audit_share": 0.5}
    plain, _ = assigned(entropies, agreements, expert_share=0.2)
    unreviewed = {i for i, r in enumerate(plain) if r.route in ("model", "draft")}
    drawn = []
    for seed in range(60):
        routed, _ = assigned(entropies, agreements, **shares, seed=seed)
        audits = {i for i, r in enumerate(routed) if r.audit}
        assert audits <= unreviewed
        for i in audits:
            assert routed[i].route == "expert"
            assert routed[i].instead == plain[i].route
        drawn += audits
    # Over many draws every unreviewed label is audited: no kind escapes the sample.
    assert set(drawn) == unreviewed


def test_a_task_that_is_no_audit_would_have_had_its_own_route():
    routed, _ = assigned(np.arange(20.0), [0.0, 1.0] * 10, expert_share=0.3, audit_share=0.3)
    assert all(r.instead == r.route for r in routed if not r.audit)


PROTOTYPES = table(
    [
        {
            "prototype_id": "p00",
            "modality": "mri",
            "question_type": "yes-no",
            "attribute": "aliasing",
        },
    ],
    PROTOTYPE,
)


def test_a_candidate_is_asked_its_prototypes_question_and_a_control_what():
    candidates = [
        {"image_id": "a", "prototype_id": "p00", "arm": "prototype", "cosine": 0.9},
        {"image_id": "b", "prototype_id": "", "arm": "control", "cosine": None},
    ]
    modality_of = {"a": "mri", "b": "ct"}
    first, second = tasks_of(table(candidates, CANDIDATE), PROTOTYPES, modality_of, 7)
    assert first["task_id"] == "r007-a"
    assert (first["question"], tuple(first["options"])) == question("yes-no", "mri", "aliasing")
    assert (second["question"], tuple(second["options"])) == question("what", "ct")
    assert second["arm"] == "control"
    assert first["round"] == second["round"] == 7


@pytest.fixture
def settings() -> RouteParams:
    shares = {"expert_share": 1.0, "audit_share": 0.0, "gold_share": 0.0, "double_share": 0.0}
    return RouteParams(entropy_quantile=0.5, agreement=0.5, **shares)


def scored(yes: float) -> Scored:
    p = np.array([yes, 1 - yes])
    return Scored(p, -np.log(p))


def test_tasks_carry_the_models_own_answer_its_nll_and_the_draft(task_row, settings):
    task = {k: v for k, v in task_row("t").items() if k in TASK}
    drafts = [{"image_id": task["image_id"], "question": task["question"], "answer": "No"}]
    drafts = table(drafts, DRAFT)
    results = [scored(0.9)]
    rows, tau_h = route([task], results, drafts, {}, settings, np.random.default_rng(0))
    (row,) = table(rows, TASK).to_dicts()
    assert row["model_answer"] == "Yes"
    assert row["model_probability"] == pytest.approx(0.9)
    assert row["entropy"] == tau_h == pytest.approx(-np.log(0.9))
    assert row["draft"] == "No"
    assert row["agreement"] == 0.0
    assert row["route"] == "draft"  # H == tau_H in a batch of one


def test_a_task_asks_its_question_about_its_image(task_row):
    expected = Query(("image-t",), "Is there aliasing in this MRI image?", ("Yes", "No"))
    assert query_of(task_row("t")) == expected


def test_an_unread_draft_is_empty_and_sends_its_task_to_an_expert(task_row, settings):
    tasks = [task_row("a"), task_row("b")]
    drafts = drafted(tasks, [None, "Yes"], "server")
    assert dict(drafts.schema) == DRAFT
    assert drafts["answer"].to_list() == ["", "Yes"]
    assert drafts["annotator"].to_list() == ["server", "server"]
    results = [scored(0.6), scored(0.9)]  # unsure of the first, which the draft would label
    rows, _ = route(tasks, results, drafts, {}, settings, np.random.default_rng(0))
    assert [row["route"] for row in rows] == ["expert", "model"]
    assert rows[0]["draft"] == ""


def test_the_routed_batch_keeps_the_contract(task_row, settings):
    tasks = [task_row(f"t{n}") for n in range(8)]
    drafts = [
        {"image_id": task["image_id"], "question": task["question"], "answer": "Yes"}
        for task in tasks
    ]
    results = [scored(0.1 + 0.1 * n) for n in range(8)]
    rng = np.random.default_rng(0)
    rows, tau_h = route(tasks, results, table(drafts, DRAFT), {}, settings, rng)
    found = table(rows, TASK)
    for row in found.iter_rows(named=True):
        expected = three_way(row["entropy"], row["agreement"], tau_h, 0.5)
        assert row["route"] == row["unreviewed"] == expected
    assert set(found["route"]) == {"model", "draft", "expert"}


def test_every_task_says_how_many_readers_it_wants_and_that_it_is_no_gold(task_row, settings):
    tasks = [task_row(f"t{n}") for n in range(20)]
    drafts = drafted(tasks, ["No"] * 20, "server")
    results = [scored(0.51 + 0.02 * n) for n in range(20)]
    rng = np.random.default_rng(0)
    shares = replace(settings, expert_share=0.5, double_share=0.4)
    rows, _ = route(tasks, results, drafts, {}, shares, rng)
    found = table(rows, TASK)
    experts = found.filter(route="expert")
    assert experts["readers"].to_list().count(2) == 4
    assert int(experts["readers"].sum()) == 10  # the ceiling
    assert set(found.filter(pl.col("route") != "expert")["readers"]) == {1}
    assert set(found["gold"]) == {""}


def test_a_gold_task_goes_to_one_expert_and_is_no_audit(task_row):
    asked = ("task_id", "image_id", "prototype_id", "arm", "modality", "question_type", "attribute")
    asked += ("question", "options", "round", "gold")
    rows = [task_row(name, gold="Yes", arm="gold") for name in ("a", "b")]
    gold = [{name: row[name] for name in asked} for row in rows]
    drafts = drafted(gold[:1], ["Yes"], "server")  # a draft may be missing
    first, second = table(for_experts(gold, [scored(0.9), scored(0.2)], drafts), TASK).to_dicts()
    for row in (first, second):
        assert (row["route"], row["unreviewed"]) == ("expert", "expert")
        assert (row["audit"], row["readers"], row["gold"]) == (False, 1, "Yes")
    assert (first["model_answer"], first["draft"], first["agreement"]) == ("Yes", "Yes", 1.0)
    assert (second["model_answer"], second["draft"], second["agreement"]) == ("No", "", 0.0)
    assert second["model_probability"] == pytest.approx(0.8)
    assert second["entropy"] == pytest.approx(-np.log(0.8))


def test_a_missing_draft_is_named(task_row, settings):
    other = table([{"image_id": "x", "question": "Q", "answer": "No"}], DRAFT)
    with pytest.raises(RoutingError, match="no draft for image image-t, question 'Is there alias"):
        route([task_row("t")], [scored(0.9)], other, {}, settings, np.random.default_rng(0))


@pytest.mark.parametrize("modality", ["mri", "ct"])
def test_a_what_task_offers_every_fault_of_the_modality(modality):
    candidates = [{"image_id": "a", "prototype_id": "", "arm": "control", "cosine": None}]
    (task,) = tasks_of(table(candidates, CANDIDATE), PROTOTYPES, {"a": modality}, 1)
    assert set(labels(modality)) < set(task["options"])
