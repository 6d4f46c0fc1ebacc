"""What the row tells in a stream where events were lost, or nobody sends any: each thing once, and none backwards."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.db import connection as database

from jobs import queue, streams, transitions
from jobs.cancelling import cancel_job
from jobs.models import Artifact, Job
from jobs.narrator import announce_return
from jobs.progress.writer import forget
from tests.jobs.fakes import make_job, make_slot, this_process
from tests.jobs.live_streams import LiveRun, follow, live_run, serve, url  # noqa: F401 (two of them are fixtures)
from tests.sse import open_stream

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_job_that_went_back_while_nobody_looked_is_told_so_from_what_is_held(server: str, live: LiveRun) -> None:
    live.tell(5)
    transitions.give_back(live.claim.live(), message="Waiting to go on")
    announce_return(live.job.pk)
    queue.claim_next("fake", live.claim.slot, this_process())
    with open_stream(url(server, live.job), last_event_id="1-1") as stream:
        told = next(iter(stream))
    assert (told.id, told.data["status"], told.data["attempt"]) == ("1-1000000000", "queued", 1)


def test_what_a_lost_run_still_sends_after_its_job_went_back_is_told_to_nobody(server: str, live: LiveRun) -> None:
    live.tell(5)
    transitions.give_back(live.claim.live(), message="Waiting to go on")
    announce_return(live.job.pk)
    live.tell(6)
    with open_stream(url(server, live.job), last_event_id="1-1") as stream:
        events = iter(stream)
        next(events)
        cancel_job(live.job)
        assert next(events).event == "complete"


def test_a_file_whose_event_was_lost_is_told_at_the_end(server: str, live: LiveRun) -> None:
    _, events, _ = follow(server, live)
    for name, kind in [("step_00005.png", "sample"), ("config.yaml", "config"), ("loss.json", "loss")]:
        Artifact.objects.create(job=live.job, type=kind, name=name, key=name, size_bytes=1, step=5)
    live.end()
    assert next(events).data["artifacts"] == [{"type": "sample", "name": "step_00005.png", "step": 5}]


def test_a_file_that_was_told_is_not_told_again(server: str, live: LiveRun) -> None:
    _, events, _ = follow(server, live)
    Artifact.objects.create(job=live.job, type="sample", name="step_00005.png", key="a", size_bytes=1, step=5)
    live.narrator.progress(artifact={"type": "sample", "name": "step_00005.png", "step": 5})
    live.narrator.finish()
    assert [artifact["name"] for artifact in next(events).data["artifacts"]] == ["step_00005.png"]
    live.end()
    assert "artifacts" not in next(events).data


def test_each_change_of_what_a_job_waits_for_has_an_id_of_its_own(server, fake_kind, monkeypatch) -> None:
    monkeypatch.setattr(streams, "CHECK_SECONDS", 0.1)
    job = make_job()
    make_slot(fake_kind)
    with open_stream(url(server, job)) as stream:
        events = iter(stream)
        ids = [next(events).id]
        queue.set_paused("fake", is_paused=True)
        ids.append(next(events).id)
    queue.set_paused("fake", is_paused=False)
    with open_stream(url(server, job), last_event_id=ids[-1]) as stream:
        ids.append(next(iter(stream)).id)
    assert ids == ["0-0", "0-0.1", "0-0.2"]


def test_who_has_seen_more_than_the_row_has_is_not_sent_backwards(
    server: str, live: LiveRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.tell(5)
    forget(live.job.pk)
    Job.objects.filter(pk=live.job.pk).update(current_step=3, event_seq=0)
    monkeypatch.setattr(asyncio, "sleep", _writing_the_row_meanwhile(live.job.pk))
    with open_stream(url(server, live.job), last_event_id="1-1") as stream:
        told = next(iter(stream))
    assert (told.id, told.data["current_step"]) == ("1-2", 6)


def _writing_the_row_meanwhile(job_id: str) -> Callable[..., Awaitable[Any]]:
    """Return a `sleep` that lasts until the row is written, where somebody waits for that."""
    sleep = asyncio.sleep

    async def wait(seconds: float, *result: Any) -> Any:
        if seconds == streams.ROW_LAG_SECONDS:
            return await asyncio.to_thread(_catch_up, job_id)
        return await sleep(seconds, *result)

    return wait


def _catch_up(job_id: str) -> None:
    try:
        Job.objects.filter(pk=job_id).update(current_step=6, event_seq=2)
    finally:
        database.close()
