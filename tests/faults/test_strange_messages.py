"""Messages that are not ours, or come twice or late: workers take no harm, and no job runs twice."""

import base64
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from tests.api_client import Api
from tests.conftest import wait_until
from tests.faults.stack_redis import redis_of
from tests.faults.standing_still import database_of, stop
from tests.stack import ROOT, Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

QUEUES = ("training", "generation", "maintenance")
Message = dict[str, Any]


def envelope(
    task: str | None = "jobs.work", *, body: str = "", kwargs: Any = None, **headers: object
) -> dict[str, Any]:
    """Return a message as the workers expect it, save for what is given."""
    content = json.dumps([[], {"kind": "generation"} if kwargs is None else kwargs, {}])
    tag = str(uuid.uuid4())
    return {
        "body": body or base64.b64encode(content.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "id": tag, "root_id": tag} | ({"task": task} if task else {}) | headers,
        "properties": {
            "correlation_id": tag,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "generation"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": tag,
        },
    }


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


MALFORMED: dict[str, bytes | Message] = {
    "nothing": b"",
    "no JSON": b"hello?",
    "no text": b"\xff\xfe\x00",
    "a number": b"17",
    "an empty list": b"[]",
    "an empty object": b"{}",
    "no properties": {"body": "", "headers": {}},
    "no headers": {key: value for key, value in envelope().items() if key != "headers"},
    "a body that is no base64": envelope(body="!"),
    "a body that is no JSON": envelope(body=encoded("{")),
    "a body of another shape": envelope(body=encoded("{}")),
    "a pickle": envelope() | {"content-type": "application/x-python-serialize"},
    "an unknown encoding": envelope() | {"content-encoding": "klingon"},
    "no task": envelope(None),
    "an unknown task": envelope("jobs.destroy"),
    "a task of the machinery": envelope("celery.chord_unlock"),
    "an unknown kind": envelope(kwargs={"kind": "x" * 1000}),
    "a kind that is none": envelope(kwargs={"kind": {"a": 1}}),
    "no kind": envelope(kwargs={}),
    "too much": envelope(kwargs={"kind": "generation", "job": "gen-1"}),
    "no date to wait for": envelope(eta="tomorrow"),
    "no date to end at": envelope(expires="yesterday"),
    "a limit of a second": envelope(timelimit=[1, 1]),
}


@pytest.fixture
def redis(stack: Stack) -> Iterator[Redis]:
    with redis_of(stack) as connection:
        yield connection


def put(redis: Redis, queue: str, message: bytes | Message) -> None:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    redis.lpush(f"isengard:{queue}", body)


def are_heard(redis: Redis) -> bool:
    return not any(redis.llen(f"isengard:{queue}") for queue in QUEUES)


def workers(stack: Stack) -> set[int]:
    # Their own children, too, have this command line until they have become somebody else.
    supervisor = stack.process.pid
    return {process.pid for process in stack.processes("celery", "worker") if process.ppid() == supervisor}


def test_messages_that_nobody_can_read_end_no_worker_and_hold_up_no_job(api: Api, stack: Stack, redis: Redis) -> None:
    before = workers(stack)
    running = api.train(api.make_character(), steps=300)
    for queue in QUEUES:
        for message in MALFORMED.values():
            put(redis, queue, message)
    wait_until(lambda: are_heard(redis), seconds=60, what="the end of the strange messages")
    assert api.wait_for(api.generate())["status"] == "completed"
    ended = api.wait_for(running)
    assert (ended["status"], ended["attempt"]) == ("completed", 1)
    assert workers(stack) == before


def test_rings_that_come_by_the_dozen_and_late_start_a_job_once(api: Api, stack: Stack, redis: Redis) -> None:
    wanted = [api.generate(count=2) for _ in range(3)]
    for _ in range(8):
        put(redis, "generation", envelope())
    # Those that a restarted worker finds when nobody waits for them any more.
    put(redis, "generation", envelope(expires="2001-01-01T00:00:00+00:00"))
    put(redis, "generation", envelope(eta="2001-01-01T00:00:00+00:00"))
    ended = [api.wait_for(job) for job in wanted]
    assert [(job["status"], job["attempt"], len(job["output_paths"])) for job in ended] == [("completed", 1, 2)] * 3
    wait_until(lambda: are_heard(redis), seconds=60, what="the end of the rings")
    ended = [api.job(job) for job in wanted]
    assert [(job["status"], job["attempt"], len(job["output_paths"])) for job in ended] == [("completed", 1, 2)] * 3


def test_a_job_whose_ring_is_lost_starts_while_the_clock_and_its_worker_stand_still(
    api: Api, stack: Stack, redis: Redis
) -> None:
    standing_still = [*stack.processes("celery", " beat "), *stack.processes("maintenance@")]
    assert len(standing_still) == 2
    (generator,) = stack.processes("generation@")
    try:
        for process in standing_still:
            stop(process, database_of(stack))
        # Not even its own worker hears the ring, on whose line it would wait already: only the rows tell of the job.
        stop(generator, database_of(stack))
        redis.client_kill_filter(_type="normal", skipme=True)
        lost = api.generate()
        redis.flushall()
        generator.resume()
        assert api.wait_for(lost)["status"] == "completed"
    finally:
        for process in [generator, *standing_still]:
            process.resume()


def test_two_clocks_ring_no_job_twice(api: Api, stack: Stack, redis: Redis) -> None:
    argv = [sys.executable, "-m", "celery", "-A", "isengard", "--quiet", "beat", "--pidfile="]
    second = subprocess.Popen(
        argv, cwd=ROOT, env=stack.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        jobs = [api.generate(steps=30) for _ in range(4)]
        assert [(api.wait_for(job)["status"], api.job(job)["attempt"]) for job in jobs] == [("completed", 1)] * 4
        assert second.poll() is None
        wait_until(lambda: are_heard(redis), what="the end of what both clocks sent")
    finally:
        second.kill()
        second.wait(10)
