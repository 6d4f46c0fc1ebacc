"""How Celery's processes wait for a Redis that is away, or refuses what is asked of it.

By itself Celery waits longer each time, up to half a minute: so long jobs would lie there when Redis is back.
"""

import logging
import time

from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown
from kombu import Connection

from isengard.channel import ForgivingChannel
from isengard.clock import SteadyScheduler

logger = logging.getLogger(__name__)

RECONNECT_SECONDS = 2
REFUSED_SECONDS = 1


class PatientConsumer(Consumer):
    def ensure_connected(self, conn: Connection) -> Connection:
        # Before the first channel, which is made together with the connection.
        conn.transport.Channel = ForgivingChannel  # type: ignore[attr-defined]
        conn.ensure_connection(
            _tell_of_absence,
            interval_start=RECONNECT_SECONDS,
            interval_max=RECONNECT_SECONDS,
            # Otherwise a worker that is told to stop would wait for Redis first.
            callback=maybe_shutdown,
        )
        return super().ensure_connected(conn)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        super().on_connection_error_before_connected(exc)
        # A full Redis takes connections and refuses commands: without a pause that is a loop as fast as it can be.
        time.sleep(REFUSED_SECONDS)


class PatientScheduler(SteadyScheduler):
    def _ensure_connected(self) -> Connection:
        return self.connection.ensure_connection(
            _tell_of_absence, interval_start=RECONNECT_SECONDS, interval_max=RECONNECT_SECONDS
        )


def _tell_of_absence(exc: Exception, seconds: float) -> None:
    logger.warning("Redis is away; this process tries again in %.0f s: %s", seconds, exc)
