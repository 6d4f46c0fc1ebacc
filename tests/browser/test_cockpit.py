"""The admin as an operator uses it: a browser, a running Isengard, and jobs that really run."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, expect

from tests.api_client import Api, photo
from tests.browser.conftest import log_in
from tests.browser.visit import WAIT_MILLISECONDS, Visit
from tests.conftest import wait_until
from tests.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.stack]

WIDE, PHONE = {"width": 1360, "height": 880}, {"width": 390, "height": 844}
# Far more than any test takes: what runs is cancelled by somebody.
ENDLESS_STEPS = 10_000


@pytest.fixture(scope="module")
def api(stack: Stack) -> Api:
    return Api(stack.url)


@pytest.fixture(scope="module")
def character(api: Api) -> str:
    return api.make_character(photos=2)


@pytest.fixture
def train_endlessly(api: Api, character: str) -> Iterator[Callable[[], str]]:
    """Starts trainings; what is left of them in the end would hold up every other one."""
    started: list[str] = []

    def start() -> str:
        started.append(api.train(character, steps=ENDLESS_STEPS))
        return started[-1]

    yield start
    for job in started:
        requests.post(f"{api.url}/api/training/{job}/cancel", timeout=60)


@pytest.fixture(scope="module")
def login(chromium: Browser, stack: Stack) -> Any:
    """What a browser keeps of somebody who logged in."""
    wait_until(stack.is_healthy, what="the web server")
    context = chromium.new_context()
    context.set_default_timeout(WAIT_MILLISECONDS)
    page = context.new_page()
    log_in(page, stack.url)
    expect(page.get_by_role("heading", name="Runs now")).to_be_visible()
    kept = context.storage_state()
    context.close()
    return kept


@pytest.fixture
def page(chromium: Browser, stack: Stack, login: Any) -> Iterator[Page]:
    yield from open_page(chromium, stack, login, viewport=WIDE)


@pytest.fixture
def dark_phone(chromium: Browser, stack: Stack, login: Any) -> Iterator[Page]:
    yield from open_page(chromium, stack, login, viewport=PHONE, color_scheme="dark")


def open_page(chromium: Browser, stack: Stack, login: Any, **how: Any) -> Iterator[Page]:
    """Yield a page of an operator's. Nothing may go wrong in it: no error, no failed request, nothing that the content
    security policy forbids, which all end on the console."""
    context = chromium.new_context(storage_state=login, base_url=stack.url, **how)
    visit = Visit(context.new_page())
    visit.page.on("dialog", lambda dialog: dialog.accept())
    yield visit.page
    context.close()
    assert visit.complaints == []
    assert [response.url for response in visit.responses if response.status >= 400] == []


def moves(page: Page, what: Locator) -> None:
    """Wait until its text has changed twice, without the page being loaded again."""
    page.evaluate("window.isSamePage = true")
    for _ in range(2):
        before = what.text_content()
        expect(what).not_to_have_text(str(before))
    assert page.evaluate("window.isSamePage === true")


def job_page(page: Page, job: str) -> None:
    page.goto(f"/admin/jobs/job/{job}/change/")


def test_jobs_are_watched_cancelled_given_priority_and_retried(
    page: Page, api: Api, train_endlessly: Callable[[], str]
) -> None:
    running, waiting = train_endlessly(), train_endlessly()
    api.wait_for(running, "running")
    with page.expect_response("**/api/jobs/stream*") as followed:
        page.goto("/admin/")
    assert followed.value.ok
    card = page.locator(f'.dash-run[data-job="{running}"]')
    moves(page, card.locator('[data-live="steps"]'))

    give_priority(page, waiting)
    job_page(page, waiting)
    expect(page.locator("#id_priority")).to_have_value("7")

    page.goto("/admin/")
    card.get_by_role("button", name="Cancel").click()
    api.wait_for(running, "cancelled")
    expect(page.locator(f'.dash-run[data-job="{waiting}"] [data-live="steps"]')).to_be_visible(timeout=30_000)

    job_page(page, waiting)
    moves(page, page.locator("#job-message"))
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#job-status")).to_have_text("cancelled")
    page.get_by_role("button", name="Retry").first.click()
    page.wait_for_url(lambda url: waiting not in url)
    again = page.url.rstrip("/").split("/")[-2]
    api.wait_for(again, "running")
    assert api.cancel(again)["status"] == "cancelled"


def give_priority(page: Page, job: str) -> None:
    page.goto("/admin/jobs/job/")
    page.locator(f'input[name="_selected_action"][value="{job}"]').check()
    page.locator('select[name="action"]').select_option("prioritise")
    page.get_by_role("button", name="Run").click()
    page.get_by_label("Priority of 1 job").fill("7")
    page.get_by_role("button", name="Change the priority").click()
    expect(page.get_by_text("1 job given priority 7.")).to_be_visible()


def test_a_caption_is_edited_in_place(page: Page, api: Api, character: str) -> None:
    page.goto(f"/admin/characters/character/{character}/change/")
    caption = page.get_by_role("textbox", name="Caption of ").first
    caption.fill("ann_person at a window")
    caption.blur()
    expect(page.locator(".char-said").first).to_contain_text("Saved")
    page.reload()
    expect(caption).to_have_value("ann_person at a window")


def test_a_caption_that_is_being_written_outlives_an_upload_and_a_deletion(page: Page, api: Api) -> None:
    page.goto(f"/admin/characters/character/{api.make_character(photos=1)}/change/")
    caption = page.get_by_role("textbox", name="Caption of ").first
    caption.fill("not saved yet")
    sent = {"name": "other.jpg", "mimeType": "image/jpeg", "buffer": photo(width=640, height=800)}
    page.set_input_files("#char-files", [sent])
    expect(page.locator(".char-photo")).to_have_count(2)
    expect(page.locator("#char-head")).to_contain_text("2 photos")
    expect(caption).to_have_value("not saved yet")
    page.get_by_role("button", name="Delete other.jpg").click()
    expect(page.locator("#char-head")).to_contain_text("1 photo")
    expect(page.locator(".char-photo")).to_have_count(1)
    expect(caption).to_have_value("not saved yet")


def test_pictures_are_found_in_the_gallery_and_shown_large(page: Page, api: Api) -> None:
    api.wait_for(api.generate(count=2, prompt="a heron in the reeds"), "completed")
    page.goto("/admin/gallery/?q=heron")
    tiles = page.locator(".gallery-tile")
    expect(tiles).to_have_count(2)
    tiles.first.click()
    large = page.locator(".picture-large img")
    page.wait_for_function("document.querySelector('.picture-large img').naturalWidth === 512")
    expect(page.get_by_text("a heron in the reeds").first).to_be_visible()
    first = large.get_attribute("src")
    page.keyboard.press("ArrowRight")
    expect(large).not_to_have_attribute("src", str(first))
    page.get_by_role("button", name="With the same seed").click()
    page.wait_for_url("**/admin/jobs/job/gen-*/change/")
    expect(page.locator("#job-status")).to_have_text("completed")


def test_every_page_of_the_sidebar_fits_a_phone_in_the_dark_and_complains_of_nothing(
    dark_phone: Page, api: Api, character: str
) -> None:
    dark_phone.goto("/admin/")
    links = dark_phone.locator("#nav-sidebar a[href^='/admin/']").evaluate_all("links => links.map(link => link.href)")
    one_of_each = [
        f"/admin/characters/character/{character}/change/",
        f"/admin/characters/character/{character}/train/",
    ]
    assert len(links) > 10
    for address in [*dict.fromkeys(links), *one_of_each]:
        dark_phone.goto(address)
        fits = "document.documentElement.scrollWidth <= innerWidth"
        assert dark_phone.evaluate(fits), f"{address} is wider than a phone"
        expect(dark_phone.locator("html"), address).to_have_class(re.compile(r"\bdark\b"))
        assert dark_phone.locator("main, [role=main], #main").count(), address
