"""LoRA adapters: made, saved in the same bytes every time, and told apart by their md5."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training

from medq_engine.errors import MedqError
from medq_engine.models.families import lora_targets, whole_modules
from medq_engine.models.mllm import Mllm
from medq_engine.vocabulary import Part


class AdapterError(MedqError):
    """An adapter folder is not the one that was asked for."""


def attach(
    mllm: Mllm,
    rank: int,
    lora_alpha: int,
    adapt: Sequence[Part],
    train_whole: Sequence[Part],
    seed: int,
    gradient_checkpointing: bool = False,
) -> Mllm:
    """The model with a fresh adapter that changes nothing yet (LoRA's B is zero).

    Args:
        mllm: Model to adapt; it is wrapped in place.
        rank, lora_alpha: Of the LoRA matrices; they are scaled by lora_alpha / rank.
        adapt: Parts whose linear layers take LoRA.
        train_whole: Parts of which a whole copy is trained and saved.
        seed: Of LoRA's A.
        gradient_checkpointing: Keep few activations and compute the others again.

    Raises:
        FamilyError: The model has no such part.
    """
    torch.manual_seed(seed)
    if getattr(mllm.base, "is_quantized", False):
        prepare_model_for_kbit_training(mllm.base, use_gradient_checkpointing=False)
    config = LoraConfig(
        r=rank,
        lora_alpha=lora_alpha,
        target_modules=lora_targets(mllm.family, adapt),
        modules_to_save=whole_modules(mllm.family, mllm.base, train_whole) or None,
        # Where a base has one matrix for words in and words out, its adapter has one too.
        ensure_weight_tying="words" in train_whole and tied(mllm),
        task_type="CAUSAL_LM",
    )
    if gradient_checkpointing:
        mllm.base.activation_checkpointing_enable({"use_reentrant": False})
    return replace(mllm, model=get_peft_model(mllm.model, config))


def resume(mllm: Mllm, gradient_checkpointing: bool = False) -> Mllm:
    """A model that was loaded with an adapter, to train that adapter on; it is changed in place."""
    assert isinstance(mllm.model, PeftModel)
    if getattr(mllm.base, "is_quantized", False):
        prepare_model_for_kbit_training(mllm.base, use_gradient_checkpointing=False)
    if gradient_checkpointing:
        mllm.base.activation_checkpointing_enable({"use_reentrant": False})
    mllm.model.set_adapter(mllm.model.active_adapter)
    return mllm


def tied(mllm: Mllm) -> bool:
    """True if the model reads and writes words with the same matrix."""
    return mllm.base.get_input_embeddings().weight is mllm.base.get_output_embeddings().weight


def save(mllm: Mllm, folder: Path, weights: Mapping[str, torch.Tensor] | None = None) -> None:
    """Write the adapter so that equal weights give equal bytes.

    PEFT writes sets in arbitrary order and a card from a template; both would change the folder's
    hash and make every later stage stale. The base's path is left out: it differs between
    checkouts.

    Args:
        mllm: Model with an adapter.
        folder: Where to.
        weights: State of the model, where it is spread over processes (`training.Trained`).
    """
    assert isinstance(mllm.model, PeftModel)
    mllm.model.save_pretrained(folder, safe_serialization=True, state_dict=weights)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for key, value in config.items():
        if isinstance(value, list):
            config[key] = sorted(value)
    config["base_model_name_or_path"] = None
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def trainable(mllm: Mllm) -> int:
    """Number of parameters that fine-tuning changes."""
    return sum(p.numel() for p in mllm.model.parameters() if p.requires_grad)
