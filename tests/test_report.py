"""The report: self-contained, escaped, the same every time, honest about what is simulated."""

import base64
import io
import json
import re

import polars as pl
import pytest
from jinja2 import UndefinedError
from PIL import Image

from medq_engine import report
from medq_engine.statistics import Difference
from medq_engine.tables import ITEM, PREDICTION, PROTOTYPE, RECORD, Images, table, write

HOSTILE = "<script>alert(1)</script>"
RATE = {"rate": 0.25, "low": 0.1, "high": 0.5}
FORECAST = {"ece": 0.123, "brier": 0.2, "auroc": None, "nll": 0.6}
RECALIBRATION = {
    "folds": 5,
    "raw": FORECAST,
    "temperature": FORECAST | {"ece": 0.045},
    "platt": FORECAST | {"ece": 0.067},
}
BLIND = {"value": 0.01, "low": -0.02, "high": 0.04}


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, shade, shade)).save(buffer, "PNG")
    return buffer.getvalue()


def summary(accuracy: float) -> dict[str, object]:
    return {
        "items": 60,
        "accuracy": accuracy,
        "failures": 20,
        "unparsed": 0,
        "accuracy_by": {
            "question_type": {"how": 0.4, "what": 0.5, "yes-no": 0.6},
            "modality": {"ct": 0.5, "mri": 0.5},
            "severity": {"none": 0.5},
            "scope": {"general": 0.5},
            "origin": {"clinical": 0.4, "phantom": 0.6},
        },
        "calibration": {"ece": 0.1, "brier": 0.2, "auroc": None, "shift": 0.3},
        "description": dict.fromkeys(
            ("completeness", "preciseness", "consistency", "quality", "overall"), 1.0
        ),
        "comparison": {"fine-grained": {"items": 90, "accuracy": accuracy}},
    }


def comparison(value: float) -> dict[str, object]:
    row = vars(Difference(60, 20, 0.5, 0.5 + value, value, value - 0.05, value + 0.05, 0.0, 0.2))
    slices = {
        "modality": ("ct", "mri"),
        "question_type": ("how", "what", "yes-no"),
        "severity": ("none",),
        "scope": ("general",),
        "origin": ("clinical", "phantom"),
    }
    return {
        "overall": row,
        **{column: dict.fromkeys(names, row) for column, names in slices.items()},
        "incumbent": summary(0.5),
        "challenger": summary(0.5 + value),
    }


@pytest.fixture
def context(tmp_path):
    names = (
        *("prototypes", "candidates", "routes", "batch", "learning_curve", "forest", "slices"),
        *("weak_spots", "blind", "reliability", "ct"),
    )
    for number, name in enumerate(names):
        (tmp_path / f"{name}.png").write_bytes(png(number))
    prototype = {"prototype_id": "p0", "name": HOSTILE, "mass": 2.0, "capability_error": 0.4}
    baseline = {"items": 60, "accuracy": 0.625, "accuracy_by": {"question_type": {"how": 0.5}}}
    return {
        "round": 3,
        "tag": "round-003",
        "params": {
            "seed": 1,
            "model": {"id": "models/base"},
            "drafts": {"endpoint": None, "accuracy": {"yes-no": 0.78, "what": 0.5, "how": 0.57}},
            "expert": {"accuracy": 0.95, "seconds": 45.0},
            "evaluate": {"repeats": 5, "gamma": 0.6},
            "cluster": {"k_min": 4},
            "retrieve": {"budget": 600, "strategy": "prototypes"},
            "route": {
                "rule": "risk",
                "expert_share": 0.18,
                "noise_target": 0.02,
                "noise_confidence": 0.9,
            },
            "annotate_import": {"phash_bits": 0},
            "finetune": {
                "train_whole": ["connector"],
                "route_weight": {"model": 1, "draft": 0, "expert": 1},
            },
            "quality_gate": {"resamples": 2000, "confidence": 0.95, "margin": 0.05},
        },
        "incumbent": {"round": 2, "rev": "abc123", "md5": "d41d8"},
        "benchmark": {
            "splits": {
                "test": {
                    "items": {"perception": 2300, "description": 267, "comparison": 280},
                    "images": {"clinical": 700, "phantom": 100},
                    "cells": 130,
                    "fewest": 2,
                }
            },
            "blind": {
                "confidence": 0.95,
                "test": {
                    "how": {
                        "items": 800,
                        "chance": 1 / 3,
                        "answer_only": {"over_chance": BLIND},
                        "question_only": {"over_chance": BLIND},
                    }
                },
            },
        },
        "evaluate": summary(0.5) | {"recalibration": RECALIBRATION},
        "cluster": {"failures": 20, "prototypes": 1},
        "retrieve": {
            "candidates": 600,
            "usual": 60,
            "control": 60,
            "mean_cosine": None,
            "left_out": {"leaks": 3, "labelled_before": 0},
            "dropped": {},
            "cured": {},
        },
        "route": {
            "tau_h": None,
            "by_route": {"expert": 108, "model": 492},
            "audits": 11,
            "control": 9,
        },
        "annotate_import": {
            "round": 590,
            "total": 1200,
            "by_route": {"expert": 107, "model": 483},
            "deferred": 31,
            "expert_seconds": 4815.0,
            "expert_minutes_total": 160.0,
            "dropped": {"duplicates": 10},
            "noise": {"audited": 11, "wrong": 3, **RATE}
            | {"confidence": 0.9, "target": 0.02, "held": 7},
            "yield": {
                "prototype": {"labels": 80, "corrected": 20, **RATE},
                "control": {"labels": 0, "corrected": 0, "rate": None, "low": 0.0, "high": 1.0},
                "lift": {"value": None, "low": None, "high": None},
            },
            "annotators": {"expert (simulated)": 107},
            "quality": QUALITY,
            "ledger": {"currency": "USD", "round": costs(1), "total": costs(3), "random": RANDOM},
        },
        "finetune": {
            "labels": 1200,
            "samples": 2400,
            "steps": 500,
            "loss_first": 2.0,
            "loss_last": 0.5,
            "trainable_parameters": 1234567,
        },
        "gate": {
            "verdict": "pass",
            "reason": "better overall",
            "items_more": 0,
            "gate": comparison(0.1),
            "test": comparison(0.08),
        },
        "baselines": {
            "simulated GPT-4o": baseline,
            "simulated expert": baseline,
            "published": [
                {
                    "model": "human expert",
                    "yes_no": None,
                    "what": None,
                    "how": None,
                    "overall": 82.5,
                    "benchmark": "MedQ-Bench perception, test split",
                }
            ],
        },
        "prototypes": table([{**prototype, "members": ["a", "b"]}], PROTOTYPE),
        "figures": {name: tmp_path / f"{name}.png" for name in names if name != "ct"},
        "confusion_figures": {"ct": tmp_path / "ct.png"},
        "confusions": [
            {"modality": "ct", "truth": "blur", "said": "noise"}
            | {"offered": 5, "before": 4, "after": 2}
        ],
        "reliability": {
            role: {"items": 30, "ece": ece, "bins": BINS}
            for role, ece in (("incumbent", 0.404), ("challenger", 0.33))
        },
        "examples": [
            {
                "image": png(99),
                "question": "Q",
                "reference": "R",
                "before": {
                    "text": HOSTILE,
                    "marks": [{"what": "mild blur", "mark": "missed", "symbol": "○"}],
                },
                "after": {
                    "text": "A",
                    "marks": [{"what": "mild blur", "mark": "right", "symbol": "✓"}],
                },
            }
        ],
        "remaining": {
            "kinds": 3,
            "mended": 1,
            "unseen": ["haze, fundus, What"],
            "worst": [
                {
                    "name": "blur, CT, What",
                    "prototypes": ["p0", "p4"],
                    "items": 8,
                    "before": 7,
                    "after": 5,
                    "low": 0.3,
                    "high": 0.9,
                    "pictures": [
                        {"image": png(98), "question": "Q?", "said": "noise", "right": "blur"}
                    ],
                }
            ],
        },
        "history": {"rev": "def456", "md5": "c0ffee"},
        "hashes": {"batch": "48b34ffe3273"},
        "changed": [("finetune.steps", "300", "400")],
    }


def scale(value: float | None) -> dict[str, object]:
    found = {"tasks": 10, "exact": 0.9, "exact_low": 0.6, "exact_high": 0.98}
    for name in ("alpha", "kappa", "ac1"):
        bounds = (None, None) if value is None else (value - 0.1, value + 0.1)
        found |= {name: value, f"{name}_low": bounds[0], f"{name}_high": bounds[1]}
    return found


def costs(times: int) -> dict[str, object]:
    spent = {"readings": 10 * times, "seconds": 600.0 * times, "money": 20.0 * times}
    route = {"labels": 8 * times, "seconds": 600.0 * times, "money": 20.0 * times}
    return {
        **route,
        "by_route": {"expert": route | {"seconds_per_label": 75.0, "money_per_label": 2.5}},
        "by_annotator": {"expert (simulated)": spent},
        "by_purpose": {"label": spent},
    }


QUALITY = {
    "agreement": {"verdict": scale(0.8), "presence": scale(None)},
    "gold": {
        "expert (simulated)": {"tasks": 10, "right": 9, "rate": 0.9, "low": 0.6, "high": 0.98},
        "second expert (simulated)": {"tasks": 9, "right": 6, "rate": 2 / 3, "low": 0.4, "high": 1},
    },
    "double": {"tasks": 10, "disagreements": 4, "adjudicated": 3},
    "unjudged": 2,
    "unblinded": 1,
    "floor": 0.7,
}
RANDOM = {"labels": 8, "corrected": 3.0, "corrected_low": 1.0, "corrected_high": 5.0, "bought": 6}
BINS = [
    {"low": n / 10, "high": (n + 1) / 10, "items": 3, "confidence": 0.5, "accuracy": 0.25}
    for n in range(10)
]


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_the_same_context_gives_the_same_text(context):
    assert report.render(context) == report.render(context)


def test_comparisons_stand_with_their_grain(context):
    assert "fine-grained 90 50.0% → 60.0% 90 50.0% → 58.0%" in text_of(report.render(context))


def test_calibration_stands_as_it_is_and_as_it_could_be(context):
    assert "Calibration error (ECE) 0.123 0.045 0.067" in text_of(report.render(context))
    assert "measured on the rest, scenes kept whole (5 folds)" in text_of(report.render(context))
    context["evaluate"]["recalibration"] |= {"temperature": None, "platt": None}
    assert "Calibration error (ECE) 0.123 - -" in text_of(report.render(context))


def test_answers_that_could_not_be_read_are_told(context):
    assert "could not be read" not in report.render(context)
    context["evaluate"]["unparsed"] = 17
    assert "17 of the answers that the model gave could not be read" in report.render(context)


def test_two_judges_stand_side_by_side(context):
    assert "Two judges" not in report.render(context)
    axis = {"n": 60, "unparsed": 4, "exact": 0.75}
    axis |= {"kappa": 0.61, "kappa_low": 0.5, "kappa_high": 0.7}
    undefined = axis | {"kappa": None, "kappa_low": None, "kappa_high": None}
    context["evaluate"]["llm_judge"] = {
        "completeness": 1.25,
        "quality": 1.5,
        "agreement": {"completeness": axis, "quality": undefined},
    }
    text = text_of(report.render(context))
    assert "completeness 1.00 1.25 4 of 60 75.0% 0.61 (0.50 to 0.70)" in text
    assert "quality 1.00 1.50 4 of 60 75.0% - (- to -)" in text


def test_it_says_whether_the_benchmark_can_be_guessed(context):
    text = text_of(report.render(context))
    assert "2300 perception items about 800 images" in text
    assert "how 800 33.3% +1.0 (-2.0 to +4.0)" in text


def test_it_opens_with_the_verdict_and_its_numbers(context):
    text = text_of(report.render(context))
    assert (
        "Verdict: pass The challenger takes the incumbent\N{RIGHT SINGLE QUOTATION MARK}s place."
        in text
    )
    assert "50.0% → 58.0% +8.0 points (+3.0 to +13.0)" in text
    assert "model 483, draft 0, expert 107" in text
    assert "Time of the simulated expert 80 minutes" in text


def test_sections_stand_in_their_order(context):
    html = report.render(context)
    headings = dict(re.findall(r'<h2 id="(.*?)">(.*?)</h2>', html))
    assert dict(re.findall(r'<a href="#(.*?)">(.*?)</a>', html)) == headings
    assert list(headings.values()) == [
        "What the model got wrong",
        "Failure prototypes",
        "What was fetched",
        "Who labelled what, at what cost",
        "What changed",
        "What is still wrong",
        "Verdict and why",
        "Can the benchmark be guessed?",
        "Compared with",
        "Lineage",
        "What is simulated",
    ]


def test_hostile_text_is_escaped(context):
    html = report.render(context)
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(1)") == 2


def test_deferred_tasks_and_the_weight_of_each_route_are_told(context):
    text = re.sub(r"\s+", "", report.render(context))
    assert '<thscope="row">draft</th><td>0</td><td>0</td><td>0.00</td>' in text
    assert '<thscope="row">deferred</th><td>31</td><td>0</td><td>-</td>' in text


def test_faults_that_get_no_budget_are_told_with_the_reason(context):
    told = "No images were fetched for these faults"
    assert told not in text_of(report.render(context))
    context["retrieve"] |= {
        "dropped": {"smoke, endoscopy": "40 readings in rounds 1 and 2 cured nothing"},
        "cured": {
            "smoke, endoscopy": {"readings": 40, "hits": 9}
            | {"cured": 0.012, "low": 0.001, "high": 0.03}
        },
    }
    text = text_of(report.render(context))
    assert told in text
    assert "smoke, endoscopy: 40 readings in rounds 1 and 2 cured nothing." in text
    assert "1.2% (0.1% to 3.0%)" in text


def test_images_of_another_strategy_are_not_said_to_resemble_prototypes(context):
    context["params"]["retrieve"]["strategy"] = "entropy"
    text = text_of(report.render(context))
    assert "by entropy" in text
    assert "resemble a prototype" not in text


def test_nothing_is_requested_from_outside(context):
    html = report.render(context)
    sources = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", html)
    kinds = ("data:image/png;base64,", "data:image/webp;base64,")  # examples, figures
    images = [source for source in sources if source.startswith(kinds)]
    assert len(images) == len(context["figures"]) + 3  # a confusion, an example, a remaining one
    links = [source for source in sources if source not in images]
    assert links[0] == "index.html"
    assert all(link.startswith("#") for link in links[1:])
    assert "url(" not in html
    assert "http://" not in html
    assert "https://" not in html


def test_every_picture_has_a_text_and_every_header_a_scope(context):
    html = report.render(context)
    assert all('alt="' in image for image in re.findall(r"<img[^>]*>", html))
    assert all("scope=" in header for header in re.findall(r"<th[ >][^>]*>?", html))


def test_another_benchmark_stands_apart_under_its_name(context):
    own, other = report.render(context).split("Another benchmark (MedQ-Bench test): not comparable")
    assert "82.50" not in own
    assert "82.50" in other
    assert "simulated GPT-4o" in own.split("Compared with")[1]


@pytest.mark.parametrize(
    ("incumbent", "said"),
    [
        (None, "the base, without an adapter"),
        ({"round": 2, "rev": "abc123", "md5": "d41d8"}, "challenger of round 2"),
    ],
)
def test_lineage_says_what_was_in_force(context, incumbent, said):
    assert said in text_of(report.render({**context, "incumbent": incumbent}))


@pytest.mark.parametrize(
    ("more", "said"), [(120, "About 120 further gate items"), (0, "More items would not help")]
)
def test_an_inconclusive_verdict_says_what_would_decide(context, more, said):
    gate = context["gate"] | {"verdict": "inconclusive", "items_more": more}
    text = text_of(report.render({**context, "gate": gate}))
    assert "The incumbent stays: the evidence does not decide." in text
    assert said in text


def test_people_are_not_called_simulated(context):
    labels = context["annotate_import"] | {"annotators": {"Dr. Reader": 107}}
    text = text_of(report.render({**context, "annotate_import": labels}))
    assert "Time of the expert 80 minutes" in text
    assert "answered by Dr. Reader." in text


def test_a_round_without_failure_or_description_still_has_a_report(context):
    bare = {"description": {}}
    gate = {
        split: context["gate"][split]
        | {role: context["gate"][split][role] | bare for role in ("incumbent", "challenger")}
        for split in ("gate", "test")
    }
    html = report.render(
        {
            **context,
            "gate": context["gate"] | gate,
            "prototypes": context["prototypes"][:0],
            "examples": [],
            "confusions": [],
            "confusion_figures": {},
            "remaining": {"kinds": 0, "mended": 0, "unseen": [], "worst": []},
        }
    )
    assert "no description to score" in html
    assert "Nothing was taken for anything else." in html
    assert "No error of these kinds is left on gate." in html


def test_a_missing_value_is_an_error_and_not_a_gap(context):
    del context["gate"]["reason"]
    with pytest.raises(UndefinedError, match="reason"):
        report.render(context)


def test_published_rows_keep_their_benchmark_and_gaps(tmp_path):
    metrics, published = tmp_path / "metrics", tmp_path / "published"
    metrics.mkdir()
    published.mkdir()
    (metrics / "baselines.json").write_text(json.dumps({"simulated expert": {"items": 3}}))
    rows = {"benchmark": "B", "rows": [{"model": "human", "overall": 82.5}]}
    (published / "b.json").write_text(json.dumps(rows))
    assert report.baselines_of(metrics, published) == {
        "simulated expert": {"items": 3},
        "published": [
            {
                "model": "human",
                "overall": 82.5,
                "yes_no": None,
                "what": None,
                "how": None,
                "benchmark": "B",
            }
        ],
    }


def test_metrics_are_those_of_the_stages_before_the_gate(tmp_path):
    for stage in (*report.METRICS, "gate", "base"):
        (tmp_path / f"{stage}.json").write_text(json.dumps({"stage": stage}))
    assert report.metrics_of(tmp_path) == {stage: {"stage": stage} for stage in report.METRICS}


def test_examples_are_chosen_by_id_one_modality_after_the_other(tmp_path):
    names = [f"{m}{n}" for m in ("fundus", "mri", "ct") for n in (2, 1, 3)]
    items = table(
        [
            {
                "item_id": f"{name}-{task}",
                "task": task,
                "image_ids": [name],
                "question": "Q",
                "modality": name[:-1],
                "findings": [],
                "reference": f"reference {name}",
                "verdict": "good",
            }
            for name in names
            for task in ("description", "perception")
        ],
        ITEM,
    )
    images = ({"image_id": n, "image": {"bytes": n.encode(), "path": n}} for n in names)
    write(table(images, RECORD), tmp_path / "records.parquet", RECORD)
    before = table(
        [{"item_id": f"{n}-description", "text": f"before {n}"} for n in names], PREDICTION
    )
    after = before.with_columns(pl.col("text").str.replace("before", "after"))
    found = report.examples(items, Images(tmp_path / "records.parquet"), before, after)
    order = ["mri1", "ct1", "fundus1", "mri2", "ct2", "fundus2"]
    assert [example["image"].decode() for example in found] == order
    no_verdict = [{"what": "verdict not given", "mark": "wrong", "symbol": "✗"}]
    assert found[0] == {
        "image": b"mri1",
        "question": "Q",
        "reference": "reference mri1",
        "before": {"text": "before mri1", "marks": no_verdict},
        "after": {"text": "after mri1", "marks": no_verdict},
    }


def test_agreement_stands_with_its_intervals_and_what_is_undefined_as_a_dash(context):
    text = text_of(report.render(context))
    said = "verdict: good, usable, reject 10 90.0% (60.0% to 98.0%) 0.80 (0.70 to 0.90)"
    assert said in text
    assert "is the fault there: yes, no 10 90.0% (60.0% to 98.0%) - - -" in text
    assert "10 tasks have two readings; 4 of these disagree, and 3 were settled" in text
    assert "2 readings say that the image cannot be judged" in text


def test_an_annotator_below_the_floor_is_named(context):
    text = text_of(report.render(context))
    assert "second expert (simulated) 9 6 66.7% (40.0% to 100.0%) below, may be chance" in text
    assert " expert (simulated) 10 9 90.0% (60.0% to 98.0%) kept" in text
    context["annotate_import"]["quality"]["gold"]["second expert (simulated)"]["high"] = 0.65
    assert "(40.0% to 65.0%) shown to be below" in text_of(report.render(context))


def test_costs_stand_for_the_round_and_for_all(context):
    text = text_of(report.render(context))
    assert "expert 8 75.0 2.500 20.00 24 75.0 2.500 60.00" in text
    assert "label 10 10 20.00 30 30 60.00" in text
    assert (
        "corrected 6 wrong answers of the model. 8 readings of pool images drawn at random" in text
    )
    assert "corrected about 3 (1 to 5)" in text
    assert "nobody was paid" in text


def test_costs_and_agreement_that_nobody_knows_are_dashes(context):
    labels = context["annotate_import"]
    empty = {"labels": 0, "seconds": None, "money": None}
    unknown = {**empty, "by_route": {}, "by_annotator": {}, "by_purpose": {}}
    labels["ledger"] |= {"round": unknown, "random": dict.fromkeys(RANDOM)}
    labels["quality"] = QUALITY | {"agreement": {}, "gold": {}}
    text = text_of(report.render(context))
    assert "expert 0 - - - 24 75.0 2.500 60.00" in text
    assert "all 0 - - - 24" in text
    assert "corrected about - (- to -)" in text
    assert "No task was answered by two people." in text
    assert "No gold task was answered." in text


def test_what_was_taken_for_what_and_how_sure(context):
    text = text_of(report.render(context))
    assert "CT blur noise 5 times 4 → 2" in text
    assert "calibration error on test is 0.404 before and 0.330 after" in text
    assert "0% to 10% 3 50.0% 25.0% 3 50.0% 25.0%" in text


def test_what_remains_is_counted_and_shown_on_gate(context):
    text = text_of(report.render(context))
    assert "1 kind has no error left" in text
    assert "Gate has no question of: haze, fundus, What." in text
    assert "blur, CT, What p0, p4 8 7 → 5 62.5% (30.0% to 90.0%)" in text
    assert "1 of the 5 gate questions that the challenger still gets wrong: Q?" in text
    assert "said: noise right: blur" in text


def test_descriptions_stand_side_by_side_with_their_marks_in_words(context):
    text = text_of(report.render(context))
    assert "○ mild blur: missed After (challenger) A ✓ mild blur: right" in text


@pytest.mark.parametrize(
    ("number", "changed", "said"),
    [
        (3, [("finetune.steps", "300", "400")], "Against round 2 Parameter Before Now "),
        (3, [], "None since round 2."),
        (1, [], "This is the first round."),
    ],
)
def test_lineage_says_which_params_changed(context, number, changed, said):
    text = text_of(report.render(context | {"round": number, "changed": changed}))
    assert said in text
    assert "batch 48b34ffe3273" in text
    assert "def456" in text


def test_a_large_example_is_made_smaller():
    buffer = io.BytesIO()
    Image.new("RGB", (1200, 600)).save(buffer, "PNG")
    data = base64.b64decode(report.data_uri(buffer.getvalue()).split(",")[1])
    assert Image.open(io.BytesIO(data)).size == (report.SIDE, report.SIDE // 2)
    assert base64.b64decode(report.data_uri(png(1)).split(",")[1]) == png(1)


def luminance(colour: str) -> float:
    shares = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_text_can_be_read_on_its_ground_in_light_and_in_dark(context):
    html = report.render(context)
    schemes = [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", html, re.DOTALL)
    ]
    pairs = [
        (scheme[text], scheme[ground])
        for scheme in schemes[:2]
        for text in ("ink", "soft", "link", "good", "bad")
        for ground in ("page", "card")
    ]
    pairs += [("#ffffff", ground) for ground in re.findall(r"\{ background: (#\w{6}); \}", html)]
    assert len(pairs) == 23
    for text, ground in pairs:
        dark, light = sorted((luminance(text), luminance(ground)))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)
