import json
import logging
import threading

import pytest

from medq_engine.endpoints.answer_store import AnswerStore, AnswerStoreError, content_key


def asked(text="Is there blur?", **changes):
    content = {"model": "m", "text": text, "images": ["ab"], "temperature": 0.0}
    return content | {"max_tokens": 8, "repeat": 0} | changes


def said(text="B"):
    reply = {"text": text, "finish_reason": "stop", "prompt_tokens": 3, "completion_tokens": 1}
    return reply | {"nll": 0.5}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "answers" / "m.jsonl"


def test_an_answer_is_there_for_the_next_run(path):
    AnswerStore(path).add(asked(), said())
    store = AnswerStore(path)
    assert store[content_key(asked())] == said()
    assert content_key(asked(repeat=1)) not in store
    assert len(store) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"model": "n"},
        {"text": "Is there haze?"},
        {"images": ["cd"]},
        {"images": ["ab", "ab"]},
        {"temperature": 1.0},
        {"max_tokens": 9},
        {"repeat": 1},
    ],
)
def test_the_key_depends_on_all_that_is_asked(change):
    assert content_key(asked(**change)) != content_key(asked())


def test_a_torn_last_line_is_dropped_and_written_over(path, caplog):
    store = AnswerStore(path)
    store.add(asked("one"), said())
    store.add(asked("two"), said())
    path.write_bytes(path.read_bytes()[:-9])
    with caplog.at_level(logging.WARNING):
        store = AnswerStore(path)
    assert "m.jsonl" in caplog.text
    assert content_key(asked("one")) in store
    assert content_key(asked("two")) not in store
    store.add(asked("three"), said())
    assert len(AnswerStore(path)) == 2


def test_a_last_line_without_its_line_break_is_whole(path):
    AnswerStore(path).add(asked("one"), said())
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    AnswerStore(path).add(asked("two"), said())
    assert len(AnswerStore(path)) == 2


@pytest.mark.parametrize("line", ["<<<<<<< HEAD", "[]", "{}", '{"key": "ab"}', ""])
def test_a_bad_line_is_named(path, line):
    store = AnswerStore(path)
    store.add(asked("one"), said())
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(AnswerStoreError, match=r"m\.jsonl:2"):
        AnswerStore(path)


def test_an_answer_under_another_question_is_refused(path):
    AnswerStore(path).add(asked("one"), said())
    row = json.loads(path.read_text())
    path.write_text(json.dumps(row | {"text": "two"}) + "\n")
    with pytest.raises(AnswerStoreError, match=r"m\.jsonl:1.*changed"):
        AnswerStore(path)


def test_compact_sorts_and_keeps_the_first_of_two(path):
    for text in ("one", "two", "three"):
        AnswerStore(path).add(asked(text), said())
    again = AnswerStore(path)
    path.write_text(path.read_text() * 2)
    again.compact()
    keys = [json.loads(line)["key"] for line in path.read_text().splitlines()]
    assert keys == sorted(content_key(asked(text)) for text in ("one", "two", "three"))
    before = path.read_bytes()
    AnswerStore(path).compact()
    assert path.read_bytes() == before


def test_compact_of_nothing_makes_no_file(path):
    AnswerStore(path).compact()
    assert not path.exists()


def test_two_stores_of_one_file_lose_nothing(path):
    stores = [AnswerStore(path), AnswerStore(path)]

    def write(name):
        store = stores[name]
        for number in range(40):
            store.add(asked(f"{name} {number}"), said())
            if number % 10 == 5:
                store.compact()

    threads = [threading.Thread(target=write, args=(name,)) for name in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(AnswerStore(path)) == 80
