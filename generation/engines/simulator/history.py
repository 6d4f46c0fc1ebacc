"""What became of earlier prompts. Kept in memory only, as in ComfyUI."""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

ENTRIES_MAX = 10_000

Entry = dict[str, Any]


class History:
    def __init__(self) -> None:
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, prompt_id: str, entry: Entry) -> None:
        """A second prompt of the same id replaces the first."""
        with self._lock:
            while len(self._entries) >= ENTRIES_MAX:
                self._entries.popitem(last=False)
            self._entries[prompt_id] = entry

    def one(self, prompt_id: str) -> dict[str, Entry]:
        with self._lock:
            return {prompt_id: self._entries[prompt_id]} if prompt_id in self._entries else {}

    def page(self, max_items: int | None = None, offset: int = -1) -> dict[str, Entry]:
        """Return entries, oldest first; without an offset, the newest `max_items`."""
        with self._lock:
            entries = list(self._entries.items())
        if offset < 0:
            offset = max(0, len(entries) - max_items) if max_items is not None else 0
        end = len(entries) if max_items is None else offset + max_items
        return dict(entries[offset:end])

    def delete(self, ids: Iterable[str]) -> None:
        with self._lock:
            for prompt_id in ids:
                self._entries.pop(prompt_id, None)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
