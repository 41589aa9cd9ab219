import json
import re

import pytest

from medq_engine.batches import image_source
from medq_engine.review.guard import TOKEN_HEADER
from medq_engine.review.server import MAX_BODY, PAGE, create_app
from tests.review.conftest import NOTHING

HERE = "http://127.0.0.1:8765"
FIRST = {"task_id": "r001-00", "adjudicates": False}


@pytest.fixture
def app(root, session):
    return create_app(session, image_source(root), "Anna", 8765, "secret")


@pytest.fixture
def client(app):
    """A program with the token."""
    made = app.test_client()
    made.environ_base[f"HTTP_{TOKEN_HEADER.upper().replace('-', '_')}"] = "secret"
    return made


@pytest.fixture
def post(client):
    def posted(path, **body):
        return client.post(f"/api/{path}", base_url=HERE, json={"annotator": "anna"} | body)

    return posted


def test_the_first_address_holds_the_key_and_a_cookie_keeps_it(app):
    browser = app.test_client()
    refused = browser.get("/", base_url=HERE)
    assert refused.status_code == 403
    assert "address that `medq review` printed" in refused.json["error"]
    assert browser.get("/?token=guess", base_url=HERE).status_code == 403
    opened = browser.get("/?token=secret", base_url=HERE)
    assert (opened.status_code, opened.headers["Location"]) == (303, "/")
    assert "HttpOnly" in opened.headers["Set-Cookie"]
    assert "SameSite=Strict" in opened.headers["Set-Cookie"]
    assert browser.get("/", base_url=HERE).status_code == 200
    assert browser.get("/images/image-00", base_url=HERE).mimetype == "image/png"


@pytest.mark.parametrize("path", ["/", "/review.js", "/images/image-00", "/api/start"])
def test_nothing_is_given_out_without_the_key(app, path):
    refused = app.test_client().open(path, base_url=HERE, method="POST" if "api" in path else "GET")
    assert refused.status_code == 403


@pytest.mark.parametrize(
    "host", ["http://evil.example:8765", "http://127.0.0.1:80", "http://[::1]:8765"]
)
def test_a_name_that_was_made_to_point_here_is_refused(client, host):
    refused = client.get("/", base_url=host)
    assert refused.status_code == 403
    assert "this server is http://127.0.0.1:8765" in refused.json["error"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_origins_are_refused(client, batch, headers):
    body = {"annotator": "anna", "at": FIRST, "content": NOTHING | {"answer": "Yes"}}
    refused = client.post("/api/save", base_url=HERE, json=body, headers=headers)
    assert refused.status_code == 403
    assert "another origin" in refused.json["error"]
    assert not batch.answers.exists()


@pytest.mark.parametrize(
    "path",
    [
        "/images/dev-2",  # in dev, but no example of this batch
        "/images/..%2f..%2fparams.yaml",
        "/../../params.yaml",
        "/%2e%2e/params.yaml",
        "/data/queue/round-001.jsonl",
        "/session.py",
        "/images/",
    ],
)
def test_what_is_not_of_the_batch_is_not_there(client, path):
    missing = client.get(path, base_url=HERE)
    assert missing.status_code == 404
    assert missing.json["error"]


def test_images_of_the_batch_and_its_examples_are_given_out(client):
    for image_id in ("image-29", "dev-0"):
        found = client.get(f"/images/{image_id}", base_url=HERE)
        assert found.data.startswith(b"\x89PNG")
        assert found.headers["Cache-Control"] == "no-store"


def test_every_page_forbids_what_did_not_come_with_it(client):
    for page in PAGE.iterdir():
        found = client.get(f"/{page.name}", base_url=HERE, follow_redirects=True)
        assert found.data == page.read_bytes()
        policy = found.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert found.headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_needs_nothing_from_elsewhere_and_never_reads_text_as_html():
    for page in PAGE.iterdir():
        text = page.read_text(encoding="utf-8")
        assert set(re.findall(r"https?://[^\s\"'<)]+", text)) <= {"http://www.w3.org/2000/svg"}
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
        assert not re.search(r"<script>|<style>|\sstyle=|\son[a-z]+=", text)


def test_a_batch_is_read_and_answered(post, batch):
    shown = post("step").json
    assert shown["task"]["task_id"] == "r001-00"
    assert (shown["progress"]["done"], shown["progress"]["total"]) == (0, 30)
    saved = post("save", at=FIRST, content=NOTHING | {"answer": "Yes"}, seconds=0).json
    assert saved["task"]["saved"] is True
    assert saved["progress"]["done"] == 1
    assert post("step", at=FIRST).json["task"]["task_id"] == "r001-01"
    back = {"task_id": "r001-01"}
    assert post("step", at=back, back=True).json["task"]["content"]["answer"] == "Yes"
    assert post("spend", at=FIRST, seconds=0).json == {}
    assert post("undo").json["task"]["saved"] is False
    assert batch.answers.read_bytes() == b""


def test_hints_of_a_blind_task_do_not_leave_the_server_unasked(post):
    at = {"task_id": "r001-04"}
    post("step")
    shown = post("step", at=FIRST)
    while shown.json["task"]["task_id"] != "r001-05":
        at = {"task_id": shown.json["task"]["task_id"]}
        shown = post("step", at=at)
    assert b"model_answer" not in shown.data
    assert b"dev-0" not in shown.data
    assert post("hints", at={"task_id": "r001-05"}).json["model_answer"] == "Yes"


@pytest.mark.parametrize(
    ("path", "body", "status", "why"),
    [
        ("save", {"at": FIRST, "content": NOTHING | {"answer": "Sure"}}, 409, "none of"),
        ("save", {"at": FIRST, "content": "Yes"}, 409, "fields"),
        ("save", {"at": FIRST, "content": NOTHING, "seconds": -3}, 409, "not a time"),
        ("save", {"at": {"task_id": "r001-99"}, "content": NOTHING}, 404, "not in the batch"),
        ("save", {"content": NOTHING}, 409, "task_id"),
        ("step", {"annotator": 3}, 409, "annotator"),
        ("step", {"annotator": " "}, 409, "who you are"),
        ("spend", {"at": FIRST, "seconds": "long"}, 409, "not a time"),
        ("undo", {}, 409, "nothing to undo"),
        ("nothing", {}, 404, "not found"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(post, batch, path, body, status, why):
    post("step")
    refused = post(path, **body)
    assert refused.status_code == status
    assert why in refused.json["error"]
    assert not batch.answers.exists()


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"annotator": "anna"}', "text/plain", 415),
        (b"[]", "application/json", 409),
        (b'{"annotator": "' + b"a" * MAX_BODY + b'"}', "application/json", 413),
    ],
)
def test_a_body_that_is_none_is_refused(client, data, kind, status):
    refused = client.post("/api/step", base_url=HERE, data=data, content_type=kind)
    assert refused.status_code == status
    assert refused.json["error"]


def test_half_of_a_character_is_refused_and_a_megabyte_of_text_is_not(post, client, batch):
    post("step")
    half = json.dumps({"annotator": "anna", "at": FIRST})[:-1]
    half += ', "content": {"answer": "Yes", "note": "\\ud83d", "verdict": "", "findings": [], '
    half += '"text": "", "unjudged": ""}}'
    refused = client.post("/api/save", base_url=HERE, data=half, content_type="application/json")
    assert refused.status_code == 409
    assert "half of a character" in refused.json["error"]
    note = "\u202e\U0001fa7b<b>&\r\n" * 2**17
    at_once = post("save", at=FIRST, content=NOTHING | {"answer": "Yes", "note": note})
    assert at_once.json["task"]["content"]["note"] == note
    assert json.loads(batch.answers.read_bytes())["note"] == note
