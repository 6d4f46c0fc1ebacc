"""The page that shows the API: it needs nothing from elsewhere, and its policy lets nothing from elsewhere in."""

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.visit import Visit
from tests.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.browser]


def test_the_docs_page_shows_every_operation_and_can_call_one(visit: Visit, stack: Stack) -> None:
    visit.responses.clear()
    visit.page.goto(f"{stack.url}/api/docs")
    operation = visit.page.locator("#operations-service-getHealth")
    operation.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    operation.locator(".live-responses-table .response-col_description").get_by_text('"healthy"').wait_for()
    described = visit.page.evaluate("fetch('/api/schema').then(answer => answer.json())")["paths"]
    expect(visit.page.locator(".opblock")).to_have_count(sum(map(len, described.values())))
    assert {urlsplit(answer.url).netloc for answer in visit.responses} == {urlsplit(stack.url).netloc}


def test_the_docs_page_runs_no_script_that_is_not_ours(visit: Visit, stack: Stack) -> None:
    visit.page.goto(f"{stack.url}/api/docs")
    visit.page.locator("#operations-service-getHealth").wait_for()
    visit.page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'stolen = 1'}))")
    assert visit.page.evaluate("typeof stolen") == "undefined"
    visit.forgive("Content Security Policy")
