"""The writing side: one run's events, and the end of a job."""

import logging
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import orjson
from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from jobs.progress.event_id import EventId

logger = logging.getLogger(__name__)

NUDGE = "changed"
CHANNEL = f"{settings.REDIS_KEY_PREFIX}events"
KEPT_EVENTS = 2000
KEPT_SECONDS = 2 * 86_400
# After a failure Redis is left alone for so long: neither a run nor a request may be slowed down by each thing that it
# cannot send.
BACK_OFF_SECONDS = 2.0

_away_until = 0.0


@cache
def connection() -> Redis:
    return Redis.from_url(settings.REDIS_URL, socket_connect_timeout=0.5, socket_timeout=1.0, health_check_interval=25)


def stream_key(job_id: str) -> str:
    return f"{settings.REDIS_KEY_PREFIX}stream:{job_id}"


def is_up() -> bool:
    try:
        return bool(connection().ping())
    except RedisError:
        return False


def publish(job_id: str, event_id: EventId, name: str, data: dict[str, Any], *, is_kept: bool = True) -> bool:
    """Send an event; False if Redis is away. One that is not `is_kept` reaches only who listens now."""
    body = orjson.dumps(data)
    message = {"job": job_id, "id": str(event_id), "event": name, "data": body.decode()}
    if is_kept:
        return _unless_away(lambda: _keep(job_id, event_id, name, body) and _broadcast(message))
    return _unless_away(lambda: _broadcast(message))


def nudge(job_id: str) -> bool:
    """Tell who listens that the job's row has changed."""
    return _unless_away(lambda: _broadcast({"job": job_id, "event": NUDGE}))


def is_left_alone() -> bool:
    """Return whether this process found Redis away a moment ago."""
    return time.monotonic() < _away_until


def leave_alone() -> None:
    """Ask nothing of Redis for BACK_OFF_SECONDS: it has just not answered, or refused."""
    global _away_until
    _away_until = time.monotonic() + BACK_OFF_SECONDS


def _unless_away(send: Callable[[], object]) -> bool:
    if is_left_alone():
        return False
    try:
        send()
    except RedisError as exc:
        leave_alone()
        logger.warning("Progress is not sent while Redis is away: %s", exc)
        return False
    return True


def _broadcast(message: dict[str, Any]) -> bool:
    connection().publish(CHANNEL, orjson.dumps(message))
    return True


def _keep(job_id: str, event_id: EventId, name: str, body: bytes) -> bool:
    """Append to the job's stream; False if the stream has gone past this id, as it has for a lost run."""
    key = stream_key(job_id)
    try:
        connection().xadd(key, {"event": name, "data": body}, id=str(event_id), maxlen=KEPT_EVENTS, approximate=True)
    except ResponseError as exc:
        if "equal or smaller" not in str(exc):
            raise
        return False
    connection().expire(key, KEPT_SECONDS)
    return True


def forget(job_id: str) -> None:
    """Drop a job's stream. Losing this is harmless: streams expire."""
    try:
        connection().delete(stream_key(job_id))
    except RedisError:
        logger.info("A stream is left to expire", extra={"job": job_id})
