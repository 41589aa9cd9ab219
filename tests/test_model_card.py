import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from medq_engine import closed, model_card
from tests.closed_repository import Repository


@pytest.fixture
def card(tmp_path) -> Callable[..., str]:
    """The card of a round that passed, with changes of its arguments."""
    made = Repository(tmp_path)
    one = closed.read(Path(tmp_path), made.close(gain=0.05))

    def text(annotators: dict[str, int] | None = None, **changes: object) -> str:
        metrics = deepcopy(dict(one.metrics))
        if annotators is not None:
            metrics["annotate_import"]["annotators"] = annotators
        given = {"params": one.params, "data": one.data, "batch": "b" * 12, "embedded": True}
        return model_card.card(one.tag, metrics=metrics, **(given | changes))

    return text


def test_hugging_face_reads_the_front_matter(card):
    data = ModelCard(card()).data
    assert (data.license, data.base_model, data.library_name) == (
        "apache-2.0",
        "models/base",
        "peft",
    )
    results = {result.metric_name: result for result in data.eval_results}
    assert results["Accuracy"].metric_value == 0.55
    assert results["Accuracy, what questions"].metric_value == 0.45
    assert results["Accuracy"].dataset_split == "test"
    assert results["Accuracy"].dataset_revision == "2" * 32 + ".dir"


def test_results_of_gate_and_test_stand_with_their_intervals(card):
    text = card()
    whole = "50.0% → 55.0% | +5.0 points (+3.0 to +7.0)"
    assert f"| **all** | {whole} | {whole} |" in text
    assert f"| MRI | {whole} | {whole} |" in text
    assert "its 95% interval" in text
    assert "expected calibration error 0.200" in text
    assert "Weakest modality on test: CT (55.0%)." in text


def test_who_gave_the_labels_and_what_they_weigh(card):
    text = card()
    assert "| expert | 10 | 1 |\n| draft | 10 | 0.5 |\n| model | 20 | 0 |" in text
    assert "Given by: expert (simulated) (10); 8\nsimulated expert minutes" in text


def test_what_is_simulated_is_said_and_only_that(card):
    assert "people in this round were simulated" in card()
    assert "**The faults are simulated**" in card()
    people = card(annotators={"reader-1": 20}, embedded=False)
    assert "people in this round were simulated" not in people
    assert "faults are simulated" not in people
    assert "20); 8\nexpert minutes" in people
    assert "**not a medical device**" in people


def test_lineage_names_hashes_batch_and_incumbent(card):
    text = card()
    assert "| started from | the base, as incumbent |" in text
    assert f"`{'b' * 12}`" in text
    assert "dvc get . models/challenger --rev round-001" in text
    later = card(params=json.loads(PARAMS))
    assert "| started from | round 4, commit `abc`, as incumbent |" in later
    assert "the endpoint `gpt`" in later


PARAMS = json.dumps(
    {
        "incumbent": {"round": 4, "rev": "abc"},
        "model": {"id": "some/model"},
        "drafts": {"endpoint": "gpt"},
        "quality_gate": {"confidence": 0.9, "margin": 0.02},
        "finetune": {"replay": 0.0, "route_weight": {"expert": 1, "draft": 1, "model": 1}},
    }
)


def test_the_same_round_gives_the_same_card(card):
    assert card() == card()


def test_tables_are_not_torn_by_the_template(card):
    """Every table has a row of dashes below its head and as many cells in each row."""
    lines = card().split("# Use", 1)[1].splitlines()
    heads = [at for at, line in enumerate(lines) if line.startswith("|--")]
    assert len(heads) == 4
    for at in heads:
        end = next(i for i in range(at, len(lines)) if not lines[i].startswith("|"))
        table = lines[at - 1 : end]
        assert len(table) > 2
        assert len({row.count("|") for row in table}) == 1


def test_a_name_can_neither_draw_nor_break_a_line(card):
    text = card(annotators={"<img src=x>\n# Big | `code`": 1})
    assert r"\<img src=x\> \# Big \| \`code\` (1)" in text
