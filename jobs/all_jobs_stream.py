"""Server-sent events of all jobs at once: where each live one is, then what happens. It never ends by itself.

Nothing is replayed: whoever comes back gets the present state. What one client costs is bounded, however many jobs
there are: those at work, the first of those that wait, and the ends that were told last.
"""

import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Collection
from dataclasses import dataclass

import orjson
from django.db import DatabaseError, close_old_connections

from jobs import kinds, waiting
from jobs.models import WAITING, Job
from jobs.payloads import complete_payload, progress_payload
from jobs.progress.event_id import BEFORE_ALL, EventId
from jobs.progress.reader import EVERY_JOB, StreamedEvent, Subscription, hub
from jobs.streams import (
    CHECK_SECONDS,
    COMMENT_SECONDS,
    POLL_SECONDS,
    RETRY_MILLISECONDS,
    State,
    format_event,
    is_closing,
    read_together,
    row_id,
    state_of,
)

TOLD_WAITING = 200
REMEMBERED_ENDS = 1000
# Many jobs may change at once; the rows are not read again for each of them.
MIN_CHECK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Told:
    """What a client knows of a job."""

    last: EventId
    state: State


class AllJobsStream:
    """One client's stream, of one kind of job or of all."""

    def __init__(self, kind: str | None) -> None:
        self._kind = kind
        self._told: dict[str, Told] = {}
        # A row that was read a moment too early, or a run that was lost, must not bring a job back.
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._checked = float("-inf")

    async def events(self) -> AsyncGenerator[bytes, None]:
        yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
        channel = hub()
        with channel.subscribe(EVERY_JOB) as subscription:
            written = time.monotonic()
            while not is_closing():
                chunks = self._live(subscription)
                if self._is_check_due(subscription, is_told=channel.is_connected):
                    chunks += await self._check(subscription)
                if not chunks and time.monotonic() - written >= COMMENT_SECONDS:
                    chunks = [b": still here\n\n"]
                for chunk in chunks:
                    written = time.monotonic()
                    yield chunk
                await subscription.wait(POLL_SECONDS)

    def _is_check_due(self, subscription: Subscription, *, is_told: bool) -> bool:
        pause = MIN_CHECK_SECONDS if subscription.has_gap else CHECK_SECONDS if is_told else POLL_SECONDS
        return time.monotonic() - self._checked >= pause

    def _live(self, subscription: Subscription) -> list[bytes]:
        arrived = list(subscription.events)
        subscription.events.clear()
        return [chunk for event in arrived for chunk in self._pass_on(event)]

    def _pass_on(self, event: StreamedEvent) -> list[bytes]:
        data = orjson.loads(event.data)
        job_id = data["job_id"]
        if self._kind not in (None, data["job_type"]) or job_id in self._ended or event.id <= self._last(job_id):
            return []
        if event.name == "complete":
            self._note_end(job_id)
        else:
            self._told[job_id] = Told(event.id, (data["status"], event.id.attempt, data["message"]))
        return [_chunk(job_id, event.id, event.name, event.data)]

    async def _check(self, subscription: Subscription) -> list[bytes]:
        """Read the rows, and return what the client does not know yet."""
        self._checked, subscription.has_gap = time.monotonic(), False
        try:
            live = await read_together("all live jobs", _read_live)
            wanted = [job for job in live if self._kind in (None, job.kind)]
            missing = self._told.keys() - {job.pk for job in wanted}
            gone = await read_together(f"jobs {sorted(missing)}", lambda: _read_ended(missing)) if missing else []
        except DatabaseError:
            return []
        chunks = [self._tell(job) for job in wanted if self._is_news(job)] + [self._tell_end(job) for job in gone]
        # Deleted, or pushed behind the first that wait: should it come back it is told anew.
        self._told = {job_id: told for job_id, told in self._told.items() if job_id not in missing}
        return chunks

    def _is_news(self, job: Job) -> bool:
        told = self._told.get(job.pk)
        if told is None or job.pk in self._ended:
            return job.pk not in self._ended
        if row_id(job).position == told.last.position and job.status in WAITING and not job.token:
            return state_of(job) != told.state
        # The row is up to a second behind a live run: telling it then would send the progress bar backwards.
        return row_id(job) > told.last

    def _tell(self, job: Job) -> bytes:
        last = self._last(job.pk)
        event_id = row_id(job) if row_id(job) > last else last.retell()
        self._told[job.pk] = Told(event_id, state_of(job))
        return _chunk(job.pk, event_id, "progress", orjson.dumps(progress_payload(job)).decode())

    def _tell_end(self, job: Job) -> bytes:
        self._note_end(job.pk)
        data = orjson.dumps(complete_payload(job)).decode()
        return _chunk(job.pk, EventId.of_complete(job.attempt), "complete", data)

    def _note_end(self, job_id: str) -> None:
        self._told.pop(job_id, None)
        self._ended[job_id] = None
        if len(self._ended) > REMEMBERED_ENDS:
            self._ended.popitem(last=False)

    def _last(self, job_id: str) -> EventId:
        told = self._told.get(job_id)
        return told.last if told else BEFORE_ALL


def _chunk(job_id: str, event_id: EventId, name: str, data: str) -> bytes:
    """Return the event, under an id that no other job has."""
    return format_event(f"{job_id}:{event_id}", name, data)


def _read_live() -> list[Job]:
    """Return those that are claimed, and the first of those that wait, which say what for."""
    close_old_connections()
    try:
        rows = Job.objects.live().filter(kind__in=kinds.names()).select_related("gpu")
        claimed = list(rows.exclude(token="").order_by("created_at", "id"))
        queued = list(rows.filter(token="").order_by("-priority", "created_at", "id")[:TOLD_WAITING])
        reasons = waiting.messages(queued)
        for job in queued:
            # Only told, never saved: what it waits for is no column.
            job.message = reasons.get(job.pk, job.message)
        return claimed + queued
    finally:
        close_old_connections()


def _read_ended(job_ids: Collection[str]) -> list[Job]:
    close_old_connections()
    try:
        ended = Job.objects.filter(pk__in=job_ids, kind__in=kinds.names()).select_related("gpu")
        return [job for job in ended if job.is_terminal]
    finally:
        close_old_connections()
