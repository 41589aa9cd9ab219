import json

import pytest
from transformers import AutoImageProcessor, PaliGemmaProcessor
from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

from medq_engine.models.families import FAMILIES, FamilyError
from medq_engine.models.processors import ProcessorError, load_processor
from tests.tiny_models import build

USER = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Is it?"}]}]
ANSWER = [{"role": "assistant", "content": [{"type": "text", "text": "Yes"}]}]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    return {name: str(build(name, tmp_path_factory.mktemp(name))) for name in FAMILIES}


def prompt(processor) -> str:
    return processor.apply_chat_template(USER, add_generation_prompt=True)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_every_family_shows_still_images_through_pil(folders, noise_images, name):
    processor = load_processor(folders[name])
    assert not hasattr(processor, "video_processor")
    assert type(processor.image_processor).__name__.endswith("Pil")
    chat = prompt(processor)
    inputs = processor(text=[chat], images=[[noise_images[0]]], return_tensors="pt")
    placeholder = processor.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist())
    assert inputs["pixel_values"].abs().sum() > 0
    assert placeholder.count(processor.tokenizer.bos_token) <= 1
    assert processor.apply_chat_template(USER + ANSWER).startswith(chat)


@pytest.mark.parametrize("name", ["gemma3", "llava", "paligemma"])
def test_a_text_begins_once(folders, noise_images, name):
    """Gemma3's template and tokenizer both write the first token, LLaVA's tokenizer alone does."""
    processor = load_processor(folders[name])
    ids = processor(text=[prompt(processor)], images=[[noise_images[0]]])["input_ids"][0]
    assert list(ids).count(processor.tokenizer.bos_token_id) == 1


def test_paligemma_reads_what_its_own_processor_would_write(folders, noise_images):
    ours = load_processor(folders["paligemma"])
    original = PaliGemmaProcessor.from_pretrained(folders["paligemma"])
    found = ours(text=[prompt(ours)], images=[[noise_images[0]]])["input_ids"]
    assert prompt(ours) == "<image><bos>answer en Is it?\n"
    assert (
        found == original(text=["<image>answer en Is it?"], images=[[noise_images[0]]])["input_ids"]
    )


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (1, 1), (2, 3)])
def test_smolvlm_writes_an_image_as_its_own_processor_does(folders, rows, columns):
    processor = load_processor(folders["smolvlm"])
    found = processor.replace_image_token({"rows": [[rows]], "cols": [[columns]]}, 0)
    names = ("<fake_token_around_image>", "<image>", "<global-img>")
    assert found == get_image_prompt_string(rows, columns, processor.image_seq_len, *names)


def test_a_model_without_a_chat_template_is_refused(tmp_path):
    folder = build("llava", tmp_path)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ProcessorError, match="no chat template"):
        load_processor(folder)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ProcessorError, match=r"(?s)cannot load the processor of .*model\.id"):
        load_processor(tmp_path / "nothing")


def test_a_model_of_an_unknown_family_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "blip-2"}), encoding="utf-8")
    with pytest.raises(FamilyError, match="'blip-2' is not known"):
        load_processor(tmp_path)


def test_a_missing_package_is_named(folders, monkeypatch):
    def missing(*_args, **_settings):
        raise ImportError("requires the Torchvision library")

    monkeypatch.setattr(AutoImageProcessor, "from_pretrained", missing)
    with pytest.raises(ProcessorError, match=r"needs a package.*Torchvision"):
        load_processor(folders["llava"])
