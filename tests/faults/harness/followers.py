"""Clients of the event streams, who come back after every break as an EventSource does."""

import queue
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.faults.harness.ledger import Promise
from tests.sse import open_stream

SILENCE_SECONDS = 25.0
PAUSE_SECONDS = 1.0
HAS_NOTHING_MORE = 204


@dataclass
class Story:
    """What one client was told of a job: the ids as they came, and the data of the event that ended the stream."""

    job: str
    ids: list[str] = field(default_factory=list)
    complete: dict[str, Any] | None = None
    breaks: int = 0
    is_over: bool = False


class Followers:
    """A few threads, each of which follows one job at a time to its end."""

    def __init__(self, url: str, how_many: int) -> None:
        self._url = url
        self._wanted: queue.Queue[Story] = queue.Queue()
        self._is_over = threading.Event()
        self.stories: list[Story] = []
        self._threads = [threading.Thread(target=self._follow_on, daemon=True) for _ in range(how_many)]
        for thread in self._threads:
            thread.start()

    def follow(self, promise: Promise) -> None:
        # Noted before it waits for a thread: whoever asks must not find it nowhere.
        story = Story(promise.job)
        self.stories.append(story)
        self._wanted.put(story)

    @property
    def are_idle(self) -> bool:
        return all(story.is_over for story in list(self.stories))

    def stop(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(SILENCE_SECONDS + 5)

    def _follow_on(self) -> None:
        while not self._is_over.is_set():
            with suppress(queue.Empty):
                self._follow(self._wanted.get(timeout=0.2))

    def _follow(self, story: Story) -> None:
        while not (story.is_over or self._is_over.is_set()):
            with suppress(requests.RequestException, OSError, ValueError):
                self._listen(story)
            if not story.is_over:
                story.breaks += 1
                self._is_over.wait(PAUSE_SECONDS)

    def _listen(self, story: Story) -> None:
        last = story.ids[-1] if story.ids else None
        url = f"{self._url}/api/jobs/{story.job}/stream"
        with open_stream(url, last_event_id=last, timeout=SILENCE_SECONDS) as stream:
            if stream.response.status_code == HAS_NOTHING_MORE:
                story.is_over = True
                return
            stream.response.raise_for_status()
            for event in stream:
                if event.event in ("progress", "complete"):
                    story.ids.append(event.id)
                if event.event == "complete":
                    story.complete = event.data
                    story.is_over = True
                    return
