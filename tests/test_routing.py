from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from medq_engine.checks import Quota
from medq_engine.config import RouteParams
from medq_engine.evidence import Said, known_tasks, to_ask
from medq_engine.language import NO_DEGRADATION, labels, question
from medq_engine.noise import Tally
from medq_engine.questions import Query, Scored
from medq_engine.routing import (
    RoutingError,
    agreement,
    answered,
    by_paper,
    by_question,
    by_risk,
    drafted,
    for_experts,
    query_of,
    route,
    summary,
    tasks_of,
    three_way,
    with_experts,
)
from medq_engine.tables import CANDIDATE, ITEM, PROTOTYPE, TASK, table
from medq_engine.trust import Trusted
from medq_engine.vocabulary import DEFERRED

SETTINGS = RouteParams(
    rule="risk",
    noise_target=0.05,
    noise_confidence=0.9,
    entropy_quantile=0.5,
    agreement=0.5,
    expert_share=1.0,
    diminishing=0.5,
    audit_share=0.0,
    gold_share=0.0,
    double_share=0.0,
    control_share=0.0,
)
PAPER = replace(SETTINGS, rule="paper")


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


def paper(entropies, agreements, quantile=0.8, unread=()):
    """Routes by the paper's rule, and tau_H."""
    rows = [
        {"entropy": h, "agreement": delta, "draft": "" if n in unread else "Yes"}
        for n, (h, delta) in enumerate(zip(entropies, agreements, strict=True))
    ]
    return by_paper(rows, replace(PAPER, entropy_quantile=quantile))


def test_tau_h_is_the_quantile_of_the_batch():
    routes, tau_h = paper(np.arange(11.0), [1.0] * 11, 0.7)
    assert tau_h == 7.0
    assert routes == ["model"] * 7 + ["draft"] * 4


def test_a_draft_that_could_not_be_read_labels_nothing_by_the_papers_rule():
    routes, _ = paper(np.arange(5.0), [0.0] * 5, 0.5, unread={3, 4})
    assert routes == ["expert", "expert", "draft", "expert", "expert"]


def test_an_empty_batch_has_no_routes():
    assert paper([], []) == ([], None)


def batch(errors, arms=None, by="model", kind="what"):
    """Tasks with a trusted label each, about a fault that the model knows or not."""
    options = [NO_DEGRADATION, "aliasing", "blur"]
    arms = arms or ["prototype"] * len(errors)
    tasks = [
        {"question_type": kind, "modality": "mri", "attribute": "", "options": options, "arm": arm}
        for arm in arms
    ]
    chances = [np.array([1 - e, e / 2, e / 2]) for e in errors]
    trusted = Trusted(chances, [by] * len(errors), np.asarray(errors, dtype=float), {kind: 0.3})
    return tasks, trusted


KNOWN_ERRORS = {("mri", NO_DEGRADATION): 0.0, ("mri", "aliasing"): 1.0, ("mri", "blur"): 1.0}


def risk_routes(errors, by="draft", before=None, **changes):
    tasks, trusted = batch(errors, by=by)
    settings = replace(SETTINGS, **changes)
    return by_risk(tasks, trusted, settings, before or Tally(), np.random.default_rng(0))


def test_the_surest_labels_are_those_of_the_more_probable_answer():
    routes = risk_routes([0.001] * 60 + [0.5] * 10)
    assert routes == ["draft"] * 60 + ["expert"] * 10


def test_audits_of_earlier_rounds_move_the_bar():
    errors = np.linspace(0.001, 0.2, 200).tolist()
    plain = risk_routes(errors).count("draft")

    def after(differ):
        sums = {"what": {"audited": 60, "differ": differ, "expected": 3.0}}
        return risk_routes(errors, before=Tally(sums, {"tasks": 200, "right": 200})).count("draft")

    assert after(10) < plain < after(0)


def test_with_a_target_of_nothing_experts_read_all():
    assert set(risk_routes([1e-6] * 30, noise_target=0.0)) == {"expert"}


def quota(readings, audits=0, control=0):
    return Quota(readings, audits, 0, 0, control)


def shared(routes, tasks, trusted, allowed, seed=0):
    rng = np.random.default_rng(seed)
    return with_experts(routes, tasks, trusted, KNOWN_ERRORS, allowed, 0.5, rng)


def test_experts_read_what_the_model_may_not_know_and_the_rest_is_deferred():
    tasks, trusted = batch([0.1, 0.9, 0.3, 0.6])
    routes, instead = shared(["expert"] * 4, tasks, trusted, quota(2))
    assert routes == instead == [DEFERRED, "expert", DEFERRED, "expert"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.18, 0.5])
@pytest.mark.parametrize("audits", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("control", [0.0, 0.3, 0.5])
def test_experts_never_get_more_than_their_share(share, audits, control):
    rng = np.random.default_rng(1)
    tasks, trusted = batch(rng.random(200).tolist(), ["prototype"] * 170 + ["control"] * 30)
    routes = ["expert" if x else "model" for x in rng.integers(0, 2, 200)]
    readings = int(share * 200)
    allowed = quota(readings, int(audits * readings), int(control * readings))
    found, _ = shared(routes, tasks, trusted, allowed)
    assert found.count("expert") + found.count("audit") <= readings
    unreviewed = [n for n, route in enumerate(routes) if route == "model"]
    assert found.count("audit") <= min(allowed.audits, len(unreviewed) // 2)


def test_audits_are_a_random_part_of_what_nobody_reviews():
    tasks, trusted = batch([0.1] * 40)
    routes = ["model", "draft", "expert", "model"] * 10
    unreviewed = {n for n, route in enumerate(routes) if route != "expert"}
    drawn = set()
    for seed in range(40):
        found, instead = shared(routes, tasks, trusted, quota(12, audits=5), seed)
        audits = {n for n, route in enumerate(found) if route == "audit"}
        assert len(audits) == 5
        assert all(instead[n] == routes[n] for n in audits)
        drawn |= audits
    # Over many draws every unreviewed label is audited: no kind escapes the sample.
    assert drawn == unreviewed


def test_time_that_no_audit_needs_goes_into_labels():
    tasks, trusted = batch([0.9] * 10)
    found, _ = shared(["expert"] * 8 + ["model"] * 2, tasks, trusted, quota(6, audits=4))
    assert (found.count("audit"), found.count("expert"), found.count("model")) == (1, 5, 1)


def test_control_images_reach_experts_at_random_whatever_is_thought_of_them():
    errors = [0.01] * 10 + [0.99] * 10 + [0.5] * 40
    arms = ["control"] * 20 + ["prototype"] * 40
    tasks, trusted = batch(errors, arms)
    routes = ["model"] * 10 + ["expert"] * 50
    drawn = np.zeros(60)
    for seed in range(200):
        found, _ = shared(routes, tasks, trusted, quota(14, control=6), seed)
        read = np.array([route == "expert" for route in found])
        assert read[:20].sum() == 6
        drawn += read
    assert drawn[:20] / 200 == pytest.approx(np.full(20, 0.3), abs=0.13)
    # Sure or not, half of them are of either kind.
    assert drawn[:10].sum() == pytest.approx(drawn[10:20].sum(), rel=0.15)


def test_a_control_image_that_nobody_reads_is_trusted_or_deferred():
    tasks, trusted = batch([0.01, 0.9], ["control", "control"])
    found, _ = shared(["model", "expert"], tasks, trusted, quota(0))
    assert found == ["model", DEFERRED]


def test_where_there_is_time_for_all_every_image_is_read():
    tasks, trusted = batch([0.5] * 10, ["prototype"] * 6 + ["control"] * 4)
    found, _ = shared(["expert"] * 10, tasks, trusted, quota(10, control=1))
    assert found == ["expert"] * 10


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


def scored(options, answer: str, chance: float = 0.9) -> Scored:
    p = np.array([chance if option == answer else 0.0 for option in options])
    p += (1 - chance) / len(p)
    return Scored(p, -np.log(p))


def yes_no_said(tasks, chances, drafts=None) -> Said:
    """The model says Yes with a probability for each task, and what goes with it elsewhere."""
    chance = {task["image_id"]: p for task, p in zip(tasks, chances, strict=True)}
    given = dict(zip(chance, drafts or ["No"] * len(tasks), strict=True))
    rows, found, drafted_ = to_ask(tasks), {}, {}
    for row in rows:
        key, yes = (row["image_id"], row["question"]), chance[row["image_id"]]
        if row["question_type"] == "yes-no":
            p = np.array([yes, 1 - yes])
            found[key] = Scored(p, -np.log(p))
            drafted_[key] = given[row["image_id"]]
        else:
            found[key] = scored(row["options"], row["options"][1 if yes > 0.5 else 0])
            drafted_[key] = row["options"][1 if given[row["image_id"]] == "Yes" else 0]
    return Said(found, drafted_)


def routed(tasks, said, settings=PAPER, known=()):
    rng = np.random.default_rng(0)
    return route(tasks, known, said, {}, settings, Tally(), rng)


def test_a_round_without_candidates_is_routed():
    found = routed([], Said({}, {}), SETTINGS)
    assert (found.rows, found.tau_h) == ([], None)


def asked_task(task_row, name, **changes):
    """A task as `tasks_of` makes it."""
    later = ("model_answer", "model_probability", "entropy", "draft", "agreement", "route", "audit")
    later += ("unreviewed", "gold", "readers", "error", "error_sd")
    row = task_row(name, **changes)
    return {key: value for key, value in row.items() if key not in later}


def test_tasks_carry_the_models_own_answer_its_nll_and_the_draft(task_row):
    task = asked_task(task_row, "t")
    found = routed([task], yes_no_said([task], [0.9]))
    (row,) = table(found.rows, TASK).to_dicts()
    assert row["model_answer"] == "Yes"
    assert row["model_probability"] == pytest.approx(0.9)
    assert row["entropy"] == found.tau_h == pytest.approx(-np.log(0.9))
    assert row["draft"] == "No"
    assert row["agreement"] == 0.0
    assert row["route"] == "draft"  # H == tau_H in a batch of one


def test_a_task_asks_its_question_about_its_image(task_row):
    expected = Query(("image-t",), "Is there aliasing in this MRI image?", ("Yes", "No"))
    assert query_of(task_row("t")) == expected


def test_an_unread_draft_is_empty_and_sends_its_task_to_an_expert(task_row):
    tasks = [asked_task(task_row, name) for name in "ab"]
    said = yes_no_said(tasks, [0.6, 0.9])  # unsure of the first, which the draft would label
    drafts = drafted(tasks, [None, "Yes"], "server")
    assert drafts["answer"].to_list() == ["", "Yes"]
    assert drafts["annotator"].to_list() == ["server", "server"]
    found = routed(tasks, Said(said.scored, dict(said.drafts) | by_question(drafts)))
    assert [row["route"] for row in found.rows] == ["expert", "model"]
    assert found.rows[0]["draft"] == ""


def test_the_batch_routed_by_the_papers_rule_keeps_the_contract(task_row):
    tasks = [asked_task(task_row, f"t{n}") for n in range(8)]
    chances = [0.1 + 0.1 * n for n in range(8)]
    found = routed(tasks, yes_no_said(tasks, chances, ["Yes"] * 8))
    for row in table(found.rows, TASK).iter_rows(named=True):
        expected = three_way(row["entropy"], row["agreement"], found.tau_h, 0.5)
        assert row["route"] == row["unreviewed"] == expected
    assert {row["route"] for row in found.rows} == {"model", "draft", "expert"}


@pytest.fixture
def dev(item_row):
    """Yes-no items, half of them Yes, on each of which model and draft can be right or wrong."""
    shown = [{"label": "aliasing", "severity": "mild", "place": ""}]
    rows = [
        item_row(f"d{n}", image_ids=[f"dev{n}"], scene_id=f"s{n}", findings=shown if n % 2 else [])
        for n in range(200)
    ]
    return known_tasks(table(rows, ITEM), {"yes-no"})


def test_by_risk_labels_on_which_all_agree_are_kept_and_others_are_read(task_row, dev):
    """On dev the two are right where they agree, and the model four times in five elsewhere."""
    tasks = [asked_task(task_row, f"t{n}") for n in range(80)]
    right = [row["truth"] == "Yes" for row in dev]
    model = [r != (n % 15 == 0) for n, r in enumerate(right)]
    draft = [r != (n % 15 == 1) for n, r in enumerate(right)]
    model += [n % 2 == 0 for n in range(80)]
    draft += [(n % 2 == 0) != (n >= 60) for n in range(80)]
    said = yes_no_said(
        [*dev, *tasks], [0.95 if x else 0.05 for x in model], ["Yes" if x else "No" for x in draft]
    )
    found = routed(tasks, said, replace(SETTINGS, expert_share=0.5), dev)
    assert found.tau_h is None
    result = table(found.rows, TASK)
    assert set(result["route"][:60]) == {"model"}
    assert set(result["route"][60:]) == {"expert"}
    assert result["error"][:60].max() < 0.05 < result["error"][60:].min()
    assert (result["error_sd"] > 0.3).all()
    numbers = summary(result, found.tau_h)
    assert numbers["by_route"] == {"expert": 20, "model": 60}
    assert numbers["trusted"]["yes-no"]["labels"] == 60
    assert numbers["trusted"]["yes-no"]["least_sure"] == result["error"][:60].max()


def test_without_known_tasks_no_label_is_trusted(task_row):
    tasks = [asked_task(task_row, f"t{n}") for n in range(30)]
    found = routed(tasks, yes_no_said(tasks, [0.99] * 30, ["Yes"] * 30), SETTINGS)
    assert {row["route"] for row in found.rows} == {"expert"}
    assert {row["error"] for row in found.rows} == {0.5}


def test_every_task_says_how_many_readers_it_wants_and_that_it_is_no_gold(task_row):
    tasks = [asked_task(task_row, f"t{n}") for n in range(20)]
    shares = replace(PAPER, expert_share=0.5, double_share=0.4)
    found = table(
        routed(tasks, yes_no_said(tasks, [0.51 + 0.02 * n for n in range(20)]), shares).rows, TASK
    )
    experts = found.filter(route="expert")
    assert experts["readers"].to_list().count(2) == 4
    assert int(experts["readers"].sum()) == 10  # the ceiling
    assert set(found.filter(pl.col("route") != "expert")["readers"]) == {1}
    assert set(found["gold"]) == {""}


def test_an_audit_has_one_reader_and_says_what_it_was_drawn_from(task_row):
    tasks = [asked_task(task_row, f"t{n}") for n in range(20)]
    shares = replace(PAPER, expert_share=0.5, audit_share=0.5, double_share=0.4)
    found = table(routed(tasks, yes_no_said(tasks, [0.9] * 20, ["Yes"] * 20), shares).rows, TASK)
    audits = found.filter("audit")
    assert len(audits) == 5
    assert set(audits["route"]) == {"expert"}
    assert set(audits["unreviewed"]) <= {"model", "draft"}
    assert set(audits["readers"]) == {1}


def test_a_gold_task_goes_to_one_expert_and_is_no_audit(task_row):
    gold = [asked_task(task_row, name, arm="gold") | {"gold": "Yes"} for name in ("a", "b")]
    said = yes_no_said(gold, [0.9, 0.2], ["Yes", ""])  # a draft may be missing
    first, second = table(for_experts(gold, said), TASK).to_dicts()
    for row in (first, second):
        assert (row["route"], row["unreviewed"]) == ("expert", "expert")
        assert (row["audit"], row["readers"], row["gold"]) == (False, 1, "Yes")
    assert (first["model_answer"], first["draft"], first["agreement"]) == ("Yes", "Yes", 1.0)
    assert (second["model_answer"], second["draft"], second["agreement"]) == ("No", "", 0.0)
    assert second["model_probability"] == pytest.approx(0.8)
    assert second["entropy"] == pytest.approx(-np.log(0.8))
    assert answered(gold[0], said)["draft"] == "Yes"


def test_a_missing_draft_is_named(task_row):
    task = asked_task(task_row, "t")
    said = yes_no_said([task], [0.9])
    with pytest.raises(RoutingError, match="no draft for image image-t, question 'Is there alias"):
        routed([task], Said(said.scored, {}))


@pytest.mark.parametrize("modality", ["mri", "ct"])
def test_a_what_task_offers_every_fault_of_the_modality(modality):
    candidates = [{"image_id": "a", "prototype_id": "", "arm": "control", "cosine": None}]
    (task,) = tasks_of(table(candidates, CANDIDATE), PROTOTYPES, {"a": modality}, 1)
    assert set(labels(modality)) < set(task["options"])
