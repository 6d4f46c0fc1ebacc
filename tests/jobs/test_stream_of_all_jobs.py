"""The stream of all jobs over a real socket: where each live one is, then what happens to any of them."""

import asyncio
import threading
from collections.abc import Iterator
from itertools import islice

import pytest
import requests
import uvicorn

from isengard.asgi import application
from jobs import all_jobs_stream, queue, streams, transitions
from jobs.cancelling import cancel_job
from jobs.models import Job, Slot, Status
from jobs.narrator import Narrator, announce_end
from jobs.progress.writer import connection
from tests.conftest import wait_until
from tests.jobs.fakes import FakeKind, make_job, make_slot, registered, this_process
from tests.sse import EventStream, Sent, open_stream

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The real ASGI application on a real socket, in a thread."""
    config = uvicorn.Config(application, port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    served = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(served.serve()), daemon=True)
    thread.start()
    wait_until(lambda: served.started, what="the server")
    port = served.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/api/jobs/stream"
    served.should_exit = True
    thread.join(10)


@pytest.fixture(autouse=True)
def kinds() -> Iterator[tuple[FakeKind, FakeKind]]:
    fake, other = FakeKind(), FakeKind(name="other")
    with registered(fake, other):
        yield fake, other


def claimed(slot: Slot) -> tuple[Job, transitions.Claim]:
    make_job(slot.kind)
    claim = queue.claim_next(slot.kind, slot.name, this_process())
    return Job.objects.select_related("gpu").get(pk=claim.job_id), claim


def tell(job: Job, step: int) -> None:
    job.current_step = step
    narrator = Narrator(job)
    narrator.progress()
    narrator.finish()


def end(job: Job, claim: transitions.Claim) -> None:
    transitions.complete(claim, **transitions.UNCLAIMED)
    job.refresh_from_db()
    announce_end(job)


def next_of(events: Iterator[Sent], name: str) -> Sent:
    return next(event for event in events if event.event == name)


def follow(url: str) -> tuple[EventStream, Iterator[Sent]]:
    """Open a stream, once the server listens to Redis."""
    stream = open_stream(url)
    wait_until(lambda: connection().pubsub_numsub("isengard:events")[0][1] > 0, what="the subscription")
    return stream, iter(stream)


def test_first_comes_each_live_job_and_nothing_that_has_ended(server: str, kinds) -> None:
    running, _ = claimed(make_slot(kinds[0]))
    waiting = make_job("other")
    make_job(status=Status.FAILED, completed_at=running.created_at)
    stream, events = follow(server)
    with stream:
        first = list(islice(events, 2))
    assert [event.event for event in first] == ["progress", "progress"]
    assert [(event.data["job_id"], event.data["status"]) for event in first] == [
        (running.pk, "running"),
        (waiting.pk, "queued"),
    ]
    assert first[1].data["message"] == "No worker is up"
    assert [event.id.split(":")[0] for event in first] == [running.pk, waiting.pk]


def test_progress_and_ends_of_all_jobs_come_live_and_the_stream_goes_on(server: str, kinds) -> None:
    waiting = make_job("other")
    stream, events = follow(server)
    with stream:
        # It is told once the stream has subscribed: what is sent from here on arrives.
        assert next(events).data["job_id"] == waiting.pk
        first, first_claim = claimed(make_slot(kinds[0]))
        tell(first, 3)
        while (told := next(events)).data["step"] != 3:
            pass
        assert (told.data["job_id"], told.id) == (first.pk, f"{first.pk}:1-1")
        end(first, first_claim)
        assert next_of(events, "complete").data["job_id"] == first.pk
        second, second_claim = claimed(make_slot(kinds[1], gpu="1"))
        end(second, second_claim)
        ended = next_of(events, "complete")
        assert (ended.data["job_id"], ended.data["status"]) == (second.pk, "completed")


def test_a_kind_can_be_asked_for_alone(server: str, kinds) -> None:
    make_job("fake")
    other = make_job("other")
    stream, events = follow(f"{server}?kind=other")
    with stream:
        assert next(events).data["job_id"] == other.pk
        cancel_job(Job.objects.get(kind="fake"))
        cancel_job(other)
        assert next_of(events, "complete").data["job_id"] == other.pk


def test_who_comes_back_gets_the_present_state_again(server: str, kinds) -> None:
    job, _ = claimed(make_slot(kinds[0]))
    with open_stream(server, last_event_id=f"{job.pk}:1-7") as stream:
        assert next(iter(stream)).data["job_id"] == job.pk


def test_without_redis_the_rows_tell_what_happens(server: str, kinds, monkeypatch) -> None:
    job, claim = claimed(make_slot(kinds[0]))
    stream, events = follow(server)
    with stream:
        assert next(events).data["step"] == 0
        monkeypatch.setattr(all_jobs_stream, "CHECK_SECONDS", 0.1)
        Job.objects.filter(pk=job.pk).update(current_step=5, event_seq=9)
        assert next(events).data["step"] == 5
        transitions.complete(claim, **transitions.UNCLAIMED)
        assert next(events).event == "complete"
        late = make_job("other")
        # Neither the ended job nor the first one's state comes a second time.
        assert next(events).data["job_id"] == late.pk


def test_what_one_client_is_told_at_first_is_bounded(server: str, kinds, monkeypatch) -> None:
    monkeypatch.setattr(all_jobs_stream, "TOLD_WAITING", 2)
    monkeypatch.setattr(all_jobs_stream, "CHECK_SECONDS", 0.1)
    jobs = [make_job(priority=priority) for priority in (1, 3, 2)]
    stream, events = follow(server)
    with stream:
        assert [event.data["job_id"] for event in islice(events, 2)] == [jobs[1].pk, jobs[2].pk]
        # The third has the place of the one that ends.
        cancel_job(jobs[1])
        told = sorted((event.event, event.data["job_id"]) for event in islice(events, 2))
    # A look at the rows between the end and its event finds both.
    assert told == [("complete", jobs[1].pk), ("progress", jobs[0].pk)]


def test_a_quiet_stream_sends_comments_and_forbids_buffering(server: str, monkeypatch) -> None:
    monkeypatch.setattr(all_jobs_stream, "COMMENT_SECONDS", 0.0)
    with open_stream(server) as stream:
        assert stream.response.headers["Content-Type"] == "text/event-stream"
        assert stream.response.headers["X-Accel-Buffering"] == "no"
        lines = stream.response.iter_lines(chunk_size=1, decode_unicode=True)
        assert [line for line in islice(lines, 3) if line] == ["retry: 2000", ": still here"]


def test_it_ends_when_the_server_shuts_down(server: str) -> None:
    with open_stream(server) as stream:
        try:
            streams.close_all()
            assert list(stream) == []
        finally:
            streams._closing.clear()


def test_an_unknown_kind_is_refused_and_so_is_a_post(server: str) -> None:
    answer = requests.get(f"{server}?kind=nonsense", timeout=60)
    assert (answer.status_code, "kind: must be one of" in answer.json()["detail"]) == (400, True)
    assert requests.post(server, timeout=60).status_code == 405
