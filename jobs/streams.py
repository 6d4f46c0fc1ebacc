"""Server-sent events of one job: the present state or what was missed, then live, `complete` last.

The row is the truth and Redis the quick way: whenever something may have been missed, the row is read again, so that a
stream neither hangs nor lies without Redis.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import orjson
from django.db import DatabaseError, close_old_connections
from django.db.models import Prefetch

from jobs import waiting
from jobs.models import WAITING, Artifact, Job
from jobs.payloads import announced_artifacts, complete_payload, progress_payload
from jobs.progress.event_id import BEFORE_ALL, EventId
from jobs.progress.reader import Hub, StreamedEvent, Subscription, hub

RETRY_MILLISECONDS = 2000
COMMENT_SECONDS = 15.0
# How often the row is read again: as a safeguard while Redis tells the news, and instead of Redis while it is away.
CHECK_SECONDS = 5.0
POLL_SECONDS = 1.0
# A row may be so far behind what its live run has told: a heartbeat, and the time to write it.
ROW_LAG_SECONDS = 1.5
READERS = 2

T = TypeVar("T")

# What a client is told again when it changes while a job waits: status, attempt, and what it waits for.
State = tuple[str, int, str]

# Django gives each request under ASGI a thread of its own, and with it a database connection, for as long as the stream
# is open. These few serve all streams of the process.
_readers = ThreadPoolExecutor(READERS, thread_name_prefix="stream-reader")
_closing = threading.Event()
# Reads that have not begun. Who wants to know the same joins them, so that a hundred clients of a job, all woken
# by the same news, cost two reads and not a hundred. One that has begun may miss what its joiner has heard of.
_asked: dict[tuple[int, str], asyncio.Future[Any]] = {}
_asking = threading.Lock()


def close_all() -> None:
    """End every stream of this process within a second: it shuts down, and clients come back to the next one."""
    _closing.set()


def is_closing() -> bool:
    return _closing.is_set()


def _read_job(job_id: str) -> Job | None:
    close_old_connections()
    try:
        artifacts = Prefetch("artifacts", Artifact.objects.only("job_id", "type", "name", "step"))
        job = Job.objects.select_related("gpu").prefetch_related(artifacts).filter(pk=job_id).first()
        if job is not None:
            # Only told, never saved: what it waits for is no column.
            job.message = waiting.messages([job]).get(job.pk, job.message)
        return job
    finally:
        close_old_connections()


async def read_job(job_id: str) -> Job | None:
    """Return the job from its row, for reading alone: others may get the same object. Raises DatabaseError."""
    return await read_together(job_id, lambda: _read_job(job_id))


async def read_together(what: str, read: Callable[[], T]) -> T:
    """Return what `read` returns in one of the few threads. Those that ask for the same `what` share one read."""
    loop = asyncio.get_running_loop()
    key = (id(loop), what)

    def begin() -> T:
        with _asking:
            del _asked[key]
        return read()

    # Locked: it might begin before it is noted here, and would then be joined for ever.
    with _asking:
        reading = _asked.get(key)
        if reading is None:
            reading = _asked[key] = loop.run_in_executor(_readers, begin)
    # A client that goes away must not take the read from the others.
    return cast(T, await asyncio.shield(reading))


def format_event(event_id: EventId | str, name: str, data: str) -> bytes:
    return f"id: {event_id}\nevent: {name}\ndata: {data}\n\n".encode()


def _event(event_id: EventId, name: str, payload: dict[str, Any]) -> bytes:
    return format_event(event_id, name, orjson.dumps(payload).decode())


def row_id(job: Job) -> EventId:
    return EventId(job.attempt, job.event_seq)


async def come_back() -> AsyncGenerator[bytes, None]:
    """An empty stream: an EventSource gives up for good at any error, but opens this one again."""
    yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()


def state_of(job: Job) -> State:
    return job.status, job.attempt, job.message


class JobStream:
    """One client's stream. `last` is the id of the last event it has."""

    def __init__(self, job: Job, last: EventId | None) -> None:
        self.job = job
        self.last = last or BEFORE_ALL
        # What its earlier connections told may have to be recalled.
        self._resumed_after = last
        self._is_over = False
        self._told: State | None = None
        self._told_artifacts: set[str] = set()

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
        missed = await channel.missed(self.job.pk, self.last) if self._resumed_after else None
        if missed is None:
            await self._let_the_row_catch_up()
            await self._recall(channel)
            return [*self._snapshot(), *self._ending()]
        return self._replay(missed) + await self._tell_row(channel, with_news=False)

    async def _let_the_row_catch_up(self) -> None:
        """A client that has seen more than the row has would otherwise be sent backwards."""
        if row_id(self.job) < self.last and not self.job.is_terminal and self.job.token:
            await asyncio.sleep(ROW_LAG_SECONDS)
            await self._read_row()

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
        # How it ended, and whatever was not told yet, is told from the row.
        subscription.has_gap = subscription.has_gap or any(event.name == "complete" for event in arrived)
        return [] if subscription.has_gap else self._replay(arrived)

    def _replay(self, events: list[StreamedEvent]) -> list[bytes]:
        chunks = []
        for event in events:
            if event.id > self.last and event.name != "complete":
                self.last = event.id
                self._note_told(event)
                chunks.append(format_event(event.id, event.name, event.data))
        return chunks

    async def _catch_up(self, channel: Hub) -> list[bytes]:
        """Return what was missed, from the kept events where they are held, else from the row."""
        if not await self._read_row():
            return []
        missed = await channel.missed(self.job.pk, self.last)
        return self._replay(missed or []) + await self._tell_row(channel, with_news=self._row_has_news())

    async def _tell_row(self, channel: Hub, *, with_news: bool) -> list[bytes]:
        if with_news or self.job.is_terminal:
            await self._recall(channel)
        return (self._snapshot() if with_news else []) + self._ending()

    async def _recall(self, channel: Hub) -> None:
        """Learn, once and only if the row tells files, which of them an earlier connection of this client told."""
        if self._resumed_after is None or not announced_artifacts(self.job):
            return
        after, self._resumed_after = self._resumed_after, None
        told = await channel.files_told(self.job.pk)
        self._told_artifacts.update(name for event_id, name in told if event_id <= after)

    def _row_has_news(self) -> bool:
        if self._is_over or self.job.is_terminal:
            return False
        if row_id(self.job).position == self.last.position and self.job.status in WAITING and not self.job.token:
            return state_of(self.job) != self._told
        # The row is up to a second behind a live run: telling it then would send the progress bar backwards.
        return row_id(self.job) > self.last

    def _note_told(self, event: StreamedEvent) -> None:
        if event.name == "progress":
            told = orjson.loads(event.data)
            self._told = (told["status"], event.id.attempt, told["message"])
            self._told_artifacts.update(artifact["name"] for artifact in told.get("artifacts", ()))

    async def _read_row(self) -> bool:
        try:
            job = await read_job(self.job.pk)
        except DatabaseError:
            return False
        self._is_over = self._is_over or job is None
        self.job = job or self.job
        return job is not None

    def _snapshot(self) -> list[bytes]:
        self._told = state_of(self.job)
        self.last = row_id(self.job) if row_id(self.job) > self.last else self.last.retell()
        return [_event(self.last, "progress", progress_payload(self.job) | self._untold_artifacts())]

    def _ending(self) -> list[bytes]:
        """Return `complete`, from the row, if the job has ended and the client was not told yet."""
        if self._is_over or not self.job.is_terminal:
            return []
        self._is_over = True
        payload = complete_payload(self.job) | self._untold_artifacts()
        return [_event(EventId.of_complete(self.job.attempt), "complete", payload)]

    def _untold_artifacts(self) -> dict[str, Any]:
        """Return those that this stream has not told: their event may be lost with Redis, or with its worker."""
        untold = [found for found in announced_artifacts(self.job) if found["name"] not in self._told_artifacts]
        self._told_artifacts.update(found["name"] for found in untold)
        return {"artifacts": untold} if untold else {}
