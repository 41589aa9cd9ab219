"""The review page over HTTP: a few JSON requests, the page's own files, the batch's images."""

from importlib.resources import files
from threading import Lock
from typing import Protocol

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from medq_engine.descriptions import PLACES
from medq_engine.errors import MedqError
from medq_engine.review.entries import Entry
from medq_engine.review.errors import NotInBatchError, ReviewError
from medq_engine.review.guard import protect
from medq_engine.review.session import Session

MAX_BODY = 8 * 2**20
"""Bytes of one request: a reading with several texts of a megabyte."""
PAGE = files("medq_engine.review") / "page"
TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}


class PngSource(Protocol):
    """Images by id (`tables.Images`)."""

    def struct(self, image_id: str) -> dict[str, object]:
        """The image; `bytes` is a PNG file."""


def create_app(session: Session, images: PngSource, annotator: str, port: int, token: str) -> Flask:
    """The server's WSGI application.

    Args:
        session: The batch that is answered.
        images: Images by id; only those of the session are given out.
        annotator: Who answers, unless the page says otherwise.
        port: The port of 127.0.0.1 that it will listen on.
        token: The secret that the first address must hold.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    protect(app, port, token)
    allowed, reading_images = session.image_ids, Lock()
    pages = {entry.name: entry.read_bytes() for entry in PAGE.iterdir()}

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> tuple[Response, int]:
        return jsonify(error=error.description), error.code or 500

    @app.errorhandler(MedqError)
    def refused(error: MedqError) -> tuple[Response, int]:
        return jsonify(error=str(error)), 404 if isinstance(error, NotInBatchError) else 409

    @app.get("/", defaults={"name": "index.html"})
    @app.get("/<name>")
    def page(name: str) -> Response:
        if name not in pages:
            raise NotInBatchError(f"there is no page {name!r}")
        return Response(pages[name], mimetype=TYPES[name.rpartition(".")[2]])

    @app.get("/images/<image_id>")
    def image(image_id: str) -> Response:
        if image_id not in allowed:
            raise NotInBatchError(f"image {image_id!r} is none of this batch")
        with reading_images:
            return Response(images.struct(image_id)["bytes"], mimetype="image/png")

    @app.post("/api/start")
    def start() -> dict[str, object]:
        return {"annotator": annotator, "places": PLACES}

    @app.post("/api/step")
    def step() -> dict[str, object]:
        who, given = asked()
        at = entry_of(given["at"]) if given.get("at") else None
        if at is not None:
            session.spend(who, at, given.get("seconds", 0.0))
        return answer(who, session.step(who, at, -1 if given.get("back") is True else 1))

    @app.post("/api/hints")
    def hints() -> dict[str, object]:
        who, given = asked()
        return session.hints(who, entry_of(given.get("at")))

    @app.post("/api/save")
    def save() -> dict[str, object]:
        who, given = asked()
        saved = session.save(
            who,
            entry_of(given.get("at")),
            given.get("content"),
            seconds=given.get("seconds", 0.0),
            looked=given.get("looked") is True,
            step=str(given.get("step", "")),
        )
        return answer(who, saved)

    @app.post("/api/spend")
    def spend() -> dict[str, object]:
        who, given = asked()
        session.spend(who, entry_of(given.get("at")), given.get("seconds"))
        return {}

    @app.post("/api/undo")
    def undo() -> dict[str, object]:
        who, _ = asked()
        return answer(who, session.undo(who))

    def answer(who: str, task: dict[str, object] | None) -> dict[str, object]:
        return {"task": task, "progress": session.progress(who)}

    return app


def asked() -> tuple[str, dict[str, object]]:
    """Who asks, and the request's JSON.

    Raises:
        ReviewError: It is no JSON object that names an annotator.
    """
    given = request.get_json()
    if not isinstance(given, dict) or not isinstance(given.get("annotator"), str):
        raise ReviewError("a request is a JSON object that names its annotator")
    return given["annotator"], given


def entry_of(given: object) -> Entry:
    """An entry out of JSON.

    Raises:
        ReviewError: It is none.
    """
    if not isinstance(given, dict) or not isinstance(given.get("task_id"), str):
        raise ReviewError("a request about a task names its task_id")
    return Entry(given.get("adjudicates") is True, given["task_id"])
