"""What a process does with a Redis that it found away, that is silent on an open line, or that somebody else uses."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client
from redis.asyncio.client import PubSub

from jobs import bell
from jobs.models import Job
from jobs.progress import reader, writer
from jobs.progress.event_id import EventId
from jobs.progress.reader import Hub
from jobs.progress.writer import CHANNEL, connection, publish
from jobs.streams import read_job
from tests.faults.proxy import Proxy
from tests.jobs.fakes import FakeKind, make_job

JOB = "fake-1"


async def until(condition: Callable[[], object], *, seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def with_hub(use: Callable[[Hub], Awaitable[None]]) -> None:
    hub = Hub()
    try:
        await use(hub)
    finally:
        if hub._task is not None:
            hub._task.cancel()
            await asyncio.wait([hub._task])
        await hub.redis.aclose()


@pytest.fixture
def relay(settings) -> Iterator[Proxy]:
    """A line of the reading side's own; the writing side keeps the one that it has."""
    connection()
    with Proxy(django_settings.REDIS_SOCKET) as relay:
        settings.REDIS_URL = f"redis://{relay.address}/0"
        yield relay


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis answers, but this process has just found that it does not."""
    monkeypatch.setattr(writer, "_away_until", math.inf)


def test_who_found_redis_away_rings_in_vain_at_once_and_not_at_all(away: None) -> None:
    assert not bell.ring("fake")
    assert bell.is_silent("fake")


def test_a_ring_that_fails_lets_the_next_ones_wait_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("connection refused")

    monkeypatch.setattr(writer, "_away_until", -math.inf)
    monkeypatch.setattr(writer, "BACK_OFF_SECONDS", 600.0)
    monkeypatch.setattr(bell.current_app, "send_task", refuse)
    assert not bell.ring("fake")
    assert writer.is_left_alone()


@pytest.mark.django_db
def test_who_found_redis_away_counts_no_requests(away: None, settings) -> None:
    settings.RATE_LIMITS = "contract"
    answers = [Client().post("/api/training", {}, content_type="application/json").status_code for _ in range(7)]
    assert answers == [400] * 7


def test_a_line_on_which_redis_falls_silent_is_found_and_replaced(
    relay: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "LISTEN_SECONDS", 0.2)
    monkeypatch.setattr(reader, "RECONNECT_SECONDS", 0.1)

    async def listen(hub: Hub) -> None:
        with hub.subscribe(JOB) as subscription:
            await until(lambda: hub.is_connected)
            relay.freeze(only_open=True)
            await until(lambda: not hub.is_connected)
            # The new line is well, and may be slow.
            monkeypatch.setattr(reader, "LISTEN_SECONDS", 60.0)
            await until(lambda: hub.is_connected)
            subscription.events.clear()
            assert publish(JOB, EventId(1, 1), "progress", {})
            await until(lambda: subscription.events)

    asyncio.run(with_hub(listen))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What a line said that was asked whether it lives: soon after it fell quiet, and with time for its answer."""
    get_message, answers = PubSub.get_message, []
    is_quiet = False

    async def listen(line: PubSub, **_: float) -> dict[str, Any] | None:
        nonlocal is_quiet
        message = await get_message(line, timeout=60.0 if is_quiet else 0.05)
        is_quiet = message is None
        if message is not None and message["type"] == "pong":
            answers.append(message)
        return message

    monkeypatch.setattr(PubSub, "get_message", listen)
    return answers


def test_a_quiet_line_is_not_taken_for_a_dead_one(relay: Proxy, answers: list[dict[str, Any]]) -> None:
    async def listen(hub: Hub) -> None:
        with hub.subscribe(JOB) as subscription:
            await until(lambda: hub.is_connected)
            subscription.has_gap = False
            answers.clear()
            await until(lambda: len(answers) >= 3)
            assert hub.is_connected
            # It would have told of the gap that a new connection leaves.
            assert not subscription.has_gap

    asyncio.run(with_hub(listen))


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"7", b'{"job": 3}', b'{"job": "fake-1", "id": 7}'])
def test_what_somebody_else_writes_into_the_channel_is_passed_over(body: bytes) -> None:
    async def listen(hub: Hub) -> None:
        with hub.subscribe(JOB) as subscription:
            await until(lambda: hub.is_connected)
            connection().publish(CHANNEL, body)
            assert publish(JOB, EventId(1, 1), "progress", {}, is_kept=False)
            await until(lambda: subscription.events)
            assert hub.is_connected

    asyncio.run(with_hub(listen))


def test_a_hundred_clients_that_come_back_at_once_share_a_few_connections() -> None:
    async def come_back(hub: Hub) -> None:
        # Who waits for a connection for too long gets nothing, which is not what is asked about here.
        hub.redis.connection_pool.timeout = 60
        hub.redis.connection_pool.connection_kwargs["socket_timeout"] = 60.0
        assert publish(JOB, EventId(1, 1), "progress", {})
        found = await asyncio.gather(*(hub.missed(JOB, EventId(1, 0)) for _ in range(100)))
        assert all(events and events[0].id == EventId(1, 1) for events in found)
        held = hub.redis.connection_pool.get_connection_count()
        assert sum(count for count, _ in held) <= reader.MAX_CONNECTIONS

    writer.forget(JOB)
    asyncio.run(with_hub(come_back))
    writer.forget(JOB)


def test_while_redis_is_away_streams_do_not_wait_for_it_each_time(
    relay: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay.freeze()
    monkeypatch.setattr(reader, "BACK_OFF_SECONDS", 600.0)
    waits: list[str] = []

    async def ask_often(hub: Hub) -> None:
        ask = hub._range

        async def wait(job_id: str, **how: Any) -> Any:
            waits.append(job_id)
            return await ask(job_id, **how)

        monkeypatch.setattr(hub, "_range", wait)
        assert [await hub.missed(JOB, EventId(1, 0)) for _ in range(20)] == [None] * 20
        assert waits == [JOB]

    asyncio.run(with_hub(ask_often))


@pytest.mark.django_db(transaction=True)
def test_a_hundred_readers_of_a_row_share_their_reads_and_each_sees_what_is_written_by_then(
    fake_kind: FakeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    job = make_job()
    monkeypatch.setattr("jobs.streams._read_job", _counting(reads))

    async def write_and_read() -> None:
        for step in range(1, 31):
            await asyncio.to_thread(Job.objects.filter(pk=job.pk).update, current_step=step, total_steps=100)
            found = await asyncio.gather(*(read_job(job.pk) for _ in range(100)))
            assert {row.current_step for row in found if row is not None} == {step}

    asyncio.run(write_and_read())
    assert len(reads) < 300


def _counting(reads: list[str]) -> Callable[[str], Job | None]:
    from jobs.streams import _read_job

    def read(job_id: str) -> Job | None:
        reads.append(job_id)
        return _read_job(job_id)

    return read
