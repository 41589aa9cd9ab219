"""The model card of an accepted adapter: Hugging Face's front matter, then what a reader asks.

It says nothing of the commit that will hold it, so that it can be written before the commit is made
and comes out the same whenever it is written again.
"""

import re
from collections.abc import Mapping

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment

from medq_engine.annotations import SIMULATED
from medq_engine.figures import label_of
from medq_engine.report import environment, percent

SPLITS = {
    "dev": "steers: failures come from it",
    "gate": "decides: in or not",
    "test": "is only reported",
}
TAGS = ["lora", "medical-image-quality", "medical", "vision-language", "medq-engine"]


def plain(text: object) -> str:
    """Text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\`*_{}\[\]<>#|&!~])", r"\\\1", " ".join(str(text).split()))


def weakest(accuracy: Mapping[str, float]) -> str:
    """The slice with the lowest accuracy: `CT (42.4%)`."""
    name = min(accuracy, key=accuracy.get)
    return f"{label_of(name)} ({percent(accuracy[name])})"


def card(
    tag: str,
    params: Mapping[str, object],
    metrics: Mapping[str, Mapping[str, object]],
    data: Mapping[str, Mapping[str, object]],
    batch: str,
    embedded: bool,
) -> str:
    """The model card of a round's adapter as Markdown; the same input gives the same text.

    Args:
        tag: The round.
        params: Contents of params.yaml.
        metrics: Contents of metrics/*.json by stem.
        data: What dvc.lock says of each path (`closed.hashes`).
        batch: Fingerprint of the round's queue file.
        embedded: True if the benchmark is the embedded one, whose faults are simulated.

    Raises:
        jinja2.UndefinedError: A metric that the card tells is missing.
    """
    annotators = metrics["annotate_import"]["annotators"]
    return (
        _environment()
        .get_template("model_card.md")
        .render(
            front_matter=front_matter(tag, params, metrics, data, embedded),
            tag=tag,
            params=params,
            gate=metrics["gate"],
            labels=metrics["annotate_import"],
            finetune=metrics["finetune"],
            splits=metrics["benchmark"]["splits"],
            roles=SPLITS,
            baselines=metrics.get("baselines", {}),
            simulated=any(SIMULATED in name for name in annotators),
            embedded=embedded,
            batch=batch,
            md5={path: entry["md5"] for path, entry in data.items()},
        )
    )


def front_matter(
    tag: str,
    params: Mapping[str, object],
    metrics: Mapping[str, Mapping[str, object]],
    data: Mapping[str, Mapping[str, object]],
    embedded: bool,
) -> str:
    """The card's YAML, as Hugging Face reads it, with the test metrics as `model-index`."""
    test = metrics["gate"]["test"]["challenger"]
    told = {"Accuracy": test["accuracy"]}
    kinds = test["accuracy_by"]["question_type"]
    told |= {f"Accuracy, {kind} questions": value for kind, value in kinds.items()}
    owner = "embedded" if embedded else "own"
    results = [
        EvalResult(
            task_type="visual-question-answering",
            dataset_type=f"medq-engine-{owner}",
            dataset_name=f"MedQ-Engine, {owner} benchmark",
            dataset_split="test",
            dataset_revision=data["data/benchmark/test"]["md5"],
            metric_type="accuracy",
            metric_name=name,
            metric_value=round(value, 4),
        )
        for name, value in told.items()
    ]
    return ModelCardData(
        license="apache-2.0",
        language="en",
        base_model=params["model"]["id"],
        library_name="peft",
        pipeline_tag="image-text-to-text",
        tags=TAGS,
        model_name=f"medq-engine-adapter-{tag}",
        eval_results=results,
    ).to_yaml(line_break="\n")


def _environment() -> Environment:
    # Markdown is not escaped as HTML is: what people wrote goes through `plain`.
    made = environment().overlay(autoescape=False, keep_trailing_newline=True)
    made.filters |= {"plain": plain, "weakest": weakest}
    return made
