import io
import json
import logging
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from pathlib import Path

import pytest
from PIL import Image

from medq_engine.config import Endpoint
from medq_engine.endpoints.answer_store import AnswerStore
from medq_engine.endpoints.client import Client, EndpointError, Reply, Request
from tests.fake_server import Answer, FakeServer, completion, fault

OK = Answer(completion("B"))
SECRET = "sk-very-secret-0123456789"


def png(colour="black"):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


def text_of(body):
    return body["messages"][0]["content"][-1]["text"]


def numbered(count):
    return [Request(f"question {number}") for number in range(count)]


@pytest.fixture
def client(tmp_path):
    """Makes a client of a fake server; `client.slept` lists how long it would have waited."""

    def make(server, **changes):
        settings = {"url": server.url, "model": "m", "key": None, "concurrency": 1, "timeout": 5.0}
        settings |= {"retries": 2, "max_requests": 1000, "max_cost": 1.0}
        settings |= {"price_input": 0.0, "price_output": 0.0}
        slept = []
        settings = Endpoint(**(settings | changes))
        made = Client(settings, AnswerStore(tmp_path / "m.jsonl"), sleep=slept.append)
        made.slept = slept
        return made

    return make


def scripted(*answers):
    """These answers in turn, then OK."""
    return lambda number, body: answers[number] if number < len(answers) else OK


def test_replies_come_in_order_and_are_asked_once(client, tmp_path):
    with FakeServer(lambda _, body: Answer(completion(text_of(body).upper()))) as server:
        requests = [Request("a"), Request("b"), Request("a")]
        replies = client(server, concurrency=3).ask(requests)
        assert [reply.text for reply in replies] == ["A", "B", "A"]
        assert len(server.bodies) == 2
        lines = (tmp_path / "m.jsonl").read_text().splitlines()
        assert lines == sorted(lines)
        again = client(server)
        assert again.ask(requests) == replies
        assert again.spent.requests == 0
        assert len(server.bodies) == 2


def test_what_is_sent(client):
    picture = png()
    with FakeServer(scripted()) as server:
        client(server).ask([Request("Blur?", (picture,), 0.5, 9, 3)])
    (body,) = server.bodies
    image, text = body["messages"][0]["content"]
    assert image["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    assert text == {"type": "text", "text": "Blur?"}
    sampling = {"temperature": 0.5, "max_tokens": 9, "seed": 3, "logprobs": True, "model": "m"}
    assert {name: body[name] for name in sampling} == sampling


def test_pictures_are_told_apart_by_pixels_not_by_files(client):
    with Image.open(io.BytesIO(png())) as image:
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=0)
    assert buffer.getvalue() != png()
    requests = [Request("q", (data,)) for data in (png(), buffer.getvalue(), png("white"))]
    with FakeServer(scripted()) as server:
        client(server).ask(requests)
    assert len(server.bodies) == 2


def test_reply_tells_likelihood_and_truncation(client):
    answer = Answer(completion("The answer", finish_reason="length", logprobs=[-1.0, -3.0]))
    with FakeServer(scripted(answer)) as server:
        cut, whole = client(server).ask(numbered(2))
    assert cut == Reply("The answer", 2.0, finished=False)
    assert whole == Reply("B", None, finished=True)


def test_concurrency_is_used_and_never_passed(client):
    # Nobody is answered before three wait: less than three at once would end in a broken barrier.
    barrier = threading.Barrier(3, timeout=10)

    def script(*_):
        barrier.wait()
        return OK

    with FakeServer(script) as server:
        client(server, concurrency=3).ask(numbered(12))
        assert server.busiest == 3


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(fault("slow down"), 429), id="429"),
        pytest.param(Answer("oops", 500), id="500"),
        pytest.param(Answer("", 503), id="503"),
        pytest.param(Answer("", drop=True), id="dropped connection"),
        pytest.param(Answer(completion("late"), delay=0.6), id="time-out"),
        pytest.param(Answer("{not json"), id="garbage"),
        pytest.param(Answer("<html>", headers={"Content-Type": "text/html"}), id="a web page"),
        pytest.param(Answer('"text"'), id="JSON of another kind"),
        pytest.param(Answer({"choices": []}), id="no choice"),
        pytest.param(Answer({"choices": [{"message": {"content": 3}}]}), id="a number"),
    ],
)
def test_what_passes_is_tried_again(client, answer):
    with FakeServer(scripted(answer, answer)) as server:
        asker = client(server, timeout=0.3)
        assert asker.ask(numbered(1)) == [Reply("B", None, finished=True)]
    assert asker.spent.requests == 3
    first, second = asker.slept
    assert 0.5 <= first <= 1 <= second <= 2


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("7", 7, 7),
        ("9999", 120, 120),
        ("nonsense", 0.5, 1),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.5, 1),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 120, 120),
    ],
)
def test_retry_after_is_obeyed(client, value, low, high):
    answer = Answer(fault("slow down"), 429, {"Retry-After": value})
    with FakeServer(scripted(answer)) as server:
        asker = client(server)
        asker.ask(numbered(1))
    (waited,) = asker.slept
    assert low <= waited <= high


def test_one_that_fails_for_good_does_not_lose_the_others(client):
    def script(_, body):
        return Answer("oops", 500) if text_of(body) == "question 1" else OK

    with FakeServer(script) as server:
        asker = client(server)
        with pytest.raises(EndpointError, match=r"(?s)3 times tried.*3 of 4.*1 requests failed"):
            asker.ask(numbered(4))
        assert len(server.bodies) == 6
        assert len(client(server).store) == 3


def test_a_server_that_is_down_is_given_up(client):
    with FakeServer(lambda *_: Answer("", 500)) as server:
        with pytest.raises(EndpointError, match=r"1\d requests failed"):
            client(server, retries=0).ask(numbered(30))
        assert len(server.bodies) < 13


def test_a_server_that_is_not_there_is_named(client):
    with FakeServer(scripted()) as server:
        asker = client(server, retries=0)
    with pytest.raises(EndpointError, match="refused") as raised:
        asker.ask(numbered(1))
    assert server.url in str(raised.value)


@pytest.mark.parametrize(
    ("status", "says"), [(401, "the key in MEDQ_KEY"), (403, "the key in"), (404, "`url`")]
)
def test_refusals_end_the_run_at_once(client, monkeypatch, status, says):
    monkeypatch.setenv("MEDQ_KEY", SECRET)
    with FakeServer(lambda *_: Answer(fault("no"), status)) as server:
        with pytest.raises(EndpointError, match=says):
            client(server, key="MEDQ_KEY").ask(numbered(20))
        assert len(server.bodies) < 3


def test_an_empty_account_ends_the_run(client):
    answer = Answer(fault("quota", "insufficient_quota"), 429)
    with FakeServer(lambda *_: answer) as server:
        with pytest.raises(EndpointError, match="no credit"):
            client(server).ask(numbered(5))
        assert len(server.bodies) < 3


def test_a_bad_request_is_not_repeated(client):
    def script(_, body):
        return Answer(fault("image too large"), 413) if text_of(body) == "question 0" else OK

    with FakeServer(script) as server:
        asker = client(server)
        with pytest.raises(EndpointError, match="image too large"):
            asker.ask(numbered(2))
        assert len(server.bodies) == 2


@pytest.mark.parametrize("message", ["logprobs is not supported", "bad request"])
@pytest.mark.parametrize("status", [400, 422])
def test_refused_log_probabilities_are_done_without(client, message, status):
    def script(_, body):
        return Answer(fault(message), status) if "logprobs" in body else OK

    with FakeServer(script) as server:
        replies = client(server).ask(numbered(3))
    assert [reply.nll for reply in replies] == [None] * 3
    # Learned from the first request.
    assert len(server.bodies) == 4
    assert ("seed" in server.bodies[-1]) == ("logprobs" in message)


def test_newer_models_get_the_newer_name_of_the_length(client):
    def script(_, body):
        message = "Unsupported: 'max_tokens'. Use 'max_completion_tokens' instead."
        return Answer(fault(message), 400) if "max_tokens" in body else OK

    with FakeServer(script) as server:
        client(server).ask([Request("q", max_tokens=9)])
    assert server.bodies[-1]["max_completion_tokens"] == 9
    assert server.bodies[-1]["logprobs"] is True


def test_an_answer_withheld_by_a_filter_is_an_empty_answer(client):
    with FakeServer(lambda *_: Answer(fault("blood", "content_filter"), 400)) as server:
        assert client(server).ask(numbered(1)) == [Reply("", None, finished=True)]
        client(server).ask(numbered(1))
        assert len(server.bodies) == 1


def test_half_a_character_can_be_stored(client):
    with FakeServer(scripted(Answer(json.dumps(completion("B \ud83d"))))) as server:
        (reply,) = client(server).ask(numbered(1))
        assert reply.text == "B ?"
        assert client(server).ask(numbered(1)) == [reply]


def test_max_requests_counts_retries_and_is_never_passed(client):
    with FakeServer(scripted(Answer("", 500))) as server:
        asker = client(server, max_requests=3, concurrency=4)
        with pytest.raises(EndpointError, match=r"(?s)max_requests.*2 of 6 .*kept"):
            asker.ask(numbered(6))
        assert len(server.bodies) == asker.spent.requests == 3


def test_max_cost_is_of_the_usage_that_the_server_reports(client):
    # 1000 in and 60 out at 10 and 40 dollars a million: 0.0124 dollars a request; the worst case,
    # a token a character, is 0.0136.
    answer = Answer(completion("B", usage=(1000, 60)))
    prices = {"price_input": 10.0, "price_output": 40.0, "max_cost": 0.05, "concurrency": 4}
    with FakeServer(lambda *_: answer) as server:
        asker = client(server, **prices)
        with pytest.raises(EndpointError, match="max_cost"):
            asker.ask([Request("q" * 1000, repeat=repeat) for repeat in range(9)])
        assert len(server.bodies) == 3
    assert asker.spent.cost == pytest.approx(0.0372)


def test_without_usage_the_worst_is_counted_before_sending(client):
    # An 8 px picture is reckoned as 8500 tokens and more, so at a dollar a million two fit.
    with FakeServer(scripted()) as server:
        asker = client(server, price_input=1.0, max_cost=0.02)
        with pytest.raises(EndpointError, match="max_cost"):
            asker.ask([Request("q", (png(),), repeat=repeat) for repeat in range(5)])
        assert len(server.bodies) == 2
    assert 0.017 < asker.spent.cost <= 0.02


def test_refused_requests_cost_nothing_and_lost_ones_do(client):
    answers = Answer("", 500), Answer("", drop=True), Answer(completion("B", usage=(0, 0)))
    with FakeServer(scripted(*answers)) as server:
        asker = client(server, price_input=1.0)
        asker.ask([Request("q", (png(),))])
    assert asker.spent.requests == 3
    assert 0.0085 < asker.spent.cost < 0.009


def test_a_missing_key_is_told_before_anything_is_sent(client, monkeypatch):
    monkeypatch.delenv("MEDQ_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with FakeServer(scripted()) as server:
        asker = client(server, key="MEDQ_KEY")
        with pytest.raises(EndpointError, match="MEDQ_KEY"):
            asker.ask(numbered(1))
        assert server.bodies == []


def test_stored_answers_need_no_key(client, monkeypatch):
    monkeypatch.setenv("MEDQ_KEY", SECRET)
    with FakeServer(scripted()) as server:
        client(server, key="MEDQ_KEY").ask(numbered(1))
        monkeypatch.delenv("MEDQ_KEY")
        assert client(server, key="MEDQ_KEY").ask(numbered(1))[0].text == "B"


def test_no_other_key_of_the_environment_is_sent(client, monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, SECRET)
    with FakeServer(scripted()) as server:
        client(server).ask(numbered(1))
    assert SECRET not in server.keys[0]


@pytest.mark.parametrize("status", [200, 401, 413, 500])
def test_the_key_is_sent_and_never_shown(client, monkeypatch, caplog, capfd, status):
    monkeypatch.setenv("MEDQ_KEY", SECRET)
    # A server that echoes the key wherever it can.
    body = completion(f"your key is {SECRET}") if status == 200 else fault(f"bad key {SECRET}")
    shown = []
    with FakeServer(lambda *_: Answer(body, status)) as server, caplog.at_level(logging.DEBUG):
        asker = client(server, key="MEDQ_KEY", retries=1)
        try:
            shown.append(str(asker.ask(numbered(1))))
        except EndpointError:
            assert status != 200
            shown.append(traceback.format_exc())
        assert server.keys[0] == f"Bearer {SECRET}"
    shown += [caplog.text, *capfd.readouterr(), repr(asker), repr(asker.store)]
    if asker.store.path.exists():
        shown.append(asker.store.path.read_text())
    assert "***" in shown[0]
    assert SECRET not in "".join(shown)


def test_a_run_that_is_killed_is_taken_up(client):
    reached, release = threading.Event(), threading.Event()

    def script(number, _):
        if number == 3:
            reached.set()
            release.wait(30)
        return OK

    with FakeServer(script) as server:
        asker = client(server)
        child = subprocess.Popen(
            [
                sys.executable,
                "-c",
                textwrap.dedent("""
                    import json, sys
                    from pathlib import Path
                    from medq_engine.endpoints.answer_store import AnswerStore
                    from medq_engine.config import Endpoint
                    from medq_engine.endpoints.client import Client, Request
                    settings = Endpoint(**json.loads(sys.argv[1]))
                    client = Client(settings, AnswerStore(Path(sys.argv[2])))
                    client.ask([Request(f"question {number}") for number in range(6)])
                """),
                json.dumps(vars(asker.settings)),
                str(asker.store.path),
            ],
            cwd=Path(__file__).parents[2],
            stderr=subprocess.DEVNULL,
        )
        assert reached.wait(60)
        child.send_signal(signal.SIGKILL)
        child.wait()
        release.set()
        del server.bodies[:]
        replies = client(server).ask(numbered(6))
    assert [text_of(body) for body in server.bodies] == [f"question {n}" for n in (3, 4, 5)]
    assert len(replies) == 6


def test_an_interrupt_keeps_what_is_in_flight(client, monkeypatch):
    with FakeServer(lambda *_: Answer(completion("B"), delay=0.05)) as server:
        asker = client(server, concurrency=2)

        def interrupt(*_args, **_keywords):
            while not server.bodies:
                time.sleep(0.001)
            raise KeyboardInterrupt

        monkeypatch.setattr("medq_engine.endpoints.client.as_completed", interrupt)
        with pytest.raises(KeyboardInterrupt):
            asker.ask(numbered(50))
        assert len(asker.store) == len(server.bodies) < 50
