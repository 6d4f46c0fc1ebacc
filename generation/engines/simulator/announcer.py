"""Tells the owner of a prompt how it goes, in ComfyUI's words and order, and keeps what the history shows of that."""

import json
import struct
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from generation.engines.simulator.errors import reported_type
from generation.engines.simulator.hub import Hub

EVENT_PREVIEW = 1
EVENT_PREVIEW_WITH_METADATA = 4
IMAGE_TYPE_JPEG = 1

Message = tuple[str, dict[str, Any]]


class Announcer:
    """A prompt without a client: its progress goes to everybody, the rest to nobody."""

    def __init__(self, hub: Hub, *, prompt_id: str, client_id: str | None, shows_previews: bool) -> None:
        self.messages: list[Message] = []
        self.executed: list[str] = []
        self._hub = hub
        self._prompt_id = prompt_id
        self._client_id = client_id
        self._shows_previews = shows_previews
        self._progress: dict[str, dict[str, Any]] = {}

    def started(self) -> None:
        self._hub.client_id = self._client_id
        self._hub.last_node_id = None
        self._record("execution_start", {})

    def cached(self, node_ids: Sequence[str]) -> None:
        self._record("execution_cached", {"nodes": list(node_ids)})

    def node_started(self, node_id: str) -> None:
        self._set_progress(node_id, 0.0, 1.0, state="running")
        self._hub.last_node_id = node_id
        self._to_owner("executing", {"node": node_id, "display_node": node_id})

    def stepped(self, node_id: str, value: int, maximum: int, paint_preview: Callable[[], bytes]) -> None:
        """Event 4 goes out before `progress`, event 1 after it."""
        self._set_progress(node_id, value, maximum, state="running")
        with_metadata = self._hub.wants_preview_metadata(self._client_id)
        if self._shows_previews and with_metadata:
            self._hub.send_bytes(_preview_with_metadata(self._names(node_id), paint_preview()), self._client_id)
        progress = {"value": value, "max": maximum, "prompt_id": self._prompt_id, "node": node_id}
        self._hub.send("progress", progress, self._client_id)
        if self._shows_previews and not with_metadata:
            frame = struct.pack(">II", EVENT_PREVIEW, IMAGE_TYPE_JPEG) + paint_preview()
            self._hub.send_bytes(frame, self._client_id)

    def node_finished(self, node_id: str, shown: Mapping[str, Any] | None) -> None:
        self.executed.append(node_id)
        self.shown(node_id, shown)
        maximum = self._progress[node_id]["max"]
        self._set_progress(node_id, maximum, maximum, state="finished")

    def cached_node_visited(self, node_id: str, shown: Mapping[str, Any] | None) -> None:
        self.shown(node_id, shown)
        self._set_progress(node_id, 1, 1, state="finished")

    def shown(self, node_id: str, shown: Mapping[str, Any] | None) -> None:
        if shown is not None:
            self._to_owner("executed", {"node": node_id, "display_node": node_id, "output": shown})

    def succeeded(self) -> None:
        self._record("execution_success", {})

    def interrupted(self, node_id: str, node_type: str) -> None:
        """An interruption is told to everybody if nobody owns the prompt."""
        content = {"node_id": node_id, "node_type": node_type, "executed": self.executed}
        self._record("execution_interrupted", content, is_for_everybody=True)

    def failed(self, exc: Exception, *, node_id: str, node_type: str, details: Mapping[str, Any]) -> None:
        self._record(
            "execution_error",
            {
                "node_id": node_id,
                "node_type": node_type,
                "executed": self.executed,
                "exception_message": f"{exc}\n",
                "exception_type": reported_type(exc),
                "traceback": traceback.format_tb(exc.__traceback__),
                **details,
            },
        )

    def ended(self) -> None:
        """Comes after the history was written, unlike the three verdicts above."""
        self._hub.last_node_id = None
        self._to_owner("executing", {"node": None})

    def _record(self, event: str, content: dict[str, Any], *, is_for_everybody: bool = False) -> None:
        message = {"prompt_id": self._prompt_id, **content, "timestamp": time.time_ns() // 1_000_000}
        self.messages.append((event, message))
        if self._client_id is not None or is_for_everybody:
            self._hub.send(event, message, self._client_id)

    def _to_owner(self, event: str, content: dict[str, Any]) -> None:
        if self._client_id is not None:
            self._hub.send(event, {**content, "prompt_id": self._prompt_id}, self._client_id)

    def _set_progress(self, node_id: str, value: float, maximum: float, *, state: str) -> None:
        self._progress[node_id] = {"value": value, "max": maximum, "state": state, **self._names(node_id)}
        content = {"prompt_id": self._prompt_id, "nodes": self._progress}
        self._hub.send("progress_state", content, self._client_id)

    def _names(self, node_id: str) -> dict[str, Any]:
        return {
            "node_id": node_id,
            "prompt_id": self._prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }


def _preview_with_metadata(names: Mapping[str, Any], jpeg: bytes) -> bytes:
    metadata = json.dumps({**names, "image_type": "image/jpeg"}).encode()
    return struct.pack(">II", EVENT_PREVIEW_WITH_METADATA, len(metadata)) + metadata + jpeg
