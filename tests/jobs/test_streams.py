"""A job's stream over a real socket: the present state or what was missed, then live, `complete` last."""

import threading

import pytest
import requests
from django.db import OperationalError
from django.db import connection as database

from jobs import queue, streams, transitions
from jobs.cancelling import cancel_job
from jobs.models import Artifact, Job, Slot, Status
from jobs.narrator import Narrator
from jobs.progress.writer import connection, forget, nudge
from tests.conftest import wait_until
from tests.jobs.fakes import make_job, make_slot, this_process
from tests.jobs.live_streams import LiveRun, follow, live_run, serve, url  # noqa: F401 (two of them are fixtures)
from tests.sse import EventStream, open_stream

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_present_state_comes_first_and_live_events_after_it(server: str, live: LiveRun) -> None:
    live.tell(3)
    Job.objects.filter(pk=live.job.pk).update(current_step=3, event_seq=1, message="Step 3/10")
    _, events, first = follow(server, live)
    assert (first.event, first.id, first.data["current_step"]) == ("progress", "1-1", 3)
    live.tell(4)
    second = next(events)
    assert (second.id, second.data["current_step"]) == ("1-2", 4)
    live.end()
    last = next(events)
    assert (last.id, last.event, last.data["status"]) == ("2-0", "complete", "completed")
    assert list(events) == []


def test_a_client_that_comes_back_gets_what_it_missed_and_nothing_twice(server: str, live: LiveRun) -> None:
    for step in (1, 2, 3):
        live.tell(step)
    with open_stream(url(server, live.job), last_event_id="1-1") as stream:
        events = iter(stream)
        assert [next(events).id, next(events).id] == ["1-2", "1-3"]
        live.tell(4)
        assert next(events).id == "1-4"
        live.end()
        assert [event.id for event in events] == ["2-0"]


def publish(live: LiveRun, step: int) -> None:
    sample = {"type": "sample", "name": f"step_{step:05d}.png", "step": step}
    Artifact.objects.create(job=live.job, key=f"{live.job.pk}/{step}", size_bytes=1, **sample)
    live.narrator.progress(artifact=sample)
    live.narrator.finish()


def test_a_client_that_comes_back_is_told_each_file_once(server: str, live: LiveRun) -> None:
    for step in (1, 2, 3):
        publish(live, step)
    live.end()
    with open_stream(url(server, live.job), last_event_id="1-2") as stream:
        told = [[file["step"] for file in event.data.get("artifacts", [])] for event in stream]
    assert told == [[3], []]


def test_a_client_that_comes_back_after_redis_lost_the_stream_misses_no_file(server: str, live: LiveRun) -> None:
    publish(live, 1)
    forget(live.job.pk)
    live.end()
    with open_stream(url(server, live.job), last_event_id="1-0") as stream:
        told = [file["step"] for event in stream for file in event.data.get("artifacts", [])]
    assert told == [1]


@pytest.mark.parametrize("last", ["nonsense", "0-0", "%F0"])
def test_an_id_that_is_not_held_gets_the_present_state(server: str, live: LiveRun, last: str) -> None:
    live.tell(5)
    Job.objects.filter(pk=live.job.pk).update(current_step=5, event_seq=1)
    _, _, first = follow(server, live, last_event_id=last)
    assert (first.id, first.data["current_step"]) == ("1-1", 5)


def test_after_redis_lost_the_stream_the_row_is_told(server: str, live: LiveRun) -> None:
    live.tell(5)
    forget(live.job.pk)
    Job.objects.filter(pk=live.job.pk).update(current_step=5, event_seq=1)
    _, _, first = follow(server, live, last_event_id="1-1")
    assert first.data["current_step"] == 5


def test_an_ended_job_tells_its_state_and_complete_and_closes(server: str, live: LiveRun) -> None:
    live.end()
    with open_stream(url(server, live.job)) as stream:
        told = list(stream)
    assert [(event.event, event.id) for event in told] == [("progress", "1-0"), ("complete", "2-0")]


def test_an_event_source_that_has_seen_complete_is_told_to_stop(server: str, live: LiveRun) -> None:
    live.end()
    answer = requests.get(url(server, live.job), headers={"Last-Event-ID": "2-0"}, timeout=60)
    assert (answer.status_code, answer.content) == (204, b"")


def test_the_missed_end_is_told_after_the_missed_events(server: str, live: LiveRun) -> None:
    live.tell(1)
    live.tell(9)
    live.end()
    with open_stream(url(server, live.job), last_event_id="1-1") as stream:
        assert [event.id for event in stream] == ["1-2", "2-0"]


def test_a_cancel_ends_the_stream_at_once(server: str, live: LiveRun) -> None:
    _, events, _ = follow(server, live)
    cancel_job(live.job)
    last = next(events)
    assert (last.event, last.data["status"], last.data["message"]) == ("complete", "cancelled", "Fake cancelled")


def test_an_end_that_redis_never_told_is_found_in_the_row(server, live, monkeypatch) -> None:
    monkeypatch.setattr(streams, "CHECK_SECONDS", 0.2)
    _, events, _ = follow(server, live)
    transitions.complete(live.claim, **transitions.UNCLAIMED)
    assert next(events).event == "complete"


def test_a_job_that_went_back_to_the_queue_says_so(server: str, live: LiveRun) -> None:
    live.tell(5)
    Job.objects.filter(pk=live.job.pk).update(current_step=5, event_seq=1)
    _, events, _ = follow(server, live)
    transitions.give_back(live.claim.live(), message="Waiting to go on")
    nudge(live.job.pk)
    told = next(events)
    assert (told.data["status"], told.data["message"]) == ("queued", "Waiting to go on")


def test_what_a_job_waits_for_is_told_at_first_and_when_it_changes(server, fake_kind, monkeypatch) -> None:
    monkeypatch.setattr(streams, "CHECK_SECONDS", 0.1)
    job = make_job()
    with open_stream(url(server, job)) as stream:
        events = iter(stream)
        assert next(events).data["message"] == "No worker is up"
        make_slot(fake_kind)
        assert next(events).data["message"] == "Waiting in the queue"
        queue.set_paused("fake", is_paused=True)
        told = next(events).data
    assert (told["status"], told["message"]) == ("queued", "Paused by an operator")
    assert Job.objects.get(pk=job.pk).message == ""


def test_a_row_that_lags_behind_does_not_send_the_bar_backwards(server, live, monkeypatch) -> None:
    monkeypatch.setattr(streams, "CHECK_SECONDS", 0.1)
    _, events, _ = follow(server, live)
    live.tell(8)
    steps = [next(events).data["current_step"]]
    Job.objects.filter(pk=live.job.pk).update(current_step=2)
    nudge(live.job.pk)
    live.tell(9)
    steps.append(next(events).data["current_step"])
    assert steps == [8, 9]


def test_headers_forbid_buffering_and_carry_the_correlation_id(server: str, live: LiveRun) -> None:
    headers = {"X-Correlation-ID": "abc-1", "Origin": "http://localhost:3000"}
    with open_stream(url(server, live.job), **headers) as stream:
        sent = stream.response.headers
        next(iter(stream))
    assert sent["Content-Type"] == "text/event-stream"
    assert sent["Cache-Control"] == "no-cache, no-transform"
    assert sent["X-Accel-Buffering"] == "no"
    assert sent["X-Correlation-ID"] == "abc-1"
    assert sent["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert "X-Correlation-ID" in sent["Access-Control-Expose-Headers"]
    assert stream.retry == 2000


def test_a_quiet_stream_sends_comments(server: str, live: LiveRun, monkeypatch) -> None:
    monkeypatch.setattr(streams, "COMMENT_SECONDS", 0.1)
    stream, events, _ = follow(server, live)
    monkeypatch.setattr(streams, "CHECK_SECONDS", 60)
    wait_for_comment = threading.Thread(target=_end_after_a_comment, args=(stream, live))
    wait_for_comment.start()
    assert next(events).event == "complete"
    wait_for_comment.join()
    assert stream.comments


def _end_after_a_comment(stream: EventStream, live: LiveRun) -> None:
    try:
        wait_until(lambda: stream.comments, what="a comment")
        live.end()
    finally:
        database.close()


def test_an_unknown_job_is_404_in_json(server: str) -> None:
    answer = requests.get(f"{server}/api/jobs/train-none/stream", timeout=60)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Job train-none not found"})
    assert answer.headers["X-Correlation-ID"]


def test_a_job_of_another_kind_is_404_below_training(server: str, live: LiveRun) -> None:
    answer = requests.get(f"{server}/api/training/{live.job.pk}/stream", timeout=60)
    assert answer.status_code == 404


def test_a_stream_that_cannot_read_the_row_asks_the_client_to_come_back(server, live: LiveRun, monkeypatch) -> None:
    def fail(job_id: str) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr(streams, "_read_job", fail)
    with open_stream(url(server, live.job)) as stream:
        assert list(stream) == []
    assert (stream.response.status_code, stream.retry) == (200, 2000)


def test_a_stream_cannot_be_posted_to(server: str, live: LiveRun) -> None:
    answer = requests.post(url(server, live.job), timeout=60)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")
    assert isinstance(answer.json()["detail"], str)


def test_streams_end_within_a_second_when_the_server_shuts_down(server: str, live: LiveRun) -> None:
    _, events, _ = follow(server, live)
    streams.close_all()
    try:
        assert list(events) == []
    finally:
        streams._closing.clear()


def test_without_redis_the_row_is_told_every_second(server: str, live: LiveRun, monkeypatch) -> None:
    from jobs.progress.reader import Hub

    async def refuse(self: Hub) -> None:
        raise OSError("connection refused")

    monkeypatch.setattr(Hub, "_read", refuse)
    connection().client_kill_filter(_type="pubsub")
    with open_stream(url(server, live.job)) as stream:
        events = iter(stream)
        next(events)
        Job.objects.filter(pk=live.job.pk).update(current_step=6, event_seq=4)
        assert next(events).data["current_step"] == 6
        transitions.complete(live.claim, **transitions.UNCLAIMED)
        assert [event.event for event in events][-1] == "complete"


def test_a_job_that_starts_again_is_told_from_its_checkpoint(server: str, live: LiveRun, slot: Slot) -> None:
    live.tell(5)
    Job.objects.filter(pk=live.job.pk).update(current_step=5, event_seq=1)
    _, events, _ = follow(server, live)
    transitions.give_back(live.claim.live(), message="again")
    nudge(live.job.pk)
    next(events)
    claim = queue.claim_next("fake", slot.name, this_process())
    job = Job.objects.get(pk=live.job.pk)
    assert claim.attempt == 2
    narrator = Narrator(job)
    job.current_step = 2
    narrator.progress()
    # Before its first event the row may be told, which is looked at every few seconds.
    told = next(event for event in events if event.id == "2-1")
    assert (told.data["status"], told.data["current_step"]) == (Status.RUNNING, 2)
