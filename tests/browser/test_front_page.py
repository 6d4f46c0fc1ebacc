"""The page at `/`: the whole story of a character, walked by a person with a browser and nothing else."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.api_client import Api, photo
from tests.browser.visit import Visit
from tests.conftest import wait_until
from tests.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.stack]

PHONE = {"width": 390, "height": 844}


def open_page(chromium: Browser, stack: Stack, **context: object) -> Iterator[Visit]:
    wait_until(stack.is_healthy, what="the web server")
    opened = chromium.new_context(**context)
    visit = Visit(opened.new_page())
    visit.page.goto(stack.url)
    yield visit
    opened.close()
    assert visit.complaints == []


@pytest.fixture
def visit(chromium: Browser, stack: Stack) -> Iterator[Visit]:
    yield from open_page(chromium, stack)


@pytest.fixture
def page(visit: Visit) -> Page:
    return visit.page


@pytest.fixture
def dark_phone(chromium: Browser, stack: Stack) -> Iterator[Page]:
    for visit in open_page(chromium, stack, viewport=PHONE, color_scheme="dark"):
        yield visit.page


def see(page: Page, selector: str, text: str) -> None:
    expect(page.locator(selector)).to_contain_text(text)


def create(page: Page, name: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Trigger word").fill("ann_person")
    page.get_by_role("button", name="Create").click()
    see(page, "#step-character .said", "Created.")


def train_for(page: Page, steps: int) -> None:
    """Make trainings shorter or longer than the presets, which are all that the page offers."""
    config = {"steps": steps, "sample_every_n_steps": 50}
    page.route(
        "**/api/training",
        lambda route: route.continue_(post_data={**route.request.post_data_json, "config": config}),
    )


def train_and_generate(page: Page) -> None:
    train_for(page, 100)
    page.get_by_role("button", name="Train").click()
    see(page, "#training-live .said", "Training complete")
    expect(page.locator("#training-live .curve")).to_be_visible()
    expect(page.locator("#training-live .thumbnails li")).not_to_have_count(0)
    expect(page.get_by_label("Prompt")).to_have_value("a photo of ann_person in a garden, soft light")
    page.get_by_role("button", name="Generate").click()
    see(page, "#image-live .said", "Generation complete")
    expect(page.locator("#image-live .pictures img")).to_have_count(2)


def test_the_whole_story_is_walked_in_one_page_and_survives_a_reload(page: Page) -> None:
    see(page, "#health-service", "ready")
    see(page, "#health-training", "base models")
    see(page, "#health-images", "models ready")
    create(page, "<b>Ann</b>")
    page.get_by_role("button", name="Draw some").click()
    expect(page.locator("#photos li")).to_have_count(6)
    train_and_generate(page)
    page.locator("#image-live .thumbnail").first.click()
    expect(page.get_by_role("dialog").get_by_role("link", name="Download")).to_be_visible()
    page.keyboard.press("Escape")
    page.reload()
    see(page, "#training-live .said", "Training complete")
    expect(page.locator("#image-live .pictures img")).to_have_count(2)
    expect(page.get_by_label("Name")).to_have_value("<b>Ann</b>")


def test_the_story_fits_a_phone_in_the_dark_and_says_what_was_refused(dark_phone: Page) -> None:
    create(dark_phone, "Ann")
    chosen = [("ann.jpg", photo(width=800, height=600)), ("notes.jpg", b"not a picture")]
    dark_phone.set_input_files(
        "#photo-input", [{"name": name, "mimeType": "image/jpeg", "buffer": content} for name, content in chosen]
    )
    see(dark_phone, "#step-photos .said", "Not taken: notes.jpg")
    expect(dark_phone.locator("#photos li")).to_have_count(1)
    train_and_generate(dark_phone)
    assert dark_phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_training_is_cancelled_from_the_page(page: Page, stack: Stack) -> None:
    character = Api(stack.url).make_character()
    page.goto(f"{stack.url}/#character={character}")
    page.reload()
    # Nobody is too late to cancel it.
    train_for(page, 10_000)
    page.get_by_role("button", name="Train").click()
    page.get_by_role("button", name="Cancel the training").click()
    see(page, "#training-live .said", "Training cancelled")
    expect(page.get_by_role("button", name="Cancel the training")).to_be_hidden()


def test_a_link_to_a_character_that_is_gone_says_so_and_starts_anew(visit: Visit, stack: Stack) -> None:
    page = visit.page
    with page.expect_response("**/api/characters/char-gone"):
        page.goto(f"{stack.url}/#character=char-gone")
        page.reload()
    see(page, "#step-character .said", "not found")
    expect(page.get_by_role("button", name="Create")).to_be_visible()
    assert "char-gone" not in page.url
    visit.forgive("404")
