"""A model of SmolVLM-256M's exact shape with random weights, to time what needs no knowledge.

Its processor is nano's at the model's resolution: one tile of 512 px, 64 image tokens.
"""

from transformers import Idefics3Config, Idefics3ForConditionalGeneration

from medq_engine import nano
from medq_engine.models.mllm import Mllm

SIDE, PATCH, SHUFFLE = 512, 16, 4


def smolvlm_256m() -> Mllm:
    """Fresh weights, as torch's seed draws them, float32 (256.5 million parameters)."""
    processor = nano.processor(SIDE)
    processor.image_seq_len = (SIDE // PATCH // SHUFFLE) ** 2
    tokenizer = processor.tokenizer
    config = Idefics3Config(
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=SHUFFLE,
        tie_word_embeddings=False,
        vision_config={
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "image_size": SIDE,
            "patch_size": PATCH,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": 49280,
            "hidden_size": 576,
            "intermediate_size": 1536,
            "num_hidden_layers": 30,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
    )
    model = Idefics3ForConditionalGeneration(config).eval()
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return Mllm(model, processor)
