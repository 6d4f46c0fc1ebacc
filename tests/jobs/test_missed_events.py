"""Who was away for a while, and what Redis could not take: samples and checkpoints are told all the same."""

import asyncio
from pathlib import Path

import orjson
import pytest

from jobs import queue, runner, worker_state
from jobs.events import Artifact, Progress
from jobs.models import Job
from jobs.narrator import Narrator
from jobs.progress import writer
from jobs.progress.event_id import EventId
from jobs.progress.reader import MAX_BEHIND, Hub, StreamedEvent
from jobs.progress.writer import connection, publish, stream_key
from tests.jobs.fakes import FakeKind, make_job, make_slot, this_process

JOB = "fake-1"
BEFORE_THE_FIRST = EventId(0, 0)


def publish_events(*sequence: int, attempt: int = 1) -> None:
    for number in sequence:
        publish(JOB, EventId(attempt, number), "progress", {"step": number})


def missed(after: EventId) -> list[StreamedEvent] | None:
    async def ask() -> list[StreamedEvent] | None:
        hub = Hub()
        # A slow answer is told like none at all, and is not what is asked about here.
        hub.redis.connection_pool.connection_kwargs["socket_timeout"] = 60.0
        try:
            return await hub.missed(JOB, after)
        finally:
            await hub.redis.aclose()

    return asyncio.run(ask())


def told_artifacts(job_id: str = JOB) -> list[str]:
    events = [orjson.loads(entry[b"data"]) for _, entry in connection().xrange(stream_key(job_id))]
    return [artifact["name"] for event in events for artifact in event.get("artifacts", [])]


def test_who_was_away_for_long_gets_every_event_that_is_held() -> None:
    publish_events(*range(1, 2 * MAX_BEHIND))
    assert [event.id.seq for event in missed(EventId(1, 1))] == list(range(2, 2 * MAX_BEHIND))


def test_who_saw_the_job_wait_gets_every_event_since_its_start() -> None:
    publish_events(1, 2, 3)
    assert [event.id.seq for event in missed(BEFORE_THE_FIRST)] == [1, 2, 3]
    assert [event.id.seq for event in missed(EventId(1, 0))] == [1, 2, 3]


def test_events_that_begin_later_than_what_was_seen_are_not_taken_for_all() -> None:
    publish_events(5, 6)
    assert missed(BEFORE_THE_FIRST) is None
    assert missed(EventId(1, 3)) is None
    assert [event.id.seq for event in missed(EventId(1, 5))] == [6]


def test_events_of_a_later_attempt_alone_are_not_taken_for_all() -> None:
    publish_events(1, 2, attempt=2)
    assert missed(EventId(1, 7)) is None


def test_an_artifact_that_redis_did_not_take_is_told_with_the_next_state(
    fake_kind: FakeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise writer.RedisError("connection refused")

    narrator = Narrator(Job(id=JOB, kind="fake", status="running", total_steps=10, attempt=1))
    with monkeypatch.context() as away:
        away.setattr(writer, "connection", refuse)
        away.setattr(writer, "_away_until", 0.0)
        narrator.progress(artifact={"name": "step_00050.png"})
    narrator.progress(artifact={"name": "step_00100.png"})
    narrator.finish()
    assert told_artifacts() == ["step_00050.png", "step_00100.png"]


@pytest.mark.django_db(transaction=True)
def test_the_checkpoint_that_a_drain_leaves_is_told(fake_kind: FakeKind, tmp_path: Path, monkeypatch) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.write_bytes(b"weights")
    fake_kind.script = [
        lambda job, claim: monkeypatch.setattr(worker_state._draining, "is_set", lambda: True),
        Progress(step=100),
        Artifact(type="checkpoint", name="step_00100.safetensors", path=checkpoint, step=100),
    ]
    slot, job = make_slot(fake_kind), make_job()
    runner.execute(queue.claim_next(slot.kind, slot.name, this_process()))
    assert told_artifacts(job.pk) == ["step_00100.safetensors"]
