"""A browser, a page on one origin, and an Isengard on another that knows that origin."""

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.browser.visit import WAIT_MILLISECONDS, Visit
from tests.conftest import wait_until
from tests.stack import Stack
from tests.training.holding import Hold

PASSWORD = "speak friend and enter"
CHROMIUM_COMMANDS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    # Containers run as root, where Chromium's sandbox refuses to work.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)

# What is expected to be seen is waited for as long as what is done.
expect.set_options(timeout=WAIT_MILLISECONDS)


class QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing: what a test prints is read when it fails."""


@pytest.fixture(scope="package")
def page_port() -> Iterator[int]:
    """The port of a server that has the page and nothing else of Isengard."""
    folder = str(Path(__file__).parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietFiles, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="package")
def trainers(tmp_path_factory: pytest.TempPathFactory) -> Hold:
    """Holds the trainers of the stack at a step."""
    hold = Hold(tmp_path_factory.mktemp("hold"), at=0)
    hold.let_go()
    return hold


@pytest.fixture(scope="package")
def stack(page_port: int, trainers: Hold, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An Isengard of the browser's own, because it must know the page's origin, and the operator's password."""
    known = {"CORS_ALLOWED_ORIGINS": f"http://localhost:{page_port}", "ISENGARD_ADMIN_PASSWORD": PASSWORD}
    known |= {"AI_TOOLKIT_PYTHON": trainers.python}
    running = Stack(tmp_path_factory.mktemp("browser") / "data", **known)
    try:
        yield running.start()
    finally:
        running.stop()


def find_chromium() -> str | None:
    return next((path for path in map(shutil.which, CHROMIUM_COMMANDS) if path), None)


def launch(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS, timeout=2 * WAIT_MILLISECONDS)


def log_in(page: Page, url: str) -> None:
    page.goto(f"{url}/admin/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


# Not for the whole session: while Playwright runs, its event loop makes Django refuse to touch the database.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    if not find_chromium():
        pytest.skip("Chromium is not installed: a browser as the client is not tested")
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser, page_port: int, stack: Stack) -> Iterator[Visit]:
    """The page, open in a browser with an empty profile, on an origin that Isengard knows."""
    yield from _visit(chromium, f"http://localhost:{page_port}", stack)


@pytest.fixture
def visit_from_elsewhere(chromium: Browser, page_port: int, stack: Stack) -> Iterator[Visit]:
    """The page on an origin that Isengard does not know."""
    yield from _visit(chromium, f"http://127.0.0.1:{page_port}", stack)


def _visit(chromium: Browser, origin: str, stack: Stack) -> Iterator[Visit]:
    # The test before this one may have killed the web server.
    wait_until(stack.is_healthy, what="the web server")
    context = chromium.new_context()
    visit = Visit(context.new_page())
    visit.page.goto(f"{origin}/page.html?api={quote(stack.url)}")
    yield visit
    context.close()
    assert visit.complaints == []
