"""The review page in a real browser, driven by keys, and its server in a process of its own."""

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

expect.set_options(timeout=30_000)  # ms; a machine may be busy
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None
)
needed = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the path")

Start = Callable[..., tuple[subprocess.Popen, str]]


@contextmanager
def launched() -> Iterator[Browser]:
    """A browser."""
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])


@contextmanager
def watched(browser: Browser) -> Iterator[Page]:
    """A page that may neither fail nor open a dialog nor ask another host for anything."""
    faults = []
    with browser.new_page(viewport={"width": 1280, "height": 800}) as page:
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda asked: "://127.0.0.1:" in asked.url or faults.append(asked.url))
        yield page
        assert not faults


@contextmanager
def served_apart() -> Iterator[Start]:
    """Starts servers: `start(command, ...)` gives the process and the address that it prints."""
    with ExitStack() as stack:

        def start(
            command: Sequence[str],
            cwd: Path | None = None,
            env: Mapping[str, str] | None = None,
        ) -> tuple[subprocess.Popen, str]:
            process = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, text=True)
            stack.callback(process.wait)
            stack.callback(process.kill)
            lines = iter(process.stdout.readline, "")
            return process, next(line.strip() for line in lines if line.startswith("http://"))

        yield start


def shown(page: Page, selector: str, text: str) -> None:
    """Wait until an element has a text, and can be seen."""
    expect(page.locator(selector)).to_have_text(text)
    if text:
        expect(page.locator(selector)).to_be_visible()


def visit(page: Page, address: str) -> None:
    """Open the page and wait for its task: what opens a field swallows keys that came too early."""
    page.goto(address)
    expect(page.locator("#question")).to_be_visible()


def press(page: Page, *keys: str) -> None:
    """Keys, or words to type, one after the other."""
    for key in keys:
        if len(key) == 1 or key in ("Enter", "Escape", "Backspace"):
            page.keyboard.press(key)
        else:
            page.keyboard.type(key)
