import math
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from celery import current_app
from django.utils import timezone
from redis import ConnectionPool

from jobs import lease
from jobs.models import Slot
from jobs.progress import writer
from tests.jobs.fakes import FakeKind, make_slot, registered

PATIENCE = {"socket_connect_timeout": 60.0, "socket_timeout": 60.0}


@pytest.fixture(scope="package", autouse=True)
def _patience_with_redis(valkey: Path) -> Iterator[None]:
    """Let a Redis that does not answer for a second be slow, and not away: what is rung and told then does arrive."""
    pool, celery = writer.connection().connection_pool, current_app
    with pytest.MonkeyPatch.context() as patch:
        # Whatever tests of other folders found a moment ago.
        patch.setattr(writer, "_away_until", -math.inf)
        for name, seconds in PATIENCE.items():
            patch.setitem(pool.connection_kwargs, name, seconds)
        patch.setitem(celery.conf, "broker_transport_options", celery.conf.broker_transport_options | PATIENCE)
        # Read when a pool makes its first connection.
        patch.setattr(celery, "_pool", None)
        patch.setattr(celery.amqp, "_producer_pool", None)
        _begin_anew(pool)
        yield
    _begin_anew(pool)


def _begin_anew(pool: ConnectionPool) -> None:
    pool.disconnect()
    pool.reset()


@pytest.fixture
def fake_kind() -> Iterator[FakeKind]:
    kind = FakeKind()
    with registered(kind):
        yield kind


@pytest.fixture
def slot(db: None, fake_kind: FakeKind) -> Slot:
    return make_slot(fake_kind)


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """Let the wall clock stand still, so that what is counted from it comes out the same on a slow machine."""
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    return now


@pytest.fixture
def no_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """For runs inside of a test's transaction: a beat looks from outside, where there is no such claim."""
    monkeypatch.setattr(lease, "BEAT_SECONDS", 3600.0)
