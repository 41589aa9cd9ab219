import math

import numpy as np
import pytest
from PIL import Image

from medq_engine.config import Endpoint
from medq_engine.endpoints.answer_store import AnswerStore
from medq_engine.endpoints.client import Client, Reply
from medq_engine.endpoints.endpoint_model import EndpointModel, count_votes, drafts
from medq_engine.questions import Query
from tests.fake_server import Answer, FakeServer, completion

OPTIONS = ("None", "Mild", "Severe")


def draw(text, nll=None, finished=True):
    return Reply(text, nll, finished)


def client_of(server, path):
    limits = {"max_requests": 100, "max_cost": 1.0, "price_input": 0.0, "price_output": 0.0}
    settings = Endpoint(
        url=server.url, model="m", key=None, concurrency=2, timeout=5.0, retries=0, **limits
    )
    return Client(settings, AnswerStore(path / "m.jsonl"))


@pytest.fixture
def images():
    return [Image.new("RGB", (8, 8), colour) for colour in ("black", "white")]


def test_probabilities_are_the_shares_of_what_could_be_read():
    draws = [draw("B"), draw("B. Mild"), draw("Severe"), draw("who knows")]
    scored = count_votes(draws, OPTIONS)
    assert scored.probabilities == pytest.approx([0, 2 / 3, 1 / 3])
    assert scored.answers == ("Mild", "Mild", "Severe", "")
    assert scored.unparsed == 1


def test_nothing_read_is_uniform():
    scored = count_votes([draw("?"), draw("")], OPTIONS)
    assert scored.probabilities == pytest.approx([1 / 3] * 3)
    assert scored.unparsed == 2
    assert np.isfinite(scored.nll).all()


def test_nll_is_of_the_draws_that_chose_the_option_else_of_the_votes():
    scored = count_votes([draw("B", 0.2), draw("B", 0.4), draw("C"), draw("?", 9.0)], OPTIONS)
    expected = [-math.log(0.5 / 5.5), 0.3, -math.log(1.5 / 5.5)]
    assert scored.nll == pytest.approx(expected)


def test_what_a_cut_reply_mentions_is_no_vote():
    reasoning = "Looking at the edges, mild"
    assert count_votes([draw(reasoning, finished=False)], OPTIONS).unparsed == 1
    assert count_votes([draw(reasoning)], OPTIONS).unparsed == 0


def test_queries_are_drawn_r_times_and_asked_with_letters(tmp_path, images):
    def script(_, body):
        parts = body["messages"][0]["content"]
        return Answer(completion("B" if len(parts) == 2 else "C"))

    queries = [Query(("a",), "How severe?", OPTIONS), Query(("a", "b"), "Which one?", OPTIONS)]
    with FakeServer(script) as server:
        model = EndpointModel(client_of(server, tmp_path), 3, 0.7, 32)
        one, two = model.score({"a": images[0], "b": images[1], "unused": None}, queries)
    assert one.probabilities == pytest.approx([0, 1, 0])
    assert two.answers == ("Severe",) * 3
    assert len(server.bodies) == 6
    assert sorted(body["seed"] for body in server.bodies) == [0, 0, 1, 1, 2, 2]
    assert {(body["temperature"], body["max_tokens"]) for body in server.bodies} == {(0.7, 32)}
    assert "A. None\nB. Mild\nC. Severe" in server.bodies[0]["messages"][0]["content"][-1]["text"]


def test_a_model_that_was_taught_words_is_asked_for_words(tmp_path, images):
    with FakeServer(lambda *_: Answer(completion("Mild"))) as server:
        model = EndpointModel(client_of(server, tmp_path), 1, 0.7, 32, "text")
        (scored,) = model.score({0: images[0]}, [Query((0,), "How severe?", OPTIONS)])
    assert scored.answers == ("Mild",)
    assert "A. None" not in server.bodies[0]["messages"][0]["content"][-1]["text"]


def test_descriptions_are_greedy_unless_several_are_drawn(tmp_path, images):
    def script(_, body):
        return Answer(completion(" A head. ", logprobs=[-0.5, -1.5]))

    with FakeServer(script) as server:
        model = EndpointModel(client_of(server, tmp_path), 3, 0.7, 32)
        assert model.generate(images, "Describe.") == [[("A head.", 1.0)]] * 2
        assert {body["temperature"] for body in server.bodies} == {0}
        del server.bodies[:]
        assert model.generate(images, "Describe.", 0.7, 3) == [[("A head.", 1.0)] * 3] * 2
    assert sorted(body["seed"] for body in server.bodies) == [0, 0, 1, 1, 2, 2]
    assert {body["temperature"] for body in server.bodies} == {0.7}


def test_a_description_without_log_probabilities_has_no_nll(tmp_path, images):
    with FakeServer(lambda *_: Answer(completion("A head."))) as server:
        model = EndpointModel(client_of(server, tmp_path), 3, 0.7, 32)
        (((_, nll),),) = model.generate(images[:1], "Describe.")
    assert math.isnan(nll)


def test_drafts_answer_each_task_about_its_image(tmp_path, images):
    def script(_, body):
        text = body["messages"][0]["content"][-1]["text"]
        return Answer(completion("The answer is C." if "noise" in text else "Hard to say."))

    tasks = [
        {"question": question, "options": list(OPTIONS), "image_id": image_id}
        for question, image_id in (("Blur?", "a"), ("How much noise?", "b"))
    ]
    with FakeServer(script) as server:
        client = client_of(server, tmp_path)
        given = drafts(client, tasks, {"a": images[0], "b": images[1], "unused": None})
    assert given == [None, "Severe"]
    urls = {body["messages"][0]["content"][0]["image_url"]["url"] for body in server.bodies}
    assert len(urls) == 2
