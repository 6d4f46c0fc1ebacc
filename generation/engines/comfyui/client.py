"""ComfyUI's HTTP interface, typed. Every call is bounded in time; one client serves one thread at a time."""

import logging
import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from generation.engines.comfyui.answers import (
    HistoryEntry,
    OutputFile,
    PromptAnswer,
    QueueAnswer,
    QueueView,
    RemainingAnswer,
    SystemAnswer,
    UploadedFile,
)
from generation.engines.comfyui.errors import DownloadStopped, OutputMissing, ServerAway
from generation.engines.comfyui.nodes import Graph
from generation.engines.comfyui.prompt_ids import TAG, PromptTag, tag_in
from generation.engines.comfyui.refusals import explain_refusal
from generation.engines.comfyui.transport import Reply, Transport
from jobs.errors import EngineAtFault, EngineFailed

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 2.0
READ_SECONDS = 10.0
VIEW_SECONDS = 60.0
READY_SECONDS = 0.5
# A 2048 x 2048 PNG of pure noise has 13 MB, four times as large 50 MB; anything far beyond was not asked for.
MAX_IMAGE_BYTES = 256 * 1024 * 1024
# latent2rgb costs a matrix product per step; better previews need a model file that servers seldom have.
PREVIEW_METHOD = "latent2rgb"

T = TypeVar("T")
_HISTORY: TypeAdapter[dict[str, HistoryEntry]] = TypeAdapter(dict[str, HistoryEntry])
_QUEUE = TypeAdapter(QueueAnswer)
_PROMPT = TypeAdapter(PromptAnswer)
_UPLOAD = TypeAdapter(UploadedFile)
_REMAINING = TypeAdapter(RemainingAnswer)
_SYSTEM = TypeAdapter(SystemAnswer)
_OBJECTS: TypeAdapter[dict[str, dict[str, Any]]] = TypeAdapter(dict[str, dict[str, Any]])
_NAMES: TypeAdapter[tuple[str, ...]] = TypeAdapter(tuple[str, ...])


class Client:
    def __init__(
        self, server_url: str, *, connect_seconds: float = CONNECT_SECONDS, read_seconds: float = READ_SECONDS
    ) -> None:
        self._transport = Transport(server_url, connect_seconds=connect_seconds, read_seconds=read_seconds)

    def close(self) -> None:
        self._transport.close()

    def submit(self, graph: Graph, *, prompt_id: str, client_id: str, tag: PromptTag) -> None:
        """Queue `graph` under our own id. After `ServerAway` it may be queued all the same, unless `is_refused`.

        Raises EngineFailed with a sentence for people when ComfyUI refuses the graph or a part of it.
        """
        body = {
            "prompt": graph,
            "prompt_id": prompt_id,
            "client_id": client_id,
            "extra_data": {"preview_method": PREVIEW_METHOD, TAG: tag.model_dump()},
        }
        reply = self._transport.call("POST", "/prompt", json=body)
        if reply.status not in (200, 400):
            raise self._transport.unexpected(reply.status)
        answer = self._parse(_PROMPT, reply)
        if reply.status == 400 or answer.error or answer.node_errors:
            logger.warning("ComfyUI refused prompt %s: %s", prompt_id, answer)
            # Servers differ in nodes and model files, so that another one may well take it.
            raise EngineAtFault(explain_refusal(answer), is_broken=False, cause="refused")

    def queue(self) -> QueueView:
        answer = self._get("/queue", _QUEUE)
        return QueueView(_prompt_ids(answer.queue_running), _prompt_ids(answer.queue_pending))

    def tagged_prompts(self) -> dict[str, PromptTag]:
        """Return what of ours, or of another installation like ours, waits or runs: whose prompt is each."""
        answer = self._get("/queue", _QUEUE)
        items = (item for item in (*answer.queue_running, *answer.queue_pending) if len(item) > 3)
        return {str(item[1]): tag for item in items if (tag := tag_in(item[3])) is not None}

    def history(self, prompt_id: str) -> HistoryEntry | None:
        """Return what became of a prompt, None while it is unknown, waiting or running."""
        return self._get(f"/history/{quote(prompt_id, safe='')}", _HISTORY).get(prompt_id)

    def delete_pending(self, prompt_ids: Collection[str]) -> None:
        """Take prompts out of the queue. Unknown and running ones are left as they are."""
        self._post("/queue", {"delete": list(prompt_ids)})

    def interrupt(self, prompt_id: str) -> None:
        """Interrupt a prompt at its next step or node, if it is the running one."""
        self._post("/interrupt", {"prompt_id": prompt_id})

    def free_memory(self) -> None:
        self._post("/free", {"unload_models": True, "free_memory": True})

    def gpu_bytes(self) -> int:
        """Return how much of its GPU's memory the server holds, 0 where it has none."""
        return self._get("/system_stats", _SYSTEM).gpu_bytes

    def queue_length(self) -> int:
        return self._get("/prompt", _REMAINING).exec_info.queue_remaining

    def object_info(self, class_type: str) -> Mapping[str, Any] | None:
        """Return the declaration of a node, None where the server does not have it."""
        return self._get(f"/object_info/{quote(class_type, safe='')}", _OBJECTS).get(class_type)

    def version(self) -> tuple[int, ...]:
        """Return the numbers of ComfyUI's version, empty where the server does not tell."""
        return self._get("/system_stats", _SYSTEM).version

    def models(self, folder: str) -> tuple[str, ...]:
        return self._get(f"/models/{folder}", _NAMES)

    def upload_image(self, path: Path, subfolder: str) -> str:
        """Put a picture into the server's input folder and return its name for LoadImage, which may be another one.

        The same bytes under the same name are stored once.
        """
        with path.open("rb") as content:
            reply = self._transport.call(
                "POST",
                "/upload/image",
                files={"image": (path.name, content, "application/octet-stream")},
                data={"type": "input", "subfolder": subfolder},
            )
        if reply.status == 413:
            raise EngineFailed("The picture is larger than the ComfyUI server takes.")
        if reply.status != 200:
            raise self._transport.unexpected(reply.status)
        stored = self._parse(_UPLOAD, reply)
        return f"{stored.subfolder}/{stored.name}" if stored.subfolder else stored.name

    def download(self, file: OutputFile, target: Path, *, stop: threading.Event) -> None:
        """Write the file to `target`. Raises OutputMissing, DownloadStopped, ServerAway, or OSError from the disk."""
        params = {"filename": file.filename, "subfolder": file.subfolder, "type": file.type}
        status = self._transport.stream(
            "/view", params, seconds=VIEW_SECONDS, take=lambda chunks: _write(chunks, target, stop=stop)
        )
        if status == 404:
            raise OutputMissing(file.filename)
        if status != 200:
            raise self._transport.unexpected(status)

    def _get(self, path: str, adapter: TypeAdapter[T]) -> T:
        reply = self._transport.call("GET", path)
        if reply.status != 200:
            raise self._transport.unexpected(reply.status)
        return self._parse(adapter, reply)

    def _post(self, path: str, body: Mapping[str, object]) -> None:
        reply = self._transport.call("POST", path, json=body)
        if reply.status != 200:
            raise self._transport.unexpected(reply.status)

    def _parse(self, adapter: TypeAdapter[T], reply: Reply) -> T:
        try:
            return adapter.validate_json(reply.body)
        except ValidationError as exc:
            raise self._transport.foreign(reply.status) from exc


def is_ready(server_url: str) -> bool:
    """Return whether ComfyUI answers at once; takes a second at most."""
    client = Client(server_url, connect_seconds=READY_SECONDS, read_seconds=READY_SECONDS)
    try:
        client.queue_length()
    except ServerAway:
        return False
    finally:
        client.close()
    return True


def _write(chunks: Iterator[bytes], target: Path, *, stop: threading.Event) -> None:
    written_bytes = 0
    with target.open("wb") as file:
        for chunk in chunks:
            if stop.is_set():
                raise DownloadStopped
            written_bytes += len(chunk)
            if written_bytes > MAX_IMAGE_BYTES:
                raise EngineFailed("ComfyUI answered with a file far larger than the image that was asked for.")
            file.write(chunk)


def _prompt_ids(items: tuple[tuple[Any, ...], ...]) -> frozenset[str]:
    return frozenset(str(item[1]) for item in items if len(item) > 1)
