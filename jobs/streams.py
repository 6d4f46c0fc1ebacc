"""Server-sent events of one job: the present state or what was missed, then live, `complete` last.

The row is the truth and Redis the quick way: whenever something may have been missed, the row is read again, so that a
stream neither hangs nor lies without Redis.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from django.db import DatabaseError, close_old_connections

from jobs import waiting
from jobs.models import WAITING, Job
from jobs.payloads import complete_payload, progress_payload
from jobs.progress.event_id import EventId
from jobs.progress.reader import Hub, StreamedEvent, Subscription, hub

RETRY_MILLISECONDS = 2000
COMMENT_SECONDS = 15.0
# How often the row is read again: as a safeguard while Redis tells the news, and instead of Redis while it is away.
CHECK_SECONDS = 5.0
POLL_SECONDS = 1.0
READERS = 2

# What a client is told again when it changes: status, attempt, and what the job waits for, if it does.
State = tuple[str, int, str]

# Django gives each request under ASGI a thread of its own, and with it a database connection, for as long as the stream
# is open. These few serve all streams of the process.
_readers = ThreadPoolExecutor(READERS, thread_name_prefix="stream-reader")
_closing = threading.Event()


def close_all() -> None:
    """End every stream of this process within a second: it shuts down, and clients come back to the next one."""
    _closing.set()


def _read_job(job_id: str) -> Job | None:
    close_old_connections()
    try:
        job = Job.objects.select_related("gpu").filter(pk=job_id).first()
        if job is not None:
            # Only told, never saved: what it waits for is no column.
            job.message = waiting.messages([job]).get(job.pk, job.message)
        return job
    finally:
        close_old_connections()


async def read_job(job_id: str) -> Job | None:
    """Return the job from its row. Raises DatabaseError."""
    return await asyncio.get_running_loop().run_in_executor(_readers, _read_job, job_id)


def _format(event_id: EventId, name: str, data: str) -> bytes:
    return f"id: {event_id}\nevent: {name}\ndata: {data}\n\n".encode()


def _event(event_id: EventId, name: str, payload: dict[str, Any]) -> bytes:
    return _format(event_id, name, orjson.dumps(payload).decode())


def row_id(job: Job) -> EventId:
    return EventId(job.attempt, job.event_seq)


async def come_back() -> AsyncGenerator[bytes, None]:
    """An empty stream: an EventSource gives up for good at any error, but opens this one again."""
    yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()


def _state(job: Job) -> State:
    is_waiting = job.status in WAITING and not job.token
    return job.status, job.attempt, job.message if is_waiting else ""


class JobStream:
    """One client's stream. `last` is the id of the last event it has."""

    def __init__(self, job: Job, last: EventId | None) -> None:
        self.job = job
        self.last = last or EventId(0, 0)
        self._resumes = last is not None
        self._is_over = False
        self._told: State | None = None

    async def events(self) -> AsyncGenerator[bytes, None]:
        yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
        channel = hub()
        with channel.subscribe(self.job.pk) as subscription:
            for chunk in await self._begin(channel):
                yield chunk
            async for chunk in self._follow(channel, subscription):
                yield chunk

    async def _begin(self, channel: Hub) -> list[bytes]:
        # Read after subscribing: a change in between then comes twice rather than never.
        await self._read_row()
        missed = await channel.missed(self.job.pk, self.last) if self._resumes else None
        chunks = [self._snapshot()] if missed is None else self._replay(missed)
        return chunks + self._ending()

    async def _follow(self, channel: Hub, subscription: Subscription) -> AsyncGenerator[bytes, None]:
        checked = written = time.monotonic()
        while not (self._is_over or _closing.is_set()):
            await subscription.wait(POLL_SECONDS)
            chunks = self._live(subscription)
            pause = CHECK_SECONDS if channel.is_connected else POLL_SECONDS
            if subscription.has_gap or time.monotonic() - checked >= pause:
                subscription.has_gap = False
                checked = time.monotonic()
                chunks += await self._catch_up(channel)
            if not chunks and time.monotonic() - written >= COMMENT_SECONDS:
                chunks = [b": still here\n\n"]
            for chunk in chunks:
                written = time.monotonic()
                yield chunk

    def _live(self, subscription: Subscription) -> list[bytes]:
        arrived = list(subscription.events)
        subscription.events.clear()
        return [] if subscription.has_gap else self._replay(arrived)

    def _replay(self, events: list[StreamedEvent]) -> list[bytes]:
        chunks = []
        for event in events:
            if event.id > self.last and not self._is_over:
                self.last = event.id
                self._is_over = event.name == "complete"
                self._note_told(event)
                chunks.append(_format(event.id, event.name, event.data))
        return chunks

    async def _catch_up(self, channel: Hub) -> list[bytes]:
        """Return what was missed, from the kept events where they are held, else from the row."""
        if not await self._read_row():
            return []
        missed = await channel.missed(self.job.pk, self.last)
        chunks = self._replay(missed or [])
        if self._row_has_news():
            chunks.append(self._snapshot())
        return chunks + self._ending()

    def _row_has_news(self) -> bool:
        # The row is up to a second behind a live run: telling it then would send the progress bar backwards.
        is_told = _state(self.job) == self._told and row_id(self.job) <= self.last
        return not (is_told or self._is_over or self.job.is_terminal)

    def _note_told(self, event: StreamedEvent) -> None:
        if event.name == "progress":
            self._told = (orjson.loads(event.data)["status"], event.id.attempt, "")

    async def _read_row(self) -> bool:
        try:
            job = await read_job(self.job.pk)
        except DatabaseError:
            return False
        self._is_over = self._is_over or job is None
        self.job = job or self.job
        return job is not None

    def _snapshot(self) -> bytes:
        self._told = _state(self.job)
        self.last = max(self.last, row_id(self.job))
        return _event(self.last, "progress", progress_payload(self.job))

    def _ending(self) -> list[bytes]:
        """Return `complete`, from the row, if the job has ended and the client was not told yet."""
        if self._is_over or not self.job.is_terminal:
            return []
        self._is_over = True
        return [_event(EventId.of_complete(self.job.attempt), "complete", complete_payload(self.job))]
