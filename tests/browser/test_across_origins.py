"""What the same-origin policy allows a page on another origin to do and to read."""

import pytest
from playwright.sync_api import Error

from tests.api_client import photo
from tests.browser.visit import Visit

pytestmark = [pytest.mark.stack, pytest.mark.browser]


def test_a_character_is_changed_and_deleted_from_another_origin(visit: Visit) -> None:
    path = f"/api/characters/{visit.make_character()}"
    changed = visit.call("PATCH", path, body={"description": "with a hat"})
    assert (changed.status, changed.body["description"]) == (200, "with a hat")
    deleted = visit.call("DELETE", path)
    assert (deleted.status, deleted.body) == (204, "")
    assert visit.call("GET", path).status == 404
    visit.forgive("404")


def test_the_correlation_id_is_readable_and_is_the_one_that_was_sent(visit: Visit) -> None:
    sent = visit.call("GET", "/api/characters", headers={"X-Correlation-ID": "click-42"})
    assert sent.correlation_id == "click-42"
    made = visit.call("GET", "/health").correlation_id
    assert made
    assert made != visit.call("GET", "/health").correlation_id


def test_the_total_of_a_list_is_readable(visit: Visit) -> None:
    visit.make_character()
    listed = visit.call("GET", "/api/characters?limit=1")
    assert len(listed.body) == 1
    assert int(listed.total) >= 1


def test_an_error_is_readable_with_its_sentence_and_its_correlation_id(visit: Visit) -> None:
    body = {"character_id": visit.make_character(), "config": {"steps": 5}}
    refused = visit.call("POST", "/api/training", body=body, headers={"X-Correlation-ID": "click-43"})
    assert (refused.status, refused.correlation_id) == (400, "click-43")
    assert "steps" in refused.body["detail"]
    missing = visit.call("GET", "/api/no/such/thing")
    assert (missing.status, type(missing.body["detail"])) == (404, str)
    visit.forgive("400", "404")


def test_an_idempotency_key_may_be_sent(visit: Visit) -> None:
    body = {"config": {"prompt": "a portrait", "width": 512, "height": 512, "steps": 1}}
    answer = visit.call("POST", "/api/generation", body=body, headers={"Idempotency-Key": "click-44"})
    assert answer.status == 201
    visit.follow(answer.body["id"]).wait_until_closed()


def test_a_picture_that_was_shown_can_be_fetched_too(visit: Visit) -> None:
    """The browser's cached copy was asked for without an Origin, and must not answer the request that has one."""
    character = visit.make_character()
    (name,) = visit.upload(character, {"ann.jpg": photo(width=800, height=600)}).body["uploaded"]
    path = f"/api/characters/{character}/images/{name}"
    assert visit.show(path) == (600, 800)
    assert visit.page.evaluate("path => fetchSize(path)", path) > 1000
    assert visit.show(path) == (600, 800)


def test_a_page_of_an_unknown_origin_can_read_nothing(visit_from_elsewhere: Visit) -> None:
    with pytest.raises(Error, match="Failed to fetch"):
        visit_from_elsewhere.call("GET", "/api/characters")
    visit_from_elsewhere.forgive("blocked by CORS policy", "ERR_FAILED")
