"""The nano model: an Idefics3 of a few million parameters, trained from scratch on phantoms.

It has the class of SmolVLM-256M-Instruct at a hundredth of its size, so that the loop can be run
and tested on a laptop with the very code that drives a real model. It is taught only some of the
faults: on the others, and on real images, it is honestly wrong, and that is what the loop is there
to mend.

Training has two steps: the vision tower first learns to tell the taught faults apart as a plain
classifier, which is several times faster than through words, then the rest learns to answer.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from tqdm import tqdm
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    PreTrainedTokenizerFast,
)

from medq_engine.degradations import DEGRADATIONS
from medq_engine.descriptions import DESCRIBE, turns
from medq_engine.language import Finding, labels, prompt
from medq_engine.models.mllm import Mllm
from medq_engine.phantom_lessons import Phantom, lessons
from medq_engine.simulation import from_png, seeded
from medq_engine.training import Schedule, train
from medq_engine.vocabulary import MODALITIES, SEVERITIES

SPECIAL = ("<pad>", "<end_of_utterance>", "<fake_token_around_image>", "<global-img>", "<image>")
CHAT = (
    "{% for message in messages %}{{ message['role'].capitalize() }}:"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %} {{ part['text'] }}{% endif %}"
    "{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
PATCH = 12
PIXEL_SHUFFLE = 2


def corpus() -> Iterator[str]:
    """Every sentence of the closed language, for the tokenizer."""
    for modality in MODALITIES:
        rng = seeded("corpus", modality)
        for label in labels(modality):
            for severity in ("mild", "severe"):
                for turn in turns(modality, (Finding(label, severity),), rng):
                    yield f"User: {prompt(turn.question, turn.options)}\nAssistant: {turn.answer}"
        for turn in turns(modality, (), rng):
            yield f"User: {prompt(turn.question, turn.options)}\nAssistant: {turn.answer}"
    yield DESCRIBE


def processor(size: int) -> Idefics3Processor:
    """Tokenizer (byte-level BPE over the closed language), image processor and chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        min_frequency=2,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end_of_utterance>"
    )
    edge = {"longest_edge": size}
    images = Idefics3ImageProcessorPil(
        size=edge,
        max_image_size=edge,
        do_image_splitting=False,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    tokens = (size // PATCH // PIXEL_SHUFFLE) ** 2
    return Idefics3Processor(images, fast, image_seq_len=tokens, chat_template=CHAT)


def build(size: int, hidden: int, vision_layers: int, text_layers: int) -> Mllm:
    """A nano model with fresh weights; `size` (px) must be a multiple of 24."""
    parts = processor(size)
    tokenizer = parts.tokenizer
    heads = hidden // 40
    config = Idefics3Config(
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=PIXEL_SHUFFLE,
        tie_word_embeddings=True,
        vision_config={
            "hidden_size": hidden,
            "intermediate_size": 4 * hidden,
            "num_hidden_layers": vision_layers,
            "num_attention_heads": heads,
            "image_size": size,
            "patch_size": PATCH,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "hidden_size": hidden,
            "intermediate_size": 5 * hidden // 2,
            "num_hidden_layers": text_layers,
            "num_attention_heads": heads,
            "num_key_value_heads": heads,
            "max_position_embeddings": 512,
            "tie_word_embeddings": True,
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.eos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
    )
    model = Idefics3ForConditionalGeneration(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return Mllm(model, parts)


def pretrain_vision(
    mllm: Mllm, teaching: Sequence[Phantom], schedule: Schedule, log_every: int = 100
) -> None:
    """Teach the vision tower fault and severity, as a classifier whose heads are dropped."""
    classes = ["", *DEGRADATIONS]
    name_of = {d.label: d.name for d in DEGRADATIONS.values()}
    fault = torch.tensor(
        [classes.index(name_of[p.findings[0].label]) if p.findings else 0 for p in teaching]
    )
    severity = torch.tensor(
        [SEVERITIES.index(p.findings[0].severity) if p.findings else 0 for p in teaching]
    )
    modality = torch.tensor([MODALITIES.index(p.modality) for p in teaching])
    pixels = torch.stack(
        [torch.from_numpy(np.array(from_png(p.png))).permute(2, 0, 1) for p in teaching]
    )
    tower = mllm.model.model.vision_model
    width = tower.config.hidden_size
    heads = nn.ModuleList(
        nn.Linear(2 * width, n) for n in (len(classes), len(SEVERITIES), len(MODALITIES))
    )
    parameters = [*tower.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, lr=schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    cosine = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, schedule.learning_rate, total_steps=schedule.steps, pct_start=0.1
    )
    tower.train()
    order = seeded("vision", schedule.seed)
    progress = tqdm(range(schedule.steps), desc="vision", mininterval=10)
    running = []
    for step in progress:
        rows = torch.from_numpy(order.integers(0, len(teaching), schedule.batch))
        batch = pixels[rows].float() / 127.5 - 1
        mask = torch.ones(
            len(rows), batch.shape[2] // PATCH, batch.shape[3] // PATCH, dtype=torch.bool
        )
        states = tower(pixel_values=batch, patch_attention_mask=mask).last_hidden_state
        pooled = torch.cat([states.mean(1), states.amax(1)], -1)
        truth = (fault[rows], severity[rows], modality[rows])
        outputs = [head(pooled) for head in heads]
        loss = sum(nn.functional.cross_entropy(o, t) for o, t in zip(outputs, truth, strict=True))
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        cosine.step()
        optimizer.zero_grad()
        running.append(float((outputs[0].argmax(-1) == truth[0]).float().mean()))
        if step % log_every == 0:
            progress.set_postfix(fault=f"{np.mean(running[-log_every:]):.2f}")


def teach(
    mllm: Mllm, teaching: Sequence[Phantom], vision: Schedule, words: Schedule, work: Path
) -> None:
    """Train a fresh nano model in place: vision tower first, then the rest through language.

    The tower is frozen meanwhile: the loss through words is too noisy to keep what it has learnt.
    """
    pretrain_vision(mllm, teaching, vision)
    tower = mllm.model.model.vision_model
    tower.requires_grad_(False)
    train(mllm, lessons(teaching, words.seed), words, work / "base.pt", checkpoint_every=200)
    tower.requires_grad_(True)


def save(mllm: Mllm, folder: Path) -> None:
    """Write model and processor; weights in half precision, which halves the file in git."""
    mllm.model.to(torch.float16).save_pretrained(folder)
    mllm.processor.save_pretrained(folder)
