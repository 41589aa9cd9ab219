import pytest
import torch
from PIL import Image
from tokenizers import pre_tokenizers

from medq_engine import nano
from medq_engine.models.families import FAMILIES
from medq_engine.models.mllm import (
    ModelError,
    Shown,
    encode_answer,
    encode_question,
    load,
    process,
    render,
    show,
    stack,
)

QUESTION = "Is there blur in this MRI image?"


def test_prompt_and_answer_make_the_chat_of_the_template(nano_model):
    processor = nano_model.processor
    asked, reply = render(processor, "Q?"), render(processor, "Q?", "Yes")
    assert asked + reply == ("User:<image> Q?<end_of_utterance>\nAssistant: Yes<end_of_utterance>")
    ids = encode_answer(processor, "Yes")
    assert ids[-1] == processor.tokenizer.eos_token_id
    assert processor.tokenizer.decode(ids, skip_special_tokens=True).strip() == "Yes"


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_an_answer_ends_with_a_token_at_which_generation_stops(tiny_mllm, family):
    mllm = tiny_mllm(family)
    stops = mllm.base.generation_config.eos_token_id
    stops = stops if isinstance(stops, list) else [stops]
    assert encode_answer(mllm.processor, "Yes")[-1] in stops


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_images_and_question_make_the_prompt_that_the_processor_makes(
    tiny_mllm, noise_images, family, images
):
    processor = tiny_mllm(family).processor
    pictures = [noise_images[0], noise_images[1].resize((96, 48))][:images]
    expected = process(processor, [render(processor, QUESTION, images=images)], [pictures])
    shown = show(processor, pictures)
    question = encode_question(processor, QUESTION, images)
    assert [*shown.ids, *question] == expected["input_ids"][0].tolist()
    for name, tensor in shown.tensors.items():
        assert torch.equal(tensor, expected[name])
    for name, values in shown.token_inputs.items():
        assert [*values, *[0] * len(question)] == expected[name][0].tolist()
    said = {"input_ids", "attention_mask", *shown.tensors, *shown.token_inputs}
    assert said == expected.keys()


def test_the_prompt_has_a_place_for_every_image_token(nano_model, noise_images):
    shown = show(nano_model.processor, noise_images[:1])
    # 48 px in patches of 12, shuffled 2 x 2: four tokens.
    assert shown.ids.count(nano_model.base.config.image_token_id) == 4
    assert shown.tensors["pixel_values"].shape[-2:] == (48, 48)


def test_a_batch_of_chats_is_padded_on_the_left_and_has_no_loss(tiny_mllm, noise_images):
    processor = tiny_mllm("paligemma").processor
    chats = [render(processor, text) for text in ("Q?", "A longer question?")]
    inputs = process(processor, chats, [noise_images[:1], noise_images[1:2]])
    assert inputs["attention_mask"][:, -1].tolist() == [1, 1]
    assert inputs["attention_mask"][:, 0].tolist() == [0, 1]
    assert "labels" not in inputs


def test_prompts_with_fewer_tiles_are_filled_up_with_zeros():
    def shown(tiles: int) -> Shown:
        tensors = {"pixel_values": torch.ones(1, tiles, 3, 2, 2), "sizes": torch.ones(1)}
        return Shown((), tensors, {})

    together = stack([shown(1), shown(3)])
    assert together["pixel_values"].shape == (2, 3, 3, 2, 2)
    assert together["pixel_values"].sum((2, 3, 4)).tolist() == [[12, 0, 0], [12, 12, 12]]
    assert together["sizes"].tolist() == [1, 1]


def test_stacked_prompts_are_what_the_processor_makes_of_a_batch(tiny_mllm, noise_images):
    processor = tiny_mllm("idefics3").processor
    pictures = [[noise_images[0]], [Image.new("RGB", (90, 48)), noise_images[1]]]
    chats = [render(processor, QUESTION, images=len(shown)) for shown in pictures]
    expected = process(processor, chats, pictures)
    together = stack([show(processor, shown) for shown in pictures])
    assert together
    assert all(torch.equal(together[name], expected[name]) for name in together)


def test_a_template_that_does_not_continue_its_prompt_is_refused(build_nano):
    processor = build_nano(0).processor
    processor.chat_template = (
        "{{ messages | length }}{% if add_generation_prompt %}Assistant:{% endif %}"
    )
    with pytest.raises(ModelError, match="does not continue its own generation prompt"):
        render(processor, "Q?", "Yes")


def test_a_template_that_puts_the_text_first_is_refused(build_nano, noise_images):
    processor = build_nano(0).processor
    processor.chat_template = (
        "User: {{ messages[0]['content'][-1]['text'] }}<image>"
        "{% if add_generation_prompt %}Assistant:{% endif %}"
    )
    with pytest.raises(ModelError, match="puts images first and then the text"):
        show(processor, noise_images[:1])


def test_no_space_is_put_before_a_question_by_a_tokenizer_that_puts_one_first(
    build_nano, noise_images
):
    processor = build_nano(0).processor
    processor.chat_template = processor.chat_template.replace(
        "<image>{% else %} ", "<image>{% else %}"
    )
    # As Llama's tokenizer does at the beginning of a text, and nowhere else.
    spaced = pre_tokenizers.Metaspace(replacement=" ", prepend_scheme="first", split=False)
    bytes_of = pre_tokenizers.ByteLevel(add_prefix_space=False)
    processor.tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [spaced, bytes_of]
    )
    chat = render(processor, QUESTION)
    expected = process(processor, [chat], [noise_images[:1]])["input_ids"][0].tolist()
    shown = show(processor, noise_images[:1])
    assert [*shown.ids, *encode_question(processor, QUESTION)] == expected


def test_a_saved_model_is_loaded_ready_to_infer_in_the_asked_type(build_nano, tmp_path):
    nano.save(build_nano(3), tmp_path / "base")
    mllm = load(tmp_path / "base", dtype="float32", answer_format="letter")
    assert not mllm.model.training
    assert mllm.model.dtype == torch.float32
    assert mllm.answer_format == "letter"
    assert load(tmp_path / "base", dtype="bfloat16").model.dtype == torch.bfloat16


def test_a_folder_without_weights_or_adapter_is_named(tmp_path, build_nano):
    base = tmp_path / "base"
    nano.save(build_nano(0), base)
    with pytest.raises(ModelError, match=r"adapter: .*nowhere"):
        load(base, adapter=tmp_path / "nowhere")
    (base / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=f"cannot load model {base}"):
        load(base)


def test_weights_that_are_no_safetensors_are_refused(tmp_path, build_nano):
    nano.save(build_nano(0), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(build_nano(0).model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        load(tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="four bits are for a CUDA device")
def test_four_bits_without_a_cuda_device_are_refused(tmp_path):
    with pytest.raises(ModelError, match=r"model\.quantize: 4bit needs a CUDA device"):
        load(tmp_path, quantize="4bit")
