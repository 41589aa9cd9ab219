import numpy as np
import pytest
import torch

from medq_engine.models.families import FAMILIES
from medq_engine.models.generation import generate
from medq_engine.models.mllm import process, render

TEXT = "Describe the quality of this image."


def reply_of(mllm, image, tokens: int = 6) -> list[int]:
    """The model's own greedy answer to one prompt, as token ids."""
    inputs = process(mllm.processor, [render(mllm.processor, TEXT)], [[image]])
    with torch.inference_mode():
        out = mllm.base.generate(**inputs, max_new_tokens=tokens, do_sample=False)
    return out[0, inputs["input_ids"].shape[1] :].tolist()


@pytest.mark.parametrize("family", ["nano", *sorted(FAMILIES)])
def test_greedy_text_and_its_likelihood_are_those_of_one_prompt_alone(
    nano_model, tiny_mllm, noise_images, plain_pass, family
):
    mllm = nano_model if family == "nano" else tiny_mllm(family)
    # Images of different shape: most families pad one of the two prompts.
    images = [noise_images[0], noise_images[1].resize((96, 48))]
    found = generate(mllm, images, TEXT, 6)
    for image, ((text, nll),) in zip(images, found, strict=True):
        reply = reply_of(mllm, image)
        assert text == mllm.processor.tokenizer.decode(reply, skip_special_tokens=True).strip()
        logp = plain_pass(mllm, [image], TEXT, reply)
        assert nll == pytest.approx(-logp.mean(), abs=1e-4)


def test_generation_does_not_depend_on_the_batch(nano_model, noise_images):
    together = generate(nano_model, noise_images, TEXT, 5, images_per_batch=3)
    for image, ((text, nll),) in zip(noise_images, together, strict=True):
        (((alone, alone_nll),),) = generate(nano_model, [image], TEXT, 5)
        assert text == alone
        assert nll == pytest.approx(alone_nll, abs=1e-4)


def test_what_stands_behind_the_end_of_an_answer_does_not_count(build_nano, noise_images):
    mllm = build_nano(0)
    tokenizer = mllm.processor.tokenizer
    steps = iter(range(5))

    def wanting(module, inputs, out):
        # The first image's answer is one token long, the second's goes on.
        first = tokenizer.eos_token_id if next(steps) == 1 else 7
        out.zero_()
        out[0, -1, first] = out[1, -1, 7] = 9.0
        return out

    mllm.base.lm_head.register_forward_hook(wanting)
    ((short, nll),), ((long, other),) = generate(mllm, noise_images[:2], TEXT, 5)
    assert len(short) < len(long)
    assert nll == pytest.approx(other, abs=1e-5)


def test_repeats_are_seeded_and_differ(nano_model, noise_images):
    def drawn(seed: int) -> list[list[tuple[str, float]]]:
        return generate(nano_model, noise_images[:3], TEXT, 4, 2, 1.0, 3, seed)

    found = drawn(1)
    assert [len(repeats) for repeats in found] == [3, 3, 3]
    assert all(len({text for text, _ in repeats}) == 3 for repeats in found)
    assert drawn(1) == found != drawn(2)
    # Chunks have draws of their own: the third image's are not the first's again.
    assert {text for text, _ in found[2]} != {text for text, _ in found[0]}


def test_a_high_temperature_draws_less_likely_words(nano_model, noise_images):
    def nll(temperature: float, repeats: int) -> float:
        drawn = generate(nano_model, noise_images, TEXT, 4, 4, temperature, repeats)
        return float(np.mean([value for repeated in drawn for _, value in repeated]))

    assert nll(0.05, 8) < nll(1.0, 8) < nll(20.0, 8)


def test_the_state_of_torchs_random_numbers_is_left_alone(nano_model, noise_images):
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    generate(nano_model, noise_images[:1], TEXT, 2, temperature=1.0, repeats=2)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_no_image_no_answer(nano_model):
    assert generate(nano_model, [], TEXT, 2) == []
