"""How long Celery's processes wait for a Redis that is away: always the same short while, and never without end."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery
from django.conf import settings

from isengard import reconnecting
from isengard.reconnecting import PatientConsumer, PatientScheduler
from jobs import bell
from tests.faults.proxy import Proxy

Connect = Callable[[Celery, Path], None]


@pytest.fixture
def relay() -> Iterator[Proxy]:
    with Proxy(settings.REDIS_SOCKET) as relay:
        yield relay


def app_behind(relay: Proxy) -> Celery:
    app = Celery(broker=f"redis://{relay.address}/0", set_as_current=False)
    app.conf.broker_transport_options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    app.conf.broker_connection_max_retries = None
    app.conf.broker_connection_retry_on_startup = True
    return app


def connect_worker(app: Celery, _folder: Path) -> None:
    consumer = PatientConsumer.__new__(PatientConsumer)
    consumer.app, consumer.first_connection_attempt, consumer.broker_connection_retry_attempt = app, True, 0
    with consumer.ensure_connected(app.connection_for_read()) as connection:
        assert connection.connected


def connect_clock(app: Celery, folder: Path) -> None:
    clock = PatientScheduler(app=app, schedule_filename=str(folder / "schedule"), lazy=True)
    with clock._ensure_connected() as connection:
        assert connection.connected


@pytest.mark.parametrize("connect", [connect_worker, connect_clock])
def test_the_pauses_between_attempts_do_not_grow(
    connect: Connect, relay: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def note(_: Exception, seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 5:
            relay.heal()

    monkeypatch.setattr(reconnecting, "RECONNECT_SECONDS", 0.05)
    monkeypatch.setattr(reconnecting, "_tell_of_absence", note)
    relay.refuse()
    connect(app_behind(relay), tmp_path)
    # A relay that is back may be too late for the next attempt, too.
    assert len(pauses) >= 5
    assert pauses == pytest.approx([0.05] * len(pauses))


def test_a_ring_over_a_line_that_falls_silent_is_given_up(relay: Proxy) -> None:
    app = app_behind(relay)
    app.send_task("tests.nothing", queue="nobody", retry=False)
    relay.freeze()
    began = time.monotonic()
    with pytest.raises(bell.BROKER_AWAY):
        app.send_task("tests.nothing", queue="nobody", retry=False)
    assert time.monotonic() - began < 60
    relay.cut()
    app.close()
