"""params.yaml as frozen, typed dataclasses; an error names the key that is at fault.

Stages take the blocks that they use and declare them in dvc.yaml (a test compares the two).
"""

import json
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from ruamel.yaml import YAML, YAMLError

from medq_engine.degradations import DEGRADATIONS
from medq_engine.errors import MedqError
from medq_engine.vocabulary import AnswerFormat, Part, QuestionType, Route

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0)]
Split = Literal["dev", "gate", "test"]


class ParamsError(MedqError):
    """params.yaml cannot be used; the message names every faulty key."""


def every(kind: object) -> AfterValidator:
    """Refuse a mapping that leaves out one of the values of a `Literal`."""

    def check(mapping: dict) -> dict:
        missing = [key for key in get_args(kind) if key not in mapping]
        if missing:
            raise ValueError(f"missing: {', '.join(missing)}")
        return mapping

    return AfterValidator(check)


@dataclass(frozen=True, config=STRICT)
class Incumbent:
    """The adapter in force: the round that trained it, that round's commit, its folder's md5."""

    round: Positive
    rev: str
    md5: str


@dataclass(frozen=True, config=STRICT)
class History:
    """The labels of all rounds before: the last round's commit and the md5 of its label table."""

    rev: str
    md5: str


@dataclass(frozen=True, config=STRICT)
class Model:
    """The model under evaluation, how it is run and how it is asked."""

    id: str
    dtype: Literal["float32", "bfloat16", "float16"]
    quantize: Literal["4bit"] | None
    threads: Positive
    images_per_batch: Positive
    max_new_tokens: Positive
    answer_format: AnswerFormat
    option_orders: Positive
    two_images: bool


ENDPOINT = "endpoint:"


def remote(model: Model) -> bool:
    """True where the model under evaluation is a server (`id: endpoint:NAME`)."""
    return model.id.startswith(ENDPOINT)


@dataclass(frozen=True, config=STRICT)
class Endpoint:
    """An OpenAI-compatible server: where it is, how hard it may be asked, what it costs.

    Attributes:
        url: Base URL, up to and with `/v1`.
        model: Name of the model as the server knows it.
        key: Environment variable that holds the API key; null where the server wants none.
        concurrency: Requests in flight at once.
        timeout: Seconds until a request counts as lost.
        retries: How often a lost or refused request is sent again.
        max_requests: Hard limit of requests that one stage may send.
        max_cost: Hard limit, in US dollars, of what one stage may spend.
        price_input, price_output: US dollars for a million tokens; 0 for a server of one's own.
    """

    url: str
    model: str
    key: str | None
    concurrency: Positive
    timeout: Rate
    retries: Annotated[int, Field(ge=0)]
    max_requests: Positive
    max_cost: Annotated[float, Field(ge=0)]
    price_input: Annotated[float, Field(ge=0)]
    price_output: Annotated[float, Field(ge=0)]


@dataclass(frozen=True, config=STRICT)
class Images:
    """Where pristine scenes come from, and the working resolution in pixels."""

    kind: Literal["packages", "phantom"]
    size: Annotated[int, Field(ge=48, multiple_of=24)]
    fill_below: Positive


@dataclass(frozen=True, config=STRICT)
class Faults:
    """Names of the degradations that the base is taught, and of those that are rare in the pool."""

    taught: tuple[str, ...]
    rare: tuple[str, ...]

    def __post_init__(self) -> None:
        unknown = sorted({*self.taught, *self.rare} - set(DEGRADATIONS))
        if unknown:
            raise ValueError(f"no such degradation: {', '.join(unknown)}")
        both = sorted({*self.taught} & {*self.rare})
        if both:
            raise ValueError(f"both taught and rare: {', '.join(both)}")


@dataclass(frozen=True, config=STRICT)
class Benchmark:
    """Images in each split of the embedded benchmark."""

    records: Annotated[dict[Split, Positive], every(Split)]


@dataclass(frozen=True, config=STRICT)
class Pool:
    """Size and mix of the embedded pool."""

    images: Positive
    shard_images: Positive
    phantom_share: Share
    common_share: Share
    rare_share: Share
    compound_share: Share

    def __post_init__(self) -> None:
        if self.common_share + self.rare_share > 1:
            raise ValueError("common_share and rare_share together are above 1")


@dataclass(frozen=True, config=STRICT)
class Drafts:
    """Who drafts: simulated, with these accuracies by question type, or an endpoint by name."""

    endpoint: str | None
    accuracy: Annotated[dict[QuestionType, Share], every(QuestionType)]


@dataclass(frozen=True, config=STRICT)
class Expert:
    """The simulated expert's accuracy and seconds per label."""

    accuracy: Share
    seconds: Rate


@dataclass(frozen=True, config=STRICT)
class VisionSchedule:
    """The base's first training step: the vision tower as a classifier."""

    steps: Positive
    batch: Positive
    learning_rate: Rate


@dataclass(frozen=True, config=STRICT)
class WordsSchedule:
    """The base's second training step: answering questions."""

    steps: Positive
    batch: Positive
    turns: Positive
    learning_rate: Rate


@dataclass(frozen=True, config=STRICT)
class Base:
    """Shape and lessons of the nano model."""

    seed: int
    hidden: Annotated[int, Field(gt=0, multiple_of=40)]
    vision_layers: Positive
    text_layers: Positive
    phantoms: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    vision: VisionSchedule
    words: WordsSchedule


@dataclass(frozen=True, config=STRICT)
class Count:
    """How many images a stage draws."""

    images: Positive


@dataclass(frozen=True, config=STRICT)
class Embeddings:
    """The frozen encoder of pool and failures."""

    encoder: Literal["image-statistics", "vision-tower"]
    images_per_batch: Positive


@dataclass(frozen=True, config=STRICT)
class Evaluate:
    """R sampled answers, and the error rate above which an item is a failure."""

    repeats: Positive
    description_repeats: Positive
    gamma: Share
    temperature: Rate


@dataclass(frozen=True, config=STRICT)
class Cluster:
    """Range of the number of prototypes, weight of the text features, kind of anchor."""

    k_min: Annotated[int, Field(ge=2)]
    k_max: Annotated[int, Field(ge=2)]
    text_weight: Annotated[float, Field(ge=0)]
    anchor: Literal["contrast", "medoid", "centroid"]

    def __post_init__(self) -> None:
        if self.k_max < self.k_min:
            raise ValueError(f"k_max {self.k_max} is below k_min {self.k_min}")


@dataclass(frozen=True, config=STRICT)
class Saturation:
    """Readings that a round must spend on a fault to count as tried; the effect that matters."""

    least_readings: Positive
    least_effect: Share


@dataclass(frozen=True, config=STRICT)
class Retrieve:
    """How images are chosen, and threshold, budget and guards of the search."""

    strategy: Literal["prototypes", "random", "entropy", "coreset", "typiclust"]
    threshold: Annotated[float, Field(ge=-1, le=1)]
    alpha: Annotated[float, Field(ge=0)]
    budget_rule: Literal["paper", "bandit"]
    saturation: Saturation
    budget: Positive
    usual_share: Share
    control_share: Share
    near_duplicate: Annotated[float, Field(ge=-1, le=1)]
    leakage_bits: Annotated[int, Field(ge=0, le=64)]

    def __post_init__(self) -> None:
        if self.usual_share + self.control_share > 1:
            raise ValueError("usual_share and control_share together are above 1")


@dataclass(frozen=True, config=STRICT)
class RouteParams:
    """The rule with its target or thresholds, the experts' share, what of it goes into checking."""

    rule: Literal["risk", "paper"]
    noise_target: Share
    noise_confidence: Annotated[float, Field(gt=0.5, lt=1)]
    entropy_quantile: Share
    agreement: Share
    expert_share: Share
    diminishing: Annotated[float, Field(ge=0)]
    audit_share: Share
    gold_share: Share
    double_share: Share
    control_share: Share

    def __post_init__(self) -> None:
        checks = ("audit_share", "gold_share", "double_share", "control_share")
        if sum(getattr(self, name) for name in checks) > 1:
            raise ValueError(f"{', '.join(checks[:-1])} and {checks[-1]} together are above 1")


@dataclass(frozen=True, config=STRICT)
class AnnotateImport:
    """Near-duplicate thresholds of the import, and the floor of annotators' gold accuracy."""

    phash_bits: Annotated[int, Field(ge=0, le=64)]
    text_similarity: Share
    gold_floor: Share


@dataclass(frozen=True, config=STRICT)
class Costs:
    """What labels cost: money for an hour of a person, and for a draft or an own answer."""

    currency: str
    person_hour: Annotated[float, Field(ge=0)]
    draft: Annotated[float, Field(ge=0)]
    model: Annotated[float, Field(ge=0)]


@dataclass(frozen=True, config=STRICT)
class Finetune:
    """LoRA, schedule and mixture of the round's adapter."""

    start: Literal["base", "incumbent"]
    rank: Positive
    lora_alpha: Positive
    adapt: Annotated[tuple[Part, ...], Field(min_length=1)]
    train_whole: tuple[Part, ...]
    gradient_checkpointing: bool
    steps: Positive
    steps_at: Positive
    batch: Positive
    images_per_pass: Positive
    turns: Positive
    learning_rate: Rate
    weight_decay: Annotated[float, Field(ge=0)]
    replay: Annotated[float, Field(ge=0, lt=1)]
    fine_share: Share | None
    views: Positive
    route_weight: Annotated[dict[Route, Share], every(Route)]


@dataclass(frozen=True, config=STRICT)
class QualityGate:
    """Bootstrap and margins of the verdict."""

    resamples: Annotated[int, Field(ge=100)]
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    margin: Share


@dataclass(frozen=True, config=STRICT)
class Stopping:
    """The price below which another round is not worth its labels: points of accuracy an hour."""

    least_gain: Annotated[float, Field(ge=0)]


@dataclass(frozen=True, config=STRICT)
class Judge:
    """The endpoint that judges descriptions beside the findings judge, by name, or null."""

    endpoint: str | None


@dataclass(frozen=True, config=STRICT)
class Params:
    """All of params.yaml."""

    round: Positive
    tag: str
    incumbent: Incumbent | None
    history: History | None
    seed: int
    model: Model
    endpoints: dict[str, Endpoint]
    judge: Judge
    images: Images
    faults: Faults
    benchmark: Benchmark
    pool: Pool
    drafts: Drafts
    expert: Expert
    base: Base
    base_exam: Count
    replay: Count
    embeddings: Embeddings
    evaluate: Evaluate
    cluster: Cluster
    retrieve: Retrieve
    route: RouteParams
    annotate_import: AnnotateImport
    costs: Costs
    finetune: Finetune
    quality_gate: QualityGate
    stopping: Stopping

    def __post_init__(self) -> None:
        # DVC cannot pad a number in a path, so the padded name stands beside it.
        expected = f"round-{self.round:03d}"
        if self.tag != expected:
            raise ValueError(f"tag is {self.tag!r}, but round {self.round} needs {expected!r}")
        if remote(self.model) and self.incumbent:
            raise ValueError("model.id is an endpoint, which takes no adapter: incumbent is null")
        if remote(self.model) and self.embeddings.encoder == "vision-tower":
            raise ValueError("embeddings.encoder: vision-tower needs weights, not an endpoint")
        asked = {
            "model.id": self.model.id.removeprefix(ENDPOINT) if remote(self.model) else None,
            "drafts.endpoint": self.drafts.endpoint,
            "judge.endpoint": self.judge.endpoint,
        }
        for key, name in asked.items():
            if name is not None and name not in self.endpoints:
                raise ValueError(f"{key} names {name!r}, which is none of endpoints")


def load_params(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        ParamsError: A key is unknown, missing or has a value that it cannot have.
    """
    try:
        raw = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, YAMLError) as error:
        raise ParamsError(f"{path}: {error}") from error
    try:
        # Strict JSON: no text for a number, but mappings and lists as they are.
        return TypeAdapter(Params).validate_json(json.dumps(raw), strict=True)
    except ValidationError as error:
        faults = [
            f"  {'.'.join(map(str, fault['loc'])) or '(top level)'}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise ParamsError(f"{path} has {len(faults)} faults:\n" + "\n".join(faults)) from error
