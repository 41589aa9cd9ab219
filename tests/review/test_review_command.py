import socket

import pytest

from medq_engine.annotations import AnnotationError
from medq_engine.review import command
from medq_engine.review.errors import ReviewError
from medq_engine.rounds import RoundError


@pytest.fixture
def interrupted(monkeypatch):
    """Ctrl+C as soon as the server listens."""
    served = []

    def serve(server):
        served.append(server.socket.getsockname())
        raise KeyboardInterrupt

    monkeypatch.setattr("werkzeug.serving.BaseWSGIServer.serve_forever", serve)
    return served


def test_it_says_where_how_many_and_what_is_next(root, interrupted, capsys):
    command.run(root, "Anna", 0, open_browser=False)
    said = capsys.readouterr().out
    [(address, port)] = interrupted
    assert address == "127.0.0.1"
    assert f"http://127.0.0.1:{port}/?token=" in said
    assert "round-001, Anna: of 30 tasks, 30 without an answer" in said
    assert "0 readings, 0 minutes\nnext: medq review goes on" in said


def test_it_opens_the_browser_if_asked_to(root, interrupted, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    command.run(root, "Anna", 0, open_browser=True)
    assert opened[0].startswith("http://127.0.0.1:")


def test_a_batch_that_is_done_goes_to_git_and_dvc(root, session, batch, say):
    for number in range(30):
        say("anna", number, unjudged="dark")
    say("bert", 6, unjudged="dark too")
    assert command.ending(session, root) == (
        "all 30 tasks are answered; 31 readings, 0 minutes\n"
        "next: git add data/annotations/round-001.jsonl && git commit, then dvc repro"
    )


def test_a_broken_file_is_told_of_before_anybody_answers(root, batch):
    batch.answers.parent.mkdir()
    batch.answers.write_text("<<<<<<< HEAD\n", encoding="utf-8")
    with pytest.raises(AnnotationError, match=r"round-001\.jsonl:1"):
        command.run(root, "Anna", 0, open_browser=False)


def test_a_port_that_is_taken_is_named(root):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ReviewError, match=f"{port}.*--port"):
            command.run(root, "Anna", port, open_browser=False)


def test_no_batch_no_page(root, batch):
    batch.queue.unlink()
    with pytest.raises(RoundError, match="dvc repro route"):
        command.run(root, "Anna", 0, open_browser=False)


def test_who_answers_is_git_s_identity_by_default(root, interrupted, monkeypatch, capsys):
    monkeypatch.setattr(command, "git_identity", lambda root: "Git Name")
    command.run(root, None, 0, open_browser=False)
    assert "round-001, Git Name" in capsys.readouterr().out
