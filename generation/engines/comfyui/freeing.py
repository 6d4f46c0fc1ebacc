"""Making a server give back what it holds of its GPU, for whoever has the GPU next."""

import time
from collections.abc import Generator, Iterator
from contextlib import closing

from generation.engines.comfyui.address import host_of
from generation.engines.comfyui.client import Client
from generation.engines.comfyui.errors import ServerAway
from jobs.events import Event, Log, LogLevel, Tick

FREE_SECONDS = 10.0
POLL_SECONDS = 0.1
# It answers at once, whatever it works on; one that does not is not waited for.
CONNECT_SECONDS = 1.0
READ_SECONDS = 2.0
# What torch keeps without any model: buffers and the workspaces of its libraries.
NOTHING_BYTES = 2**30
GIBIBYTE = 2**30


def free_gpu(server_url: str, *, seconds: float = FREE_SECONDS) -> Iterator[Event]:
    """Ask the server to unload its models and wait until it shows that it did. Raises nothing: it tells in the log.

    It unloads when its running prompt is over. A server on the CPU shows nothing, and is not waited for.
    """
    host = host_of(server_url)
    with closing(Client(server_url, connect_seconds=CONNECT_SECONDS, read_seconds=READ_SECONDS)) as client:
        try:
            before = _held(client)
            client.free_memory()
            left = yield from _wait(client, seconds)
        except ServerAway as exc:
            if not exc.is_refused:
                yield _told(f"{exc} It may hold some of the GPU's memory.", level="WARNING")
            return
    if left > NOTHING_BYTES:
        yield _told(f"ComfyUI at {host} still holds {_amount(left)} of the GPU's memory.", level="WARNING")
    elif before > NOTHING_BYTES:
        yield _told(f"ComfyUI at {host} gave back {_amount(before - left)} of the GPU's memory.")


def _wait(client: Client, seconds: float) -> Generator[Event, None, int]:
    """Return how many bytes are left."""
    until = time.monotonic() + seconds
    while (held := _held(client)) > NOTHING_BYTES and time.monotonic() < until:
        yield Tick()
        time.sleep(POLL_SECONDS)
    return held


def _held(client: Client) -> int:
    try:
        return client.gpu_bytes()
    except ServerAway:
        # Whether it frees its memory matters more than what it says of it.
        return 0


def _told(message: str, *, level: LogLevel = "INFO") -> Log:
    return Log(message=message, level=level, event="gpu.freed")


def _amount(size_bytes: int) -> str:
    return f"{size_bytes / GIBIBYTE:.1f} GiB"
