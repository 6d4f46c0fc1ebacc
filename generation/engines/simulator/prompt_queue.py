"""Prompts that wait, and the one that runs."""

import heapq
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

SENSITIVE_KEYS = ("auth_token_comfy_org", "api_key_comfy_org")


class DuplicateEntry(Exception):
    """Number and id equal those of a waiting prompt, which ComfyUI's heap cannot compare any further."""


@dataclass(slots=True, kw_only=True)
class QueuedPrompt:
    """`number` is the priority: the lowest runs first."""

    number: float
    prompt_id: str
    graph: dict[str, Any]
    extra_data: dict[str, Any]
    outputs: list[str]
    created_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)

    def __post_init__(self) -> None:
        public = {key: value for key, value in self.extra_data.items() if key not in SENSITIVE_KEYS}
        self.extra_data = {**public, "create_time": self.created_ms}

    def __lt__(self, other: "QueuedPrompt") -> bool:
        return self.key < other.key

    @property
    def key(self) -> tuple[float, str]:
        return self.number, self.prompt_id

    @property
    def client_id(self) -> str | None:
        given = self.extra_data.get("client_id")
        return None if given is None else str(given)

    def is_twin_of(self, other: "QueuedPrompt") -> bool:
        return self.key == other.key

    def as_item(self) -> list[Any]:
        return [self.number, self.prompt_id, self.graph, self.extra_data, self.outputs]


class PromptQueue:
    """Safe to use from several threads. `announce` is called when the length may have changed, and with the lock held.

    As in ComfyUI, whoever sees a change can be sure that it was announced, and each one before the next.
    """

    def __init__(self, announce: Callable[[], None]) -> None:
        self._announce = announce
        self._changed = threading.Condition()
        self._heap: list[QueuedPrompt] = []
        self._running: QueuedPrompt | None = None
        self._next_number = 0
        self._free_wanted: dict[str, bool] = {}

    def draw_number(self, *, is_front: bool) -> int:
        """Count up, also for prompts that turn out to be invalid; those for the front get a negative number."""
        with self._changed:
            number = self._next_number
            self._next_number += 1
        return -number if is_front else number

    def put(self, prompt: QueuedPrompt) -> None:
        """Raises DuplicateEntry, although the prompt is in the queue then. Real clients have to live with that."""
        with self._changed:
            is_duplicate = any(prompt.is_twin_of(waiting) for waiting in self._heap)
            heapq.heappush(self._heap, prompt)
            self._changed.notify()
            if is_duplicate:
                raise DuplicateEntry(prompt.prompt_id)
            self._announce()

    def take(self) -> QueuedPrompt | None:
        """Wait for the next prompt and make it the running one; None if memory is to be freed first."""
        with self._changed:
            self._changed.wait_for(lambda: self._heap or self._free_wanted)
            if not self._heap:
                return None
            prompt = self._running = heapq.heappop(self._heap)
            self._announce()
        return prompt

    def finish(self, prompt: QueuedPrompt, remember: Callable[[], None]) -> bool:
        """Call `remember`, then let go of `prompt`; False, without a word, if it was forgotten meanwhile."""
        with self._changed:
            if self._running is not prompt:
                return False
            remember()
            self._running = None
            self._announce()
        return True

    def is_running(self, prompt: QueuedPrompt) -> bool:
        with self._changed:
            return self._running is prompt

    def delete(self, ids: Iterable[str]) -> None:
        """Drop one waiting prompt per id; the running one and unknown ones are left alone."""
        with self._changed:
            deleted = [self._delete_one(prompt_id) for prompt_id in ids]
            if any(deleted):
                self._announce()

    def _delete_one(self, prompt_id: str) -> bool:
        """The caller holds the lock."""
        for prompt in self._heap:
            if prompt.prompt_id == prompt_id:
                self._heap.remove(prompt)
                heapq.heapify(self._heap)
                return True
        return False

    def clear(self) -> None:
        with self._changed:
            self._heap.clear()
            self._announce()

    def forget(self) -> None:
        """Lose everything, the running prompt and the count included, as a restart does."""
        with self._changed:
            self._heap.clear()
            self._running = None
            self._next_number = 0

    def snapshot(self) -> tuple[list[QueuedPrompt], list[QueuedPrompt]]:
        """Return the running and the waiting prompts, the latter in the order of the heap."""
        with self._changed:
            running = [] if self._running is None else [self._running]
            return running, list(self._heap)

    def remaining(self) -> int:
        running, waiting = self.snapshot()
        return len(running) + len(waiting)

    def ask_to_free(self, flags: dict[str, bool]) -> None:
        with self._changed:
            self._free_wanted |= flags
            self._changed.notify()

    def pop_free_request(self) -> dict[str, bool]:
        with self._changed:
            wanted, self._free_wanted = self._free_wanted, {}
        return wanted
