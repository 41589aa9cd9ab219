"""The table of families against a tiny model of every class, as transformers builds it."""

from dataclasses import dataclass

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.utils import ModulesToSaveWrapper
from torch import nn
from transformers import AutoModelForImageTextToText, PreTrainedModel
from transformers.processing_utils import ProcessorMixin

from medq_engine.models.families import (
    ADAPTED,
    FAMILIES,
    Family,
    FamilyError,
    family_of,
    lora_targets,
    named,
    whole_modules,
)
from medq_engine.models.processors import load_processor
from tests.tiny_models import build

WHOLE = ("patch_embedding", "connector", "words")
MERGERS = ["model.visual.merger"]
DEEPSTACK = "model.visual.deepstack_merger_list.0"
CONNECTORS = {
    "idefics3": ["model.connector"],
    "smolvlm": ["model.connector"],
    "qwen2_5_vl": MERGERS,
    "qwen3_vl": [*MERGERS, DEEPSTACK],
}
QUESTION = "Is there blur?"
Tensors = dict[str, torch.Tensor]


@dataclass
class Checkpoint:
    """A loaded tiny model, its processor, its family and the folder."""

    model: PreTrainedModel
    processor: ProcessorMixin
    family: Family
    folder: str


def load(folder) -> PreTrainedModel:
    model = AutoModelForImageTextToText.from_pretrained(folder, use_safetensors=True)
    return model.eval()


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def tiny(request, tmp_path_factory) -> Checkpoint:
    folder = build(request.param, tmp_path_factory.mktemp(request.param))
    model = load(folder)
    return Checkpoint(model, load_processor(folder), family_of(model), str(folder))


def asked(tiny: Checkpoint, images: list, question: str = QUESTION) -> Tensors:
    """What the processor makes of one prompt about these images."""
    parts = [{"type": "image"}] * len(images) + [{"type": "text", "text": question}]
    chat = tiny.processor.apply_chat_template(
        [{"role": "user", "content": parts}], add_generation_prompt=True
    )
    inputs = dict(tiny.processor(text=[chat], images=[images], return_tensors="pt"))
    inputs.pop("labels", None)
    return inputs


def followed(tiny: Checkpoint, inputs: Tensors, answer: list[int]) -> Tensors:
    """A prompt's tensors with an answer behind it."""
    more = {
        "input_ids": answer,
        "attention_mask": [1] * len(answer),
        "token_type_ids": [tiny.family.answer_type] * len(answer),
        "mm_token_type_ids": [0] * len(answer),
    }
    return inputs | {
        name: torch.cat([inputs[name], torch.tensor([values])], 1)
        for name, values in more.items()
        if name in inputs
    }


@torch.no_grad()
def states(tiny: Checkpoint, inputs: Tensors) -> torch.Tensor:
    """Last hidden states of a plain pass, shape (tokens, hidden)."""
    return tiny.model.model(**inputs, use_cache=False).last_hidden_state[0]


def linear_under(model: nn.Module, path: str) -> set[str]:
    return {
        f"{path}.{name}"
        for name, module in model.get_submodule(path).named_modules()
        if isinstance(module, nn.Linear)
    }


def adapted(model: nn.Module, targets: str) -> set[str]:
    """Names of the modules that got LoRA."""
    peft = get_peft_model(model, LoraConfig(r=2, target_modules=targets)).get_base_model()
    return {name for name, module in peft.named_modules() if hasattr(module, "lora_A")}


def test_a_checkpoint_is_of_its_family(tiny):
    assert tiny.family.name == tiny.model.config.model_type
    assert tiny.model.model.get_submodule(tiny.family.tower) is not None


def test_lora_takes_every_linear_layer_of_the_tower_but_the_connector(tiny):
    tower = linear_under(tiny.model, f"model.{tiny.family.tower}")
    expected = {name for name in tower if "merger" not in name}
    assert len(expected) >= 8
    assert adapted(load(tiny.folder), lora_targets(tiny.family, ["vision"])) == expected


def test_lora_takes_every_linear_layer_of_the_language_model(tiny):
    path = "text_model" if hasattr(tiny.model.model, "text_model") else "language_model"
    expected = linear_under(tiny.model, f"model.{path}")
    assert len(expected) == 2 * 7
    assert adapted(load(tiny.folder), lora_targets(tiny.family, ["language"])) == expected


def test_both_parts_together_take_the_layers_of_both(tiny):
    separate = [adapted(load(tiny.folder), lora_targets(tiny.family, [p])) for p in ADAPTED]
    assert adapted(load(tiny.folder), lora_targets(tiny.family, ADAPTED)) == set.union(*separate)


def test_parts_trained_whole(tiny):
    patches, *rest = whole_modules(tiny.family, tiny.model, ["patch_embedding"])
    assert rest == []
    assert isinstance(tiny.model.get_submodule(patches), nn.Conv2d | nn.Conv3d)
    expected = CONNECTORS.get(tiny.family.name, ["model.multi_modal_projector"])
    assert whole_modules(tiny.family, tiny.model, ["connector"]) == expected


def test_words_are_the_embedding_and_a_head_of_its_own(tiny):
    names = whole_modules(tiny.family, tiny.model, ["words"])
    found = [tiny.model.get_submodule(name) for name in names]
    reads, writes = tiny.model.get_input_embeddings(), tiny.model.get_output_embeddings()
    assert found == ([reads] if reads.weight is writes.weight else [reads, writes])


def test_a_training_step_changes_the_named_modules_and_lora_only(tiny, noise_images):
    base = load(tiny.folder)
    whole = whole_modules(tiny.family, base, WHOLE)
    tied = base.get_input_embeddings().weight is base.get_output_embeddings().weight
    config = LoraConfig(
        r=2,
        target_modules=lora_targets(tiny.family, ADAPTED),
        modules_to_save=whole,
        ensure_weight_tying=tied,
    )
    torch.manual_seed(0)
    model = get_peft_model(base, config)
    wrapped = [n for n, m in base.named_modules() if isinstance(m, ModulesToSaveWrapper)]
    assert sorted(wrapped) == sorted([*whole, *(["lm_head"] if tied else [])])

    before = {name: value.clone() for name, value in model.named_parameters()}
    inputs = followed(tiny, asked(tiny, noise_images[:1]), [5, 6])
    model.train()
    model(**inputs, labels=inputs["input_ids"]).loss.backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    torch.optim.SGD(trained, lr=0.1).step()

    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert all("lora_B" in name or "modules_to_save" in name for name in changed)
    language = "text_model" if hasattr(base.model, "text_model") else "language_model"
    for part in (f"model.{tiny.family.tower}", f"model.{language}"):
        assert any(f"{part}." in name and "lora_B" in name for name in changed), part
    for name in whole:
        assert any(f"{name}.modules_to_save" in other for other in changed), name


def test_the_tower_sees_all_images_in_one_call(tiny, noise_images):
    tower = tiny.model.model.get_submodule(tiny.family.tower)
    calls = []
    hook = tower.register_forward_hook(lambda *_: calls.append(1))
    states(tiny, asked(tiny, noise_images[:2]))
    hook.remove()
    assert calls == [1]


def test_an_image_changes_what_is_said(tiny, noise_images):
    first, second = (states(tiny, asked(tiny, [image])) for image in noise_images[:2])
    assert (first[-1] - second[-1]).abs().max() > 1e-2


def test_a_prompt_attends_forward_where_the_table_says_so(tiny, noise_images):
    inputs = asked(tiny, noise_images[:1])
    other = inputs | {"input_ids": inputs["input_ids"].clone()}
    other["input_ids"][0, -1] = 7
    before = (states(tiny, inputs) - states(tiny, other))[:-1].abs().max()
    assert (before > 1e-3) == tiny.family.bidirectional_prompt


def test_an_answer_attends_backward_only(tiny, noise_images):
    inputs = asked(tiny, noise_images[:1])
    first, second = (states(tiny, followed(tiny, inputs, [5, last])) for last in (6, 7))
    assert torch.allclose(first[:-1], second[:-1], atol=1e-5)


def test_a_cached_prompt_is_continued_at_the_tables_positions(tiny, noise_images):
    """Two prompts of different length, padded on the right, each with the same answers."""
    answer = [5, 6, 7]
    prompts = [
        asked(tiny, noise_images[:1]),
        asked(tiny, noise_images[1:2], "How severe is the degradation in this MRI image?"),
    ]
    lengths = torch.tensor([prompt["input_ids"].shape[1] for prompt in prompts])
    longest = int(lengths.max())
    together = {}
    for name in prompts[0]:
        parts = [prompt[name] for prompt in prompts]
        if parts[0].shape[:2] == prompts[0]["input_ids"].shape:
            parts = [nn.functional.pad(part, (0, longest - part.shape[1])) for part in parts]
        together[name] = torch.cat(parts)
    positions = lengths[:, None] + tiny.family.first_position + torch.arange(len(answer))
    with torch.no_grad():
        prefix = tiny.model.model(**together, use_cache=True)
        if tiny.family.rope_deltas:
            positions = positions + tiny.model.model.rope_deltas
        suffix = tiny.model.model(
            input_ids=torch.tensor([answer] * 2),
            attention_mask=nn.functional.pad(together["attention_mask"], (0, len(answer)), value=1),
            position_ids=positions,
            past_key_values=prefix.past_key_values,
        )
    for row, prompt in enumerate(prompts):
        expected = states(tiny, followed(tiny, prompt, answer))[-len(answer) :]
        assert torch.allclose(suffix.last_hidden_state[row], expected, atol=1e-4)


def test_an_unknown_model_type_lists_the_known_ones():
    with pytest.raises(FamilyError, match=r"'bert' is not known.*idefics3.*qwen3_vl"):
        named("bert")


def test_a_part_is_adapted_or_trained_whole_but_not_the_other_way(nano_model):
    family = FAMILIES["idefics3"]
    with pytest.raises(FamilyError, match=r"connector takes no LoRA.*train_whole"):
        lora_targets(family, ["connector"])
    with pytest.raises(FamilyError, match=r"vision is not trained whole.*adapt"):
        whole_modules(family, nano_model.base, ["vision"])


def test_a_part_that_is_not_there_is_an_error_that_says_what_is(nano_model):
    with pytest.raises(FamilyError, match=r"llava has no connector .*model\.connector"):
        whole_modules(FAMILIES["llava"], nano_model.base, ["connector"])
