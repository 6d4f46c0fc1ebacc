"""The browser's own EventSource, which comes back by itself and stops when it is told to."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.api_client import Api
from tests.browser.visit import Followed, Visit
from tests.stack import Stack
from tests.training.holding import Hold

pytestmark = [pytest.mark.stack, pytest.mark.browser]

STEPS, STEPS_PER_SAMPLE, SAMPLES = 600, 50, 2
LONG_TRAINING = {
    "steps": STEPS,
    "sample_every_n_steps": STEPS_PER_SAMPLE,
    "sample_count": SAMPLES,
    "checkpoint_every_n_steps": 100,
}
# Here it is held until the server is back, so that this is in the middle of it.
HELD_AT = 150


def logged_artifacts(api: Api, job: str) -> list[str]:
    """Return the names of what the job's log says was published."""
    return [
        line["fields"]["name"]
        for line in api.whole_log(job)
        if line["event"] in ("artifact.sample", "artifact.checkpoint")
    ]


def told_artifacts(events: list[dict]) -> list[str]:
    told = [artifact for event in events for artifact in event["data"].get("artifacts", [])]
    return [artifact["name"] for artifact in told if artifact["type"] in ("sample", "checkpoint")]


def as_numbers(event_id: str) -> tuple[int, ...]:
    return tuple(map(int, event_id.split("-")))


def kill_the_web_server(stack: Stack) -> None:
    stack.processes("isengard.server")[0].kill()


@contextmanager
def nobody_starts_it_again(stack: Stack) -> Iterator[None]:
    stack.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        stack.process.send_signal(signal.SIGCONT)


def check_nothing_was_missed(api: Api, job: str, events: list[dict]) -> None:
    ids = [as_numbers(event["id"]) for event in events]
    assert ids == sorted(ids)
    assert told_artifacts(events) == logged_artifacts(api, job)
    assert len(told_artifacts(events)) > SAMPLES * STEPS // STEPS_PER_SAMPLE
    assert [event["data"]["current_step"] for event in events][-2:] == [STEPS, STEPS]
    assert (events[-1]["name"], events[-1]["data"]["status"]) == ("complete", "completed")


def last_ids_sent(followed: Followed, count: int) -> list[str | None]:
    return [answer.request.all_headers().get("last-event-id") for answer in followed.answers(count)]


def check_came_back(followed: Followed, events: list[dict]) -> None:
    assert [answer.status for answer in followed.answers(3)] == [200, 200, 204]
    first, second, third = last_ids_sent(followed, 3)
    assert first is None
    assert second in {event["id"] for event in events}
    assert third == events[-1]["id"]


@pytest.fixture
def held(trainers: Hold) -> Iterator[Hold]:
    trainers.at(HELD_AT)
    yield trainers
    trainers.let_go()


def test_a_killed_web_server_costs_a_browser_no_event_that_matters(
    visit: Visit, api: Api, stack: Stack, held: Hold
) -> None:
    job = api.train(api.make_character(), **LONG_TRAINING)
    followed = visit.follow(job)
    followed.wait_for_step(100)
    kill_the_web_server(stack)
    followed.answers(2)
    held.let_go()
    events = followed.wait_until_closed()
    check_nothing_was_missed(api, job, events)
    check_came_back(followed, events)
    visit.forgive("net::ERR")


def test_a_browser_tries_again_and_again_while_the_web_server_is_away(
    visit: Visit, api: Api, stack: Stack, held: Hold
) -> None:
    job = api.train(api.make_character(), **LONG_TRAINING)
    followed = visit.follow(job)
    followed.wait_for_step(100)
    with nobody_starts_it_again(stack):
        kill_the_web_server(stack)
        followed.wait_for_errors(3)
    followed.answers(2)
    held.let_go()
    events = followed.wait_until_closed()
    check_nothing_was_missed(api, job, events)
    check_came_back(followed, events)
    visit.forgive("net::ERR_CONNECTION_REFUSED", "net::ERR")


def test_an_event_source_stops_by_itself_after_complete(visit: Visit, api: Api) -> None:
    followed = visit.follow(api.generate())
    events = followed.wait_until_closed()
    assert [event["name"] for event in events].count("complete") == 1
    assert [answer.status for answer in followed.answers(2)] == [200, 204]
    assert last_ids_sent(followed, 2) == [None, events[-1]["id"]]


def test_a_job_that_has_ended_already_is_told_once_and_for_all(visit: Visit, api: Api) -> None:
    job = api.generate()
    api.wait_for(job)
    events = visit.follow(job).wait_until_closed()
    assert [event["name"] for event in events] == ["progress", "complete"]


def test_a_stream_of_no_job_is_not_asked_for_again(visit: Visit) -> None:
    followed = visit.follow("train-none")
    assert followed.wait_until_closed() == []
    assert [answer.status for answer in followed.answers(1)] == [404]
    visit.forgive("404")
