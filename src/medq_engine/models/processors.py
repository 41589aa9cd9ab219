"""The processor of a model: images and words in, tensors out. Still images only.

transformers' processors of SmolVLM2, LLaVA-OneVision, Qwen-VL and InternVL load a video processor
too, which needs torchvision and num2words. No video is ever shown here, so it is left out, and
every family of the table works without these packages. Images always go through PIL: with or
without torchvision, a model sees the same pixels. No code of a model's repository is run.
"""

from pathlib import Path

from transformers import (
    PROCESSOR_MAPPING,
    AutoConfig,
    AutoImageProcessor,
    Idefics3Processor,
    PaliGemmaProcessor,
)
from transformers.processing_utils import ProcessorMixin

from medq_engine.errors import MedqError
from medq_engine.models import families

VIDEO = "video_processor"


class ProcessorError(MedqError):
    """A model's processor cannot be used; the message says which and what to do."""


class VerbatimPaliGemmaProcessor(PaliGemmaProcessor):
    """Reads the chat template's text as it is; the original adds a first and a last token to it."""

    def prepare_inputs_layout(self, **inputs: object) -> tuple:
        """Leave the text alone."""
        return ProcessorMixin.prepare_inputs_layout(self, **inputs)


# Used in the place of a model type's own class. SmolVLM's writes an image as Idefics3's does, but
# asks for the packages of videos even where none is shown.
INSTEAD: dict[str, type[ProcessorMixin]] = {
    "smolvlm": Idefics3Processor,
    "paligemma": VerbatimPaliGemmaProcessor,
}


def without_video(kind: type[ProcessorMixin]) -> type[ProcessorMixin]:
    """A subclass of a processor class that loads and holds no video processor."""

    def get_attributes(cls: type[ProcessorMixin]) -> list[str]:
        return [name for name in kind.get_attributes() if name != VIDEO]

    return type(kind.__name__, (kind,), {"get_attributes": classmethod(get_attributes)})


def load_processor(model_id: str | Path) -> ProcessorMixin:
    """Load the processor of a model folder or hub id, with a chat template.

    Raises:
        FamilyError: The model is of no known family.
        ProcessorError: There is no processor, it needs a package that is missing, or it has no
            chat template.
    """
    try:
        config = AutoConfig.from_pretrained(model_id, trust_remote_code=False)
        family = families.named(config.model_type)
        kind = INSTEAD.get(family.name) or PROCESSOR_MAPPING[type(config)]
        processor = without_video(kind).from_pretrained(model_id, trust_remote_code=False)
        processor.image_processor = AutoImageProcessor.from_pretrained(
            model_id, backend="pil", trust_remote_code=False
        )
    except ImportError as error:
        raise ProcessorError(
            f"the processor of {model_id} needs a package that is not installed here: {error}"
        ) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ProcessorError(
            f"cannot load the processor of {model_id}: {error}\n"
            "Set model.id in params.yaml to a folder or hub id with config, tokenizer and "
            "processor files."
        ) from error
    # The table's template goes before the checkpoint's: it is the one that INSTEAD is made for.
    processor.chat_template = family.template or processor.chat_template
    if processor.chat_template is None:
        raise ProcessorError(
            f"{model_id} has no chat template, so it cannot be asked a question; take the "
            "instruction-tuned model of its family, or put a chat_template.jinja into its folder"
        )
    return once_begun(processor)


def once_begun(processor: ProcessorMixin) -> ProcessorMixin:
    """Keep the tokenizer from adding a first token that the chat template writes (Gemma3)."""
    tokenizer = processor.tokenizer
    hello = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
    begun = processor.apply_chat_template(hello).startswith(tokenizer.bos_token or "\0")
    if begun and tokenizer("").input_ids:
        tokenizer.add_bos_token = False
    return processor
