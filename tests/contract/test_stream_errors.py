"""Errors of the streams, which are not DRF's views: in the API's shape all the same."""

import pytest
from django.test import Client

from jobs.views import stream as stream_views

pytestmark = pytest.mark.django_db(transaction=True)
STREAMS = ["/api/jobs/train-1/stream", "/api/training/train-1/stream", "/api/generation/gen-1/stream"]


def test_a_crash_of_a_stream_answers_json_too(api: Client, monkeypatch, caplog) -> None:
    async def crash(*_: object) -> None:
        raise ZeroDivisionError("inner secret")

    monkeypatch.setattr(stream_views, "read_job", crash)
    answer = api.get("/api/jobs/train-1/stream", headers={"X-Correlation-ID": "trace-me"})
    assert (answer.status_code, answer.headers["X-Correlation-ID"]) == (500, "trace-me")
    assert "trace-me" in answer.json()["detail"]
    assert "inner secret" not in answer.content.decode()
    assert "inner secret" in caplog.text


@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_of_nothing_is_404(api: Client, path: str) -> None:
    answer = api.get(path, headers={"Accept": "text/event-stream"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/json")
    assert answer.json() == {"detail": f"Job {path.split('/')[3]} not found"}


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_another_method_on_a_stream_is_405(api: Client, path: str, method: str) -> None:
    answer = api.generic(method, path)
    assert (answer.status_code, answer.headers["Allow"], list(answer.json())) == (405, "GET", ["detail"])


@pytest.mark.parametrize("last", ["", "0", "1-", "x" * 5000, "1-99999999999999999999999999", "\u00e9"])
def test_a_strange_last_event_id_is_no_reason_to_fail(api: Client, last: str) -> None:
    assert api.get(STREAMS[0], headers={"Last-Event-ID": last}).status_code == 404
