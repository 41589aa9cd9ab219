import numpy as np
import pytest
import torch

from medq_engine import nano
from medq_engine.language import prompt, question
from medq_engine.mllm import (
    Mllm,
    ModelError,
    Query,
    encode_answer,
    encode_prompt,
    generate,
    grouped,
    load,
    render,
    score,
)

YES_NO = question("yes-no", "mri", "aliasing")
WHAT = question("what", "mri")
HOW = question("how", "mri")


def log_probabilities(mllm: Mllm, image, text: str, reply: list[int]) -> np.ndarray:
    """Log-probability of each token of a reply: one plain pass through the whole model."""
    start, pixels = encode_prompt(mllm.processor, image, text)
    ids = torch.tensor([[*start, *reply]])
    with torch.inference_mode():
        logits = mllm.model(input_ids=ids, attention_mask=torch.ones_like(ids), **pixels).logits[0]
    logp = torch.log_softmax(logits.double(), -1)
    return np.array([float(logp[len(start) - 1 + i, token]) for i, token in enumerate(reply)])


def test_scores_equal_a_plain_pass_over_every_option(nano_model, noise_images):
    # Options of several lengths, so padding and positions matter.
    query = Query(2, WHAT[0], WHAT[1])
    (found,) = score(nano_model, noise_images, [query])
    text = prompt(query.question, query.options)
    replies = [encode_answer(nano_model.processor, text, option) for option in query.options]
    assert len({len(reply) for reply in replies}) > 1
    logp = [log_probabilities(nano_model, noise_images[2], text, reply) for reply in replies]
    total = np.array([tokens.sum() for tokens in logp])
    expected = np.exp(total - total.max()) / np.exp(total - total.max()).sum()
    assert found.probabilities == pytest.approx(expected, abs=1e-5)
    assert found.nll == pytest.approx([-tokens.mean() for tokens in logp], abs=1e-4)


def test_an_image_encoded_once_answers_like_an_image_encoded_for_each_question(
    nano_model, noise_images
):
    queries = [Query(i, *q) for q in (YES_NO, WHAT, HOW) for i in (2, 0, 3)]
    together = score(nano_model, noise_images, queries, images_per_batch=2)
    for query, found in zip(queries, together, strict=True):
        (alone,) = score(nano_model, noise_images, [query])
        assert found.probabilities.sum() == pytest.approx(1, abs=1e-9)
        assert found.probabilities == pytest.approx(alone.probabilities, abs=1e-5)
        assert found.nll == pytest.approx(alone.nll, abs=1e-5)


def test_the_answer_depends_on_the_image(nano_model, noise_images):
    first, second = score(nano_model, noise_images, [Query(0, *YES_NO), Query(1, *YES_NO)])
    assert np.abs(first.nll - second.nll).max() > 1e-6


def test_a_batch_holds_all_questions_about_its_images():
    queries = [Query(i, "Q?") for i in (5, 7, 5, 9, 7, 5)]
    assert list(grouped(queries, 2)) == [[0, 2, 5, 1, 4], [3]]
    assert list(grouped([], 2)) == []


def test_prompt_and_answer_make_the_chat_of_the_template(nano_model):
    processor = nano_model.processor
    asked, reply = render(processor, "Q?"), render(processor, "Q?", "Yes")
    assert asked + reply == ("User:<image> Q?<end_of_utterance>\nAssistant: Yes<end_of_utterance>")
    ids = encode_answer(processor, "Q?", "Yes")
    assert ids[-1] == processor.tokenizer.eos_token_id
    assert processor.tokenizer.decode(ids, skip_special_tokens=True).strip() == "Yes"


def test_the_prompt_has_a_place_for_every_image_token(nano_model, noise_images):
    ids, pixels = encode_prompt(nano_model.processor, noise_images[0], "Q?")
    # 48 px in patches of 12, shuffled 2 x 2: four tokens.
    assert ids.count(nano_model.base.config.image_token_id) == 4
    assert pixels["pixel_values"].shape[-2:] == (48, 48)


def test_a_template_that_does_not_continue_its_prompt_is_refused(build_nano):
    processor = build_nano(0).processor
    processor.chat_template = (
        "{{ messages | length }}{% if add_generation_prompt %}Assistant:{% endif %}"
    )
    with pytest.raises(ModelError, match="does not continue its own generation prompt"):
        render(processor, "Q?", "Yes")


def test_generated_text_has_the_likelihood_of_its_own_tokens(nano_model, noise_images):
    inputs = nano_model.processor(
        text=[render(nano_model.processor, "Describe.")],
        images=[[noise_images[1]]],
        return_tensors="pt",
    )
    out = nano_model.model.generate(**inputs, max_new_tokens=6, do_sample=False)
    reply = out[0, inputs["input_ids"].shape[1] :].tolist()
    ((text, nll),) = generate(nano_model, noise_images[1:2], "Describe.", 6)
    assert text == nano_model.processor.tokenizer.decode(reply, skip_special_tokens=True).strip()
    logp = log_probabilities(nano_model, noise_images[1], "Describe.", reply)
    assert nll == pytest.approx(-logp.mean(), abs=1e-4)


def test_generation_does_not_depend_on_the_batch(nano_model, noise_images):
    together = generate(nano_model, noise_images, "Describe.", 5, images_per_batch=3)
    for image, (text, nll) in zip(noise_images, together, strict=True):
        ((alone, alone_nll),) = generate(nano_model, [image], "Describe.", 5)
        assert text == alone
        assert nll == pytest.approx(alone_nll, abs=1e-4)


def test_scores_are_the_same_after_generating(build_nano, noise_images):
    mllm = build_nano(0)
    (before,) = score(mllm, noise_images, [Query(0, *WHAT)])
    generate(mllm, noise_images, "Describe.", 2)
    (after,) = score(mllm, noise_images, [Query(0, *WHAT)])
    assert np.array_equal(before.probabilities, after.probabilities)


def test_a_saved_model_is_loaded_ready_to_infer_in_the_asked_type(
    build_nano, noise_images, tmp_path
):
    nano.save(build_nano(3), tmp_path / "base")
    mllm = load(tmp_path / "base", dtype="float32")
    assert not mllm.model.training
    assert mllm.model.dtype == torch.float32
    assert score(mllm, noise_images, [Query(0, *YES_NO)])[0].probabilities.sum() == pytest.approx(1)
    assert load(tmp_path / "base", dtype="bfloat16").model.dtype == torch.bfloat16


def test_a_folder_without_a_model_is_named(tmp_path, build_nano):
    with pytest.raises(ModelError, match=f"cannot load model {tmp_path}"):
        load(tmp_path)
    nano.save(build_nano(0), tmp_path / "base")
    with pytest.raises(ModelError, match=r"adapter: .*nowhere"):
        load(tmp_path / "base", adapter=tmp_path / "nowhere")
