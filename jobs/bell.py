"""Doorbells: a Celery message that names a kind of job. Lost, late and doubled ones are harmless."""

import logging
from typing import Any

from celery import current_app
from kombu.exceptions import OperationalError

from jobs.progress import RedisError
from jobs.progress.writer import is_left_alone, leave_alone

logger = logging.getLogger(__name__)

WORK = "jobs.work"
BROKER_AWAY = (OperationalError, RedisError, OSError)


def ring(kind: str) -> bool:
    """Wake a worker of this kind. False, at once, if Redis is away; the sweep rings later."""
    if is_left_alone():
        return False
    try:
        current_app.send_task(WORK, kwargs={"kind": kind}, queue=kind, retry=False)
    except BROKER_AWAY as exc:
        leave_alone()
        logger.warning("Could not ring for %s: %s", kind, exc)
        return False
    return True


def is_silent(kind: str) -> bool:
    """Return whether no ring of this kind waits to be heard. False if Redis is away: ringing would be in vain."""
    try:
        with current_app.connection_for_read() as connection:
            channel: Any = connection.default_channel
            return int(channel.queue_declare(kind).message_count) == 0
    except BROKER_AWAY:
        return False
