"""LoRA adapters: made, saved in the same bytes every time, and told apart by their md5."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from medq_engine.errors import MedqError
from medq_engine.mllm import Mllm


class AdapterError(MedqError):
    """An adapter folder is not the one that was asked for."""


def attach(
    mllm: Mllm,
    rank: int,
    lora_alpha: int,
    target_modules: str,
    modules_to_save: Sequence[str],
    seed: int,
) -> Mllm:
    """The model with a fresh adapter that changes nothing yet (LoRA's B is zero)."""
    torch.manual_seed(seed)
    config = LoraConfig(
        r=rank,
        lora_alpha=lora_alpha,
        target_modules=target_modules,
        modules_to_save=list(modules_to_save) or None,
        # Where a base has one matrix for words in and words out, its adapter has one too.
        ensure_weight_tying="embed_tokens" in modules_to_save and tied(mllm),
        task_type="CAUSAL_LM",
    )
    return Mllm(get_peft_model(mllm.model, config), mllm.processor)


def tied(mllm: Mllm) -> bool:
    """True if the model reads and writes words with the same matrix."""
    return mllm.base.get_input_embeddings().weight is mllm.base.get_output_embeddings().weight


def save(mllm: Mllm, folder: Path) -> None:
    """Write the adapter so that equal weights give equal bytes.

    PEFT writes sets in arbitrary order and a card from a template; both would change the folder's
    hash and make every later stage stale. The base's path is left out: it differs between
    checkouts.
    """
    assert isinstance(mllm.model, PeftModel)
    mllm.model.save_pretrained(folder, safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for key, value in config.items():
        if isinstance(value, list):
            config[key] = sorted(value)
    config["base_model_name_or_path"] = None
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def folder_md5(folder: Path) -> str:
    """One md5 of a folder's files, their names and contents, in the order of their names.

    Raises:
        AdapterError: The folder is missing or empty.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise AdapterError(f"{folder}: no adapter there")
    digest = hashlib.md5(usedforsecurity=False)
    for path in files:
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(hashlib.md5(path.read_bytes(), usedforsecurity=False).digest())
    return digest.hexdigest()


def trainable(mllm: Mllm) -> int:
    """Number of parameters that fine-tuning changes."""
    return sum(p.numel() for p in mllm.model.parameters() if p.requires_grad)
