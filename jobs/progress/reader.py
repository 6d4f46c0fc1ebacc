"""The reading side: one subscription per server process, fanned out to its clients."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import cast
from weakref import WeakKeyDictionary

import orjson
from django.conf import settings
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from jobs.progress.event_id import EventId
from jobs.progress.writer import BACK_OFF_SECONDS, CHANNEL, stream_key

logger = logging.getLogger(__name__)

# A client that is further behind gets its events from the stream, so that none of them waits for it in memory.
MAX_BEHIND = 200
FIRST_EVENT = EventId(1, 1)
# In place of a job's id: the events of all jobs.
EVERY_JOB = "*"
RECONNECT_SECONDS = 1.0
# A Redis that accepts and never answers is found within twice this time.
LISTEN_SECONDS = 3.0
# A hundred clients that come back at once share these; more would stay open for good.
MAX_CONNECTIONS = 8
# uvloop raises a RuntimeError where a connection was reset while nobody looked.
AWAY = (RedisError, OSError, RuntimeError)

Entry = tuple[bytes, dict[bytes, bytes]]
# A file's name, and the event that told it.
NamedFile = tuple[EventId, str]


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    id: EventId
    name: str
    data: str


@dataclass(slots=True)
class Subscription:
    """What arrived for one client. `has_gap` means: look at the stream and the row, something may be missing."""

    events: deque[StreamedEvent] = field(default_factory=deque)
    has_gap: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, event: StreamedEvent) -> None:
        if len(self.events) >= MAX_BEHIND:
            self.events.clear()
            self.has_gap = True
        self.events.append(event)
        self.news.set()

    def mark_gap(self) -> None:
        self.has_gap = True
        self.news.set()

    async def wait(self, seconds: float) -> None:
        """Wait for news, at most so long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.news.wait(), seconds)
        self.news.clear()


class Hub:
    """The one reader of this event loop. Runs from the first subscriber on."""

    def __init__(self) -> None:
        self.is_connected = False
        self._subscriptions: dict[str, set[int]] = {}
        self._by_id: dict[int, Subscription] = {}
        self._task: asyncio.Task[None] | None = None
        self._away_until = 0.0
        self._recalling: dict[str, asyncio.Task[list[NamedFile]]] = {}
        self.redis = Redis.from_pool(
            BlockingConnectionPool.from_url(
                settings.REDIS_URL,
                max_connections=MAX_CONNECTIONS,
                timeout=1,
                socket_connect_timeout=1.0,
                socket_timeout=1.0,
            )
        )

    @contextlib.contextmanager
    def subscribe(self, job_id: str) -> Iterator[Subscription]:
        subscription = Subscription()
        self._by_id[id(subscription)] = subscription
        self._subscriptions.setdefault(job_id, set()).add(id(subscription))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._read_for_ever())
        try:
            yield subscription
        finally:
            self._forget(job_id, subscription)

    def _forget(self, job_id: str, subscription: Subscription) -> None:
        del self._by_id[id(subscription)]
        self._subscriptions[job_id].discard(id(subscription))
        if not self._subscriptions[job_id]:
            del self._subscriptions[job_id]

    async def _read_for_ever(self) -> None:
        try:
            while True:
                await self._read_until_it_breaks()
                self.is_connected = False
                self._tell_all_of_a_gap()
                await asyncio.sleep(RECONNECT_SECONDS)
        finally:
            self.is_connected = False
            await self.redis.aclose()

    async def _read_until_it_breaks(self) -> None:
        try:
            await self._read()
        except AWAY as exc:
            # Once each time: it tries again every second.
            level = logging.WARNING if self.is_connected else logging.DEBUG
            logger.log(level, "Live progress falls back to the database while Redis is away: %s", exc)

    async def _read(self) -> None:
        async with self.redis.pubsub() as pubsub:
            await pubsub.subscribe(CHANNEL)
            async for message in _messages(pubsub):
                if message["type"] == "subscribe":
                    self.is_connected = True
                    self._tell_all_of_a_gap()
                else:
                    self._deliver(message["data"])

    def _deliver(self, body: bytes) -> None:
        try:
            message = orjson.loads(body)
            job_id, event_id = str(message["job"]), EventId.parse(message.get("id", ""))
            event = StreamedEvent(event_id, message["event"], message["data"]) if event_id else None
        except (ValueError, KeyError, TypeError, AttributeError):
            logger.warning("Somebody else writes into the channel %s: %.100r", CHANNEL, body)
            return
        for subscription in self._listeners(job_id, event):
            if event is None:
                subscription.mark_gap()
            else:
                subscription.add(event)

    def _listeners(self, job_id: str, event: StreamedEvent | None) -> list[Subscription]:
        keys = set(self._subscriptions.get(job_id, ()))
        # Pictures are only for who looks at that one job.
        if event is None or event.name != "preview":
            keys |= self._subscriptions.get(EVERY_JOB, set())
        return [self._by_id[key] for key in keys]

    def _tell_all_of_a_gap(self) -> None:
        for subscription in self._by_id.values():
            subscription.mark_gap()

    async def missed(self, job_id: str, after: EventId) -> list[StreamedEvent] | None:
        """Return the job's events after an id; None if they are not all held any more, or Redis is away."""
        if time.monotonic() < self._away_until:
            return None
        try:
            entries = await self._range(job_id, start=after.position)
            # Read last: what is trimmed in between is then noticed.
            first = await self._range(job_id, start="-", count=1)
        except AWAY:
            self._away_until = time.monotonic() + BACK_OFF_SECONDS
            return None
        if not first or _id_of(first[0]) > max(after, FIRST_EVENT):
            return None
        return [event for event in map(_event_of, entries) if event.id > after]

    async def files_told(self, job_id: str) -> list[NamedFile]:
        """Return the files that the kept events of the job name; none where Redis is away.

        All kept events are read for that, so that those who ask meanwhile share the answer.
        """
        if job_id not in self._recalling:
            reading = self._recalling[job_id] = asyncio.get_running_loop().create_task(self._read_files_told(job_id))
            reading.add_done_callback(lambda _: self._recalling.pop(job_id, None))
        return await asyncio.shield(self._recalling[job_id])

    async def _read_files_told(self, job_id: str) -> list[NamedFile]:
        if time.monotonic() < self._away_until:
            return []
        try:
            return list(_files_of(await self._range(job_id, start="-")))
        except AWAY:
            return []

    async def _range(self, job_id: str, *, start: str, count: int | None = None) -> list[Entry]:
        return cast(list[Entry], await self.redis.xrange(stream_key(job_id), min=start, max="+", count=count))


async def _messages(pubsub) -> AsyncIterator[dict]:  # type: ignore[no-untyped-def, type-arg]
    """Yield what arrives. Raises ConnectionError when the other end does not answer: a half-open connection says
    nothing of itself."""
    is_asked = False
    while True:
        message = await pubsub.get_message(timeout=LISTEN_SECONDS)
        if message is None and is_asked:
            raise RedisConnectionError("it does not answer")
        is_asked = message is None
        if is_asked:
            await pubsub.ping()
        elif message["type"] != "pong":
            yield message


def _id_of(entry: Entry) -> EventId:
    return EventId.parse(entry[0].decode()) or EventId(0, 0)


def _files_of(entries: list[Entry]) -> Iterator[NamedFile]:
    for entry in entries:
        data = entry[1][b"data"]
        # Most events name none, and need not be read.
        if entry[1][b"event"] == b"progress" and b'"artifacts"' in data:
            for file in orjson.loads(data).get("artifacts", ()):
                yield _id_of(entry), file["name"]


def _event_of(entry: Entry) -> StreamedEvent:
    return StreamedEvent(_id_of(entry), entry[1][b"event"].decode(), entry[1][b"data"].decode())


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub() -> Hub:
    """Return this event loop's hub."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]
