"""What a model will take, before it is loaded: parameters, memory, arithmetic and time.

Everything is ESTIMATED from a profile's shape and the params, with formulas of the literature; what
they leave out (biases and norms, fragmentation, kernels' workspaces) is a few percent of the
parameters and perhaps a fifth of the memory. Sizes are in bytes, GB are 1e9 bytes.
"""

from dataclasses import dataclass

from medq_engine.config import Finetune, Model
from medq_engine.profiles import Device, Profile, Shape
from medq_engine.vocabulary import Part

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# NF4 in blocks of 64 with a float32 scale each (QLoRA, arXiv 2305.14314, section 3).
FOUR_BIT = 4.5 / 8
# Weight, gradient and Adam's two moments in float32, of what is trained (ZeRO, arXiv 1910.02054).
TRAINED = 16
# The interpreter and its libraries, or the CUDA context.
RUNTIME = 1e9
# Tokens of a question with its options and the chat template, and of all its answers together.
QUESTION_TOKENS = 64
ANSWER_TOKENS = 16
# Questions about each image of the embedded benchmark, which encodes the image once for all.
QUESTIONS = 3
# Achieved share of a device's peak: of matrix products this small, and without tuning.
UTILISATION = 0.3

Matrix = tuple[int, int, int]
"""Features in, features out, how often the model has it."""


@dataclass(frozen=True)
class Accelerator:
    """A device by its data sheet: memory in GB, peak in FLOP/s (dense; bfloat16 on a GPU)."""

    name: str
    kind: Device
    memory: float
    peak: float


# From small to large. The CPU's peak is declared: two cores with AVX2 in float32.
ACCELERATORS = (
    Accelerator("2 CPU cores", "cpu", 16, 1e11),
    Accelerator("L4 24 GB", "cuda", 24, 121e12),
    Accelerator("A100 80 GB", "cuda", 80, 312e12),
)


def matrices(shape: Shape) -> dict[Part, list[Matrix]]:
    """The weight matrices of each part of the model; biases and norms are left out."""
    text, vision = shape.text, shape.vision
    wide, narrow = text.heads * text.head_dim, text.kv_heads * text.head_dim
    edge, width = vision.patch, vision.hidden
    tile = (vision.image_size // edge) ** 2
    return {
        # The convolution, and an embedding of each position.
        "patch_embedding": [(3 * edge**2, width, 1), (tile, width, 1)],
        "vision": [
            (width, width, 4 * vision.layers),
            (width, vision.intermediate, (3 if vision.gated else 2) * vision.layers),
        ],
        "connector": [(*pair, 1) for pair in shape.connector],
        "language": [
            (text.hidden, wide, 2 * text.layers),
            (text.hidden, narrow, 2 * text.layers),
            (text.hidden, text.intermediate, 3 * text.layers),
        ],
        "words": [(text.hidden, text.vocab, 1 if text.tied else 2)],
    }


def parameters(shape: Shape) -> dict[Part, int]:
    """Parameters of each part."""
    return {
        part: sum(rows * columns * count for rows, columns, count in found)
        for part, found in matrices(shape).items()
    }


def trained_parameters(shape: Shape, finetune: Finetune) -> int:
    """Parameters that fine-tuning changes: LoRA's two factors of rank r, and what is trained whole.

    A matrix of (m, n) gets r (m + n) parameters (LoRA, arXiv 2106.09685).
    """
    whole = parameters(shape)
    lora = sum(
        finetune.rank * (rows + columns) * count
        for part in finetune.adapt
        for rows, columns, count in matrices(shape)[part]
    )
    return lora + sum(whole[part] for part in finetune.train_whole)


def weight_bytes(shape: Shape, model: Model) -> float:
    """Memory of the weights; in 4 bit, patch embedding and words stay as they are."""
    full = BYTES[model.dtype]
    packed = FOUR_BIT if model.quantize else full
    kept = ("patch_embedding", "words")
    sizes = parameters(shape).items()
    return sum(count * (full if part in kept else packed) for part, count in sizes)


def cache_bytes(shape: Shape, dtype: str) -> int:
    """KV cache of one token: a key and a value in every layer."""
    text = shape.text
    return 2 * text.layers * text.kv_heads * text.head_dim * BYTES[dtype]


def row_tokens(shape: Shape, questions: int) -> int:
    """Length of a row: an image, and questions with their answers that share it."""
    return shape.image_tokens + questions * (QUESTION_TOKENS + ANSWER_TOKENS)


def evaluate_bytes(shape: Shape, model: Model) -> float:
    """Peak memory of evaluating: weights, the KV cache of a batch, one layer's tensors.

    Attention does not hold its scores (FlashAttention, arXiv 2205.14135).
    """
    tokens = row_tokens(shape, QUESTIONS)
    layer = max(
        shape.vision.patches * layer_bytes(shape, "vision", model.dtype, adapted=False),
        tokens * layer_bytes(shape, "language", model.dtype, adapted=False),
    )
    batch = model.images_per_batch * (tokens * cache_bytes(shape, model.dtype) + layer)
    return RUNTIME + weight_bytes(shape, model) + batch


def layer_bytes(shape: Shape, part: Part, dtype: str, adapted: bool = True) -> int:
    """What one layer of the vision tower or the language model keeps of a token for its gradient.

    Counted as by Korthikanti et al. (arXiv 2205.05198, section 4.1), without attention's scores and
    without dropout: the inputs of norms, of products and of activation functions. Frozen matrices
    need no input of their own; LoRA's do, and PEFT copies each to float32, in which the adapter is
    kept: a model of 16 bits saves less than one would think.
    """
    text, vision = shape.text, shape.vision
    if part == "vision":
        hidden, inner, gated = vision.hidden, vision.intermediate, vision.gated
        queries = keys = hidden
    else:
        hidden, inner, gated = text.hidden, text.intermediate, True
        queries, keys = text.heads * text.head_dim, text.kv_heads * text.head_dim
    attention = 2 * queries + 2 * keys
    size = BYTES[dtype]
    if size == 4 or not adapted:
        return size * (4 * hidden + attention + (4 if gated else 2) * inner)
    if gated:  # its norms work in float32, and four products of the layer read `hidden` numbers
        return 4 * (7 * hidden + queries + inner) + size * (attention + 3 * inner)
    return 4 * (4 * hidden + queries + inner) + size * (2 * hidden + attention + inner)


def activation_bytes(shape: Shape, model: Model, finetune: Finetune) -> float:
    """What the backward pass of one image with its turns keeps.

    With checkpointing a layer keeps its input alone, and one layer at a time is computed anew (Chen
    et al., arXiv 1604.06174). A tower that nothing is trained in keeps nothing.
    """
    text, vision = shape.text, shape.vision
    stacks = [("language", text.layers, text.hidden, _text_tokens(shape, finetune))]
    if _tower_trained(finetune):
        patches = _copies(finetune) * vision.patches
        stacks.append(("vision", vision.layers, vision.hidden, patches))
    kept = 0
    for part, layers, hidden, tokens in stacks:
        full = layer_bytes(shape, part, model.dtype)
        checkpointed = layers * hidden * BYTES[model.dtype] + full
        kept += tokens * (checkpointed if finetune.gradient_checkpointing else layers * full)
    # The vocabulary's scores of the answers, in float32: as they are, normalised, their gradient.
    return kept + 3 * finetune.turns * ANSWER_TOKENS * text.vocab * BYTES["float32"]


def _tower_trained(finetune: Finetune) -> bool:
    return bool({"vision", "patch_embedding"} & {*finetune.adapt, *finetune.train_whole})


def _copies(finetune: Finetune) -> int:
    """How often an image goes through the model: turns share it, but not under checkpointing."""
    return finetune.turns if finetune.gradient_checkpointing else 1


def _text_tokens(shape: Shape, finetune: Finetune) -> int:
    if finetune.gradient_checkpointing:
        return finetune.turns * row_tokens(shape, 1)
    return row_tokens(shape, finetune.turns)


def finetune_bytes(shape: Shape, model: Model, finetune: Finetune) -> float:
    """Peak memory of fine-tuning on one device."""
    state = TRAINED * trained_parameters(shape, finetune)
    images = min(finetune.images_per_pass, finetune.batch)
    activations = images * activation_bytes(shape, model, finetune)
    return RUNTIME + weight_bytes(shape, model) + state + activations


def item_flops(shape: Shape) -> float:
    """Arithmetic of one perception item: 2 FLOP a parameter and token (arXiv 2001.08361, 2.1).

    The image is encoded once for `QUESTIONS` items. Attention's own products are left out.
    """
    size = parameters(shape)
    image = 2 * (size["vision"] * shape.vision.patches + size["language"] * shape.image_tokens)
    answers = 2 * size["language"] * (QUESTION_TOKENS + ANSWER_TOKENS)
    return image / QUESTIONS + answers


def step_flops(shape: Shape, finetune: Finetune) -> float:
    """Arithmetic of one step over `batch` images.

    6 FLOP a parameter and token for what is trained whole (arXiv 2001.08361, 2.1), 4 where LoRA
    leaves the matrix itself without a gradient, 2 for a tower that stays as it is; checkpointing
    runs the forward pass twice.
    """
    size = parameters(shape)
    again = 2 if finetune.gradient_checkpointing else 0

    def each(part: Part, reached: bool) -> int:
        if part in finetune.train_whole:
            return 6 + again
        return 4 + again if reached else 2

    tower = each("vision", _tower_trained(finetune)) * size["vision"]
    text = each("language", True) * size["language"]
    images = _copies(finetune) * shape.vision.patches
    return finetune.batch * (tower * images + text * _text_tokens(shape, finetune))


def seconds(flops: float, peak: float) -> float:
    """Time on a device of `peak` FLOP/s, of which `UTILISATION` is reached."""
    return flops / (UTILISATION * peak)


def accelerator(kind: Device, memory: float) -> Accelerator:
    """The smallest of `ACCELERATORS` of a kind with so much memory (GB), or else its largest."""
    alike = [known for known in ACCELERATORS if known.kind == kind]
    return next((known for known in alike if known.memory >= memory), alike[-1])


HEADER = (
    "profile",
    "parameters",
    "trained",
    "weights GB",
    "KV cache MB an image",
    "images a batch / a pass",
    "evaluate GB",
    "fine-tune GB",
    "device",
    "1,000 items",
    "fine-tuning",
)


def row(name: str, profile: Profile, model: Model, finetune: Finetune) -> tuple[str, ...]:
    """One profile's line of the table: what the params take, and on which device."""
    shape = profile.shape
    device = accelerator(profile.needs.device, profile.needs.memory)
    cache = row_tokens(shape, QUESTIONS) * cache_bytes(shape, model.dtype)
    items = seconds(1000 * item_flops(shape), device.peak)
    training = seconds(finetune.steps * step_flops(shape, finetune), device.peak)
    return (
        name,
        _count(sum(parameters(shape).values())),
        _count(trained_parameters(shape, finetune)),
        f"{weight_bytes(shape, model) / 1e9:.3g}",
        f"{cache / 1e6:.3g}",
        f"{model.images_per_batch} / {finetune.images_per_pass}",
        f"{evaluate_bytes(shape, model) / 1e9:.3g}",
        f"{finetune_bytes(shape, model, finetune) / 1e9:.3g}",
        device.name,
        duration(items),
        f"{finetune.steps} steps: {duration(training)}",
    )


def table(rows: list[tuple[str, ...]]) -> str:
    """The rows as a Markdown table under a line that says what they are."""
    lines = [HEADER, ("---",) * len(HEADER), *rows]
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return "ESTIMATES from the shapes in profiles/, not measurements:\n\n" + body


def _count(value: int) -> str:
    return f"{value / 1e9:.3g} B" if value >= 1e9 else f"{value / 1e6:.3g} M"


def duration(value: float) -> str:
    """Seconds in the unit that fits: `8 s`, `25 min`, `3.4 h`."""
    if value < 90:
        return f"{max(1, value):.0f} s"
    return f"{value / 60:.0f} min" if value < 5400 else f"{value / 3600:.1f} h"
