"""More time for a Redis and a clock than the product gives them: a busy machine may stand still for seconds.

Without it a test would see what is right for a Redis that is away, and is not what it is about.
"""

import math
import time
from types import SimpleNamespace
from typing import Any

import pytest
from celery import current_app
from redis import Redis

from jobs.progress import server, writer

PATIENCE_SECONDS = 60.0
OPTIONS = {"socket_connect_timeout": PATIENCE_SECONDS, "socket_timeout": PATIENCE_SECONDS}


def wait_for_redis(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Have each ring heard, each request counted, and each question answered, however slowly."""
    monkeypatch.setattr(writer, "_away_until", -math.inf)
    redis = Redis.from_url(settings.REDIS_URL, **OPTIONS)
    for asking in (writer, server):
        monkeypatch.setattr(asking, "connection", lambda: redis)
    settings.CACHES = {"default": settings.CACHES["default"] | {"OPTIONS": OPTIONS}}
    # Read when a pool makes its first connection.
    celery: Any = current_app
    monkeypatch.setitem(celery.conf, "broker_transport_options", celery.conf.broker_transport_options | OPTIONS)
    monkeypatch.setattr(celery, "_pool", None)
    monkeypatch.setattr(celery.amqp, "_producer_pool", None)


def hold_the_minute(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Have every request of a test counted, and all of them in one minute: the limits count each minute anew."""
    wait_for_redis(monkeypatch, settings)
    now = time.time()
    monkeypatch.setattr("django_ratelimit.core.time", SimpleNamespace(time=lambda: now))
