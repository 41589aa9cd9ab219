"""The page in a real browser, its server in a process of its own that is killed in the middle."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Browser, Page, expect

from medq_engine.annotations import read_readings
from medq_engine.batches import open_batch
from medq_engine.descriptions import describe
from medq_engine.language import Finding
from medq_engine.review import command
from medq_engine.review.errors import ReviewError
from tests import browser as browsers
from tests.browser import press, shown, visit

pytestmark = browsers.needed

SERVE = """
import sys
from pathlib import Path
from medq_engine.review.command import run
run(Path(sys.argv[1]), sys.argv[2], 0, open_browser=False)
"""
HOSTILE = (
    "<img src=x onerror=\"alert('img')\"><script>alert('script')</script>&amp;{{7*7}}\n"
    "\u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd \U0001fa7b 'quoted' \\u0041\tend"
)


@pytest.fixture
def serve_apart() -> Iterator[Callable[..., tuple[subprocess.Popen, str]]]:
    """Start `medq review` in a process of its own; the process and its address."""
    with browsers.served_apart() as start:
        yield lambda root, annotator="Anna": start(
            [sys.executable, "-c", SERVE, str(root), annotator]
        )


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Serve in a thread of this process; the address."""
    with ExitStack() as stack:

        def started(root: Path, annotator: str = "Anna") -> str:
            batch = open_batch(root, "round-001")
            server, address, _ = stack.enter_context(command.serving(root, batch, annotator, 0))
            thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return address

        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests."""
    with browsers.launched() as launched:
        yield launched


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that is watched (`tests.browser.watched`)."""
    with browsers.watched(browser) as page:
        yield page


def on_disk(root: Path) -> dict[str, dict[str, object]]:
    batch = open_batch(root, "round-001")
    rows = read_readings(batch.answers, batch.tasks, batch.fingerprint)
    return {row["task_id"]: row for row in rows}


def test_thirty_tasks_by_keyboard_alone_with_the_server_killed_in_the_middle(
    root, tasks, serve_apart, page
):
    server, address = serve_apart(root)
    page.goto(address)
    expected = {}
    for number, task in enumerate(tasks):
        shown(page, "#count", f"{number} of 30 · 0 min")
        shown(page, "#question", task["question"])
        if number == 14:
            server.kill()
            server.wait()
            press(page, "2")
            expect(page.locator("#alert")).to_contain_text("the server does not answer")
            shown(page, "#state", "Not saved")
            assert len(on_disk(root)) == 14
            server, address = serve_apart(root)
            visit(page, address)
            shown(page, "#count", "14 of 30 · 0 min")
        want = {"answer": task["options"][1], "verdict": "", "description": "", "unjudged": ""}
        if number % 5 == 1:  # what; a severe finding, a verdict, free text, a note
            press(page, "4", "f", "metal", "Enter", "s", "upper left", "Enter", "r", "t")
            press(page, "Two screws.", "Escape", "o", "hip", "Escape")
            found = [Finding("metal streak", "severe", "in the upper left")]
            want |= {"answer": "metal streak", "verdict": "reject", "note": "hip"}
            want["description"] = describe("ct", found) + " Two screws."
        elif number % 5 == 2:  # how; the first answer was a slip
            press(page, "3", "1", "g")
            want |= {"answer": "None", "verdict": "good", "description": describe("endoscopy", ())}
        elif number % 5 == 3:
            press(page, "c", "out of view", "Enter")
            want |= {"answer": "", "unjudged": "out of view"}
        else:
            press(page, "2")
        shown(page, "#state", "Saved")
        expected[task["task_id"]] = want
        press(page, "n")
    shown(page, "#end-title", "Nothing waits for you")  # one task wants a second reader
    press(page, "w", "Bert", "Enter")
    shown(page, "#question", tasks[6]["question"])
    expect(page.locator("#options [aria-pressed=true]")).to_have_count(0)
    press(page, "c", "a twin", "Enter", "p", "n")
    found = on_disk(root)
    assert len(found) == 30
    for task_id, want in expected.items():
        if task_id != "r001-06":
            assert {name: found[task_id][name] for name in want} == want


def test_the_end_says_what_is_next(make_root, review_task, serve, page):
    root = make_root([review_task(0), review_task(1)])
    address = serve(root)
    visit(page, address)
    press(page, "1", "n")
    shown(page, "#count", "1 of 2 · 0 min")
    press(page, "1", "n")
    shown(page, "#end-title", "All 2 tasks are answered")
    expect(page.locator("#end-next")).to_contain_text("dvc repro")
    press(page, "z")
    shown(page, "#count", "1 of 2 · 0 min")
    shown(page, "#question", review_task(1)["question"])
    assert set(on_disk(root)) == {"r001-00"}


def test_hostile_text_is_shown_as_text_and_kept_to_the_byte(make_root, review_task, serve, page):
    long = HOSTILE * (2**20 // len(HOSTILE.encode()) + 1)
    first = review_task(0, question=HOSTILE, draft=long, model_answer=HOSTILE)
    second = review_task(6, options=[HOSTILE, "other"], prototype_id="", readers=1)
    root = make_root([first, second])
    address = serve(root, HOSTILE)
    page.goto(address)
    texts = {"#question": HOSTILE, "#model": HOSTILE, "#name": HOSTILE, "#draft": long}
    for selector, text in texts.items():
        expect(page.locator(selector)).to_be_visible()
        assert page.locator(selector).text_content() == text
    press(page, "1", "f", "alias", "Enter", "m", "Enter")
    page.locator("#text").fill(HOSTILE)
    page.locator("#note").focus()
    # As a paste; typing a megabyte takes a browser minutes.
    page.locator("#note").evaluate("(field, text) => { field.value = text; }", long)
    press(page, "Escape")
    expect(page.locator("#description")).to_contain_text("right to left")
    shown(page, "#state", "Saved")
    press(page, "n")
    option = page.locator("#options button span").first
    expect(option).to_contain_text("right to left")
    assert option.text_content() == HOSTILE
    press(page, "1")
    shown(page, "#state", "Saved")
    found = on_disk(root)
    assert found["r001-00"]["description"] == (
        describe("mri", [Finding("aliasing", "mild")]) + " " + HOSTILE
    )
    assert found["r001-00"]["note"] == long
    assert found["r001-06"]["answer"] == HOSTILE
    assert {row["annotator"] for row in found.values()} == {HOSTILE}
    press(page, "p")
    expect(page.locator("#note")).to_have_value(long)
    expect(page.locator("#text")).to_have_value(HOSTILE)


def test_a_contradiction_is_told_and_mended_before_the_task_is_left(root, serve, page):
    address = serve(root)
    visit(page, address)
    press(page, "2", "f", "alias", "Enter", "m", "Enter")
    expect(page.locator("#alert")).to_contain_text("contradicts the description")
    assert on_disk(root)["r001-00"]["description"] == ""
    press(page, "n")
    shown(page, "#count", "1 of 30 · 0 min")
    expect(page.locator("#alert")).to_contain_text("Mend it")
    press(page, "1")  # the finding stays: this answer is what mends it
    shown(page, "#state", "Saved")
    assert on_disk(root)["r001-00"]["description"] == describe("mri", [Finding("aliasing", "mild")])
    press(page, "g", "Escape")
    shown(page, "#state", "Saved")
    press(page, "z")
    shown(page, "#description", "")
    assert on_disk(root)["r001-00"]["answer"] == "No"


def test_a_blind_task_keeps_its_hints_until_they_are_asked_for(make_root, review_task, serve, page):
    root = make_root([review_task(0, blind=True)])
    address = serve(root)
    page.goto(address)
    expect(page.locator("#ask")).to_be_visible()
    expect(page.locator("#said")).to_be_hidden()
    expect(page.locator("#examples")).to_be_hidden()
    press(page, "h")
    shown(page, "#draft", "No")
    expect(page.locator("#shown button")).to_have_count(2)
    press(page, "x")
    expect(page.locator("#caption")).to_contain_text("Example 1 of 2")
    press(page, "1")
    shown(page, "#state", "Saved")
    assert on_disk(root)["r001-00"]["unblinded"] is True


def test_a_disagreement_is_settled_side_by_side(make_root, review_task, serve, page):
    root = make_root([review_task(0, readers=2)])
    address = serve(root)
    visit(page, address)
    press(page, "1", "n")
    shown(page, "#end-title", "Nothing waits for you")
    press(page, "w", "Bert", "Enter")
    shown(page, "#question", review_task(0)["question"])
    press(page, "2")
    shown(page, "#state", "Saved")
    press(page, "n")
    shown(page, "#others h2", "The readings disagree: yours settles it")
    shown(page, "#readings li:nth-child(1) strong", "Yes")
    shown(page, "#readings li:nth-child(2) strong", "No")
    press(page, "1", "n")
    shown(page, "#end-title", "All 1 tasks are answered")
    rows = open_batch(root, "round-001").answers.read_text(encoding="utf-8").splitlines()
    assert sum('"adjudicates": true' in row for row in rows) == 1


def test_window_and_zoom_change_the_picture_and_zero_brings_it_back(root, serve, page):
    address = serve(root)
    page.goto(address)
    expect(page.locator("#levels")).to_be_visible()
    shown(page, "#windowed", "L 128 W 256")
    plain = page.locator("#canvas").screenshot()
    press(page, "+")
    zoomed = page.locator("#canvas").screenshot()
    for key in ("ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    shown(page, "#windowed", "L 136 W 240")
    windowed = page.locator("#canvas").screenshot()
    assert len({plain, zoomed, windowed}) == 3
    press(page, "0")
    assert page.locator("#canvas").screenshot() == plain


def test_idle_and_hidden_time_is_cut(root, serve, page):
    address = serve(root)
    page.goto(address)
    seconds = page.evaluate(
        """async () => {
            const { IDLE, Stopwatch } = await import("/stopwatch.js");
            let now = 100;
            const watch = new Stopwatch(() => now);
            const took = (pass) => { now += pass; return watch.take(); };
            const found = [IDLE, took(10), took(50), took(5)];
            watch.touch();
            found.push(took(8));
            watch.show(false);
            found.push(took(20));
            watch.show(true);
            found.push(took(3));
            return found;
        }"""
    )
    assert seconds == [30, 10, 20, 0, 8, 0, 3]


def test_a_second_server_on_the_same_file_is_refused(root, serve_apart):
    serve_apart(root)
    with pytest.raises(ReviewError, match=r"another `medq review` serves .*round-001\.jsonl"):
        command.run(root, "Bert", 0, open_browser=False)
