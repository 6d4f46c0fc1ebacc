"""Blocking calls beside a generator, which goes on ticking meanwhile."""

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from jobs.events import Tick

T = TypeVar("T")


class Background:
    """Runs one call at a time, in one thread of its own."""

    def __init__(self, tick_seconds: float) -> None:
        self._tick_seconds = tick_seconds
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="comfyui-call")

    def run(self, call: Callable[[], T]) -> Generator[Tick, None, T]:
        future = self._executor.submit(call)
        while not wait([future], timeout=self._tick_seconds).done:
            yield Tick()
        return future.result()

    def close(self) -> None:
        """Wait for the call that is under way: what it does at the server must be known before it can be undone."""
        self._executor.shutdown(wait=True)
