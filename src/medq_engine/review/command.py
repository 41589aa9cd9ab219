"""`medq review`: serve the round's batch on the loopback address until Ctrl+C."""

import os
import secrets
import socket
import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from medq_engine import tables
from medq_engine.annotations import AnnotationError
from medq_engine.answer_file import locked
from medq_engine.batches import Batch, git_identity, image_source, open_batch
from medq_engine.config import load_params
from medq_engine.readings import waiting
from medq_engine.review.errors import ReviewError
from medq_engine.review.examples import Examples, examples
from medq_engine.review.server import create_app
from medq_engine.review.session import Session

LOOPBACK = "127.0.0.1"


class Quiet(WSGIRequestHandler):
    """Requests are not listed: the terminal is for what people are told."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def run(root: Path, annotator: str | None, port: int, open_browser: bool) -> None:
    """Serve the current round's batch until Ctrl+C.

    Args:
        root: The repository.
        annotator: Who answers, unless the page says otherwise; git's identity if None.
        port: Of the loopback address; 0 takes a free one.
        open_browser: Open the page.

    Raises:
        MedqError: There is no batch, no name, no data, the port is taken, or another server has
            the same annotation file.
    """
    batch = open_batch(root, load_params(root / "params.yaml").tag)
    who = annotator or git_identity(root)
    with serving(root, batch, who, port) as (server, address, session):
        print(f"{batch.tag}, {who}: {left(session)}\n{address}\nCtrl+C ends it; ? lists the keys")
        print(f"every answer is written to {batch.answers} at once", flush=True)
        if open_browser:
            webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print(f"\n{ending(session, root)}")


@contextmanager
def serving(
    root: Path, batch: Batch, annotator: str, port: int
) -> Iterator[tuple[BaseWSGIServer, str, Session]]:
    """A server that listens already, the address that opens its page, and its session.

    Raises:
        MedqError: As `run` does.
    """
    with alone(batch), listen(port) as listening:
        session = Session(batch, examples_of(root, batch))
        session.readings()  # a broken file is told of now, and not at the first answer
        port = listening.getsockname()[1]
        token = secrets.token_urlsafe(24)
        app = create_app(session, image_source(root), annotator, port, token)
        server = make_server(
            LOOPBACK, port, app, threaded=True, request_handler=Quiet, fd=listening.fileno()
        )
        try:
            yield server, f"http://{LOOPBACK}:{port}/?token={token}", session
        finally:
            server.server_close()


@contextmanager
def alone(batch: Batch) -> Iterator[None]:
    """Be the only server of a batch's annotation file.

    Raises:
        ReviewError: There is another one.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(batch.answers, "server", wait=0.0))
        except AnnotationError as error:
            raise ReviewError(
                f"another `medq review` serves {batch.answers} already: use its page (several "
                "people may), or stop it with Ctrl+C in its terminal"
            ) from error
        yield


@contextmanager
def listen(port: int) -> Iterator[socket.socket]:
    """A socket that listens on the loopback address only.

    Raises:
        ReviewError: The port is taken.
    """
    try:
        listening = socket.create_server((LOOPBACK, port))
    except OSError as error:
        raise ReviewError(
            f"cannot listen on {LOOPBACK}:{port}: {os.strerror(error.errno)}; give another --port"
        ) from error
    with listening:
        yield listening


def examples_of(root: Path, batch: Batch) -> dict[str, Examples]:
    """Examples of the prototypes that a batch's tasks belong to."""
    return examples(
        tables.read(root / "data" / "round" / "prototypes.parquet", tables.PROTOTYPE),
        tables.read(root / "data" / "benchmark" / "dev" / "items.parquet", tables.ITEM),
        {str(task["prototype_id"]) for task in batch.tasks},
    )


def left(session: Session) -> str:
    """What the batch still waits for, in a line."""
    now = waiting(session.batch.tasks, session.readings())
    total = len(session.batch.tasks)
    return f"of {total} tasks, {now}" if now.tasks else f"all {total} tasks are answered"


def ending(session: Session, root: Path) -> str:
    """What is done, and what to do next."""
    readings, answers = session.readings(), session.batch.answers.relative_to(root)
    minutes = sum(float(row["seconds"]) for row in readings) / 60
    done = bool(readings) and not waiting(session.batch.tasks, readings).tasks
    after = f"git add {answers} && git commit, then dvc repro" if done else "medq review goes on"
    return f"{left(session)}; {len(readings)} readings, {minutes:.0f} minutes\nnext: {after}"
