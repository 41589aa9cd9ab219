"""The report: self-contained, escaped, the same every time, honest about what is simulated."""

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
        *("weak_spots", "blind"),
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
            "retrieve": {"budget": 600},
            "route": {"expert_share": 0.18},
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
            "control": 60,
            "mean_cosine": None,
            "left_out": {"leaks": 3, "labelled_before": 0},
        },
        "route": {"tau_h": 0.3, "by_route": {"expert": 108, "model": 492}, "audits": 11},
        "annotate_import": {
            "round": 590,
            "total": 1200,
            "by_route": {"expert": 107, "model": 483},
            "deferred": 31,
            "expert_seconds": 4815.0,
            "expert_minutes_total": 160.0,
            "dropped": {"duplicates": 10},
            "noise": {"audited": 11, "wrong": 3, **RATE},
            "yield": {
                "prototype": {"labels": 80, "corrected": 20, **RATE},
                "control": {"labels": 0, "corrected": 0, "rate": None, "low": 0.0, "high": 1.0},
            },
            "annotators": {"expert (simulated)": 107},
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
        "figures": {name: tmp_path / f"{name}.png" for name in names},
        "examples": [
            {"image": png(99), "question": "Q", "reference": "R", "before": HOSTILE, "after": "A"}
        ],
    }


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
    assert re.findall(r"<h2>(.*?)</h2>", html) == [
        "What the model got wrong",
        "Failure prototypes",
        "What was fetched",
        "Who labelled what, at what cost",
        "What changed",
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


def test_nothing_is_requested_from_outside(context):
    html = report.render(context)
    sources = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", html)
    assert len(sources) == len(context["figures"]) + len(context["examples"])
    kinds = ("data:image/png;base64,", "data:image/webp;base64,")  # examples, figures
    assert all(source.startswith(kinds) for source in sources)
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
        }
    )
    assert "no description to score" in html


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
                "reference": f"reference {name}",
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
    assert found[0] == {
        "image": b"mri1",
        "question": "Q",
        "reference": "reference mri1",
        "before": "before mri1",
        "after": "after mri1",
    }
