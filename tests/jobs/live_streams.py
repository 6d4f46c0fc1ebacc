"""A claimed job whose events a test sends, and the real ASGI application on a real socket to read them from."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
import uvicorn

from isengard.asgi import application
from jobs import queue, transitions
from jobs.models import Job, Slot
from jobs.narrator import Narrator, announce_end
from jobs.progress.writer import connection
from tests.conftest import wait_until
from tests.jobs.fakes import make_job, this_process
from tests.sse import EventStream, Sent, open_stream


@pytest.fixture(scope="module", name="server")
def serve() -> Iterator[str]:
    """The real ASGI application on a real socket, in a thread."""
    config = uvicorn.Config(application, port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    served = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(served.serve()), daemon=True)
    thread.start()
    wait_until(lambda: served.started, what="the server")
    port = served.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    served.should_exit = True
    thread.join(60)


class LiveRun:
    """A claimed job whose events the test sends."""

    def __init__(self, slot: Slot) -> None:
        self.job = make_job()
        self.claim = queue.claim_next("fake", slot.name, this_process())
        self.job.refresh_from_db()
        self.narrator = Narrator(self.job)

    def tell(self, step: int) -> None:
        self.job.current_step = step
        self.narrator.progress()
        self.narrator.finish()

    def end(self) -> None:
        transitions.complete(self.claim, **transitions.UNCLAIMED)
        self.job.refresh_from_db()
        announce_end(self.job)


@pytest.fixture(name="live")
def live_run(slot: Slot) -> LiveRun:
    return LiveRun(slot)


def url(server: str, job: Job) -> str:
    return f"{server}/api/jobs/{job.pk}/stream"


def subscribed() -> bool:
    return connection().pubsub_numsub("isengard:events")[0][1] > 0


def follow(server: str, live: LiveRun, **options) -> tuple[EventStream, Iterator[Sent], Sent]:
    """Open a stream and return it with its first event, once the server listens to Redis."""
    stream = open_stream(url(server, live.job), **options)
    events = iter(stream)
    first = next(events)
    wait_until(subscribed, what="the server's subscription")
    return stream, events, first
