"""ComfyUI's HTTP interface, typed. Every call is bounded in time; one client serves one thread at a time."""

import logging
import threading
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urldefrag

import requests
from pydantic import TypeAdapter, ValidationError

from generation.engines.comfyui.answers import HistoryEntry, OutputFile, PromptAnswer, QueueAnswer, QueueView
from generation.engines.comfyui.errors import DownloadStopped, OutputMissing, ServerAway
from generation.engines.comfyui.nodes import Graph
from generation.engines.comfyui.refusals import explain_refusal
from jobs.errors import EngineFailed

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 2.0
READ_SECONDS = 10.0
VIEW_READ_SECONDS = 30.0
READY_SECONDS = 0.5
CHUNK_BYTES = 256 * 1024
# A 2048 x 2048 PNG of pure noise has 13 MB; anything far beyond that is not what was asked for.
MAX_IMAGE_BYTES = 64 * 1024 * 1024
# latent2rgb costs a matrix product per step; better previews need a model file that servers seldom have.
PREVIEW_METHOD = "latent2rgb"

T = TypeVar("T")
_HISTORY: TypeAdapter[dict[str, HistoryEntry]] = TypeAdapter(dict[str, HistoryEntry])
_QUEUE = TypeAdapter(QueueAnswer)
_PROMPT = TypeAdapter(PromptAnswer)
_OBJECT: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])
_NAMES: TypeAdapter[tuple[str, ...]] = TypeAdapter(tuple[str, ...])


class Client:
    def __init__(
        self, server_url: str, *, connect_seconds: float = CONNECT_SECONDS, read_seconds: float = READ_SECONDS
    ) -> None:
        # The URL's fragment tells the workers which GPU the server uses; it is no part of its address.
        self._base = urldefrag(server_url).url.rstrip("/")
        self._timeouts = (connect_seconds, read_seconds)
        # The session sends no Origin header: ComfyUI answers 403 to one that is not exactly its own host.
        self._session = requests.Session()
        # ComfyUI is a neighbour: the proxies and the .netrc of the environment are meant for the world outside.
        self._session.trust_env = False

    def close(self) -> None:
        self._session.close()

    def submit(self, graph: Graph, *, prompt_id: str, client_id: str) -> None:
        """Queue `graph` under our own id. After `ServerAway` it may be queued all the same, unless `is_refused`.

        Raises EngineFailed with a sentence for people when ComfyUI refuses the graph or a part of it.
        """
        body = {
            "prompt": graph,
            "prompt_id": prompt_id,
            "client_id": client_id,
            "extra_data": {"preview_method": PREVIEW_METHOD},
        }
        response = self._request("POST", "/prompt", json=body)
        if response.status_code not in (200, 400):
            raise _unexpected(response)
        answer = _parse(_PROMPT, response)
        if response.status_code == 400 or answer.error or answer.node_errors:
            logger.warning("ComfyUI refused prompt %s: %s", prompt_id, answer)
            raise EngineFailed(explain_refusal(answer))

    def queue(self) -> QueueView:
        answer = self._get("/queue", _QUEUE)
        return QueueView(_prompt_ids(answer.queue_running), _prompt_ids(answer.queue_pending))

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

    def queue_length(self) -> int:
        remaining = self._get("/prompt", _OBJECT).get("exec_info", {}).get("queue_remaining", 0)
        return int(remaining)

    def object_info(self, class_type: str) -> Mapping[str, Any] | None:
        """Return the declaration of a node, None where the server does not have it."""
        declaration: Mapping[str, Any] | None = self._get(f"/object_info/{class_type}", _OBJECT).get(class_type)
        return declaration

    def models(self, folder: str) -> tuple[str, ...]:
        return self._get(f"/models/{folder}", _NAMES)

    def download(self, file: OutputFile, target: Path, *, stop: threading.Event) -> None:
        """Write the file to `target`. Raises OutputMissing, DownloadStopped, ServerAway, or OSError from the disk."""
        params = {"filename": file.filename, "subfolder": file.subfolder, "type": file.type}
        timeouts = (self._timeouts[0], VIEW_READ_SECONDS)
        with self._request("GET", "/view", params=params, stream=True, timeout=timeouts) as response:
            if response.status_code == 404:
                raise OutputMissing(file.filename)
            if response.status_code != 200:
                raise _unexpected(response)
            _write(_chunks(response), target, stop=stop)

    def _get(self, path: str, adapter: TypeAdapter[T]) -> T:
        response = self._request("GET", path)
        if response.status_code != 200:
            raise _unexpected(response)
        return _parse(adapter, response)

    def _post(self, path: str, body: Mapping[str, object]) -> None:
        response = self._request("POST", path, json=body)
        if response.status_code != 200:
            raise _unexpected(response)

    def _request(self, method: str, path: str, **options: Any) -> requests.Response:
        options.setdefault("timeout", self._timeouts)
        try:
            response = self._session.request(method, self._base + path, allow_redirects=False, **options)
        except requests.RequestException as exc:
            logger.debug("%s %s%s failed: %s", method, self._base, path, exc)
            raise _away(exc) from exc
        if response.status_code >= 500:
            response.close()
            raise _unexpected(response)
        return response


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


def _chunks(response: requests.Response) -> Iterable[bytes]:
    try:
        yield from response.iter_content(CHUNK_BYTES)
    except requests.RequestException as exc:
        raise _away(exc) from exc


def _write(chunks: Iterable[bytes], target: Path, *, stop: threading.Event) -> None:
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


def _parse(adapter: TypeAdapter[T], response: requests.Response) -> T:
    try:
        return adapter.validate_json(response.content)
    except ValidationError as exc:
        raise ServerAway("The ComfyUI server gave an answer that is not ComfyUI's.") from exc


def _unexpected(response: requests.Response) -> ServerAway:
    return ServerAway(f"The ComfyUI server answered with status {response.status_code}.")


def _away(exc: requests.RequestException) -> ServerAway:
    if _is_refused(exc):
        return ServerAway("The ComfyUI server is not running.", is_refused=True)
    return ServerAway("The ComfyUI server cannot be reached.")


def _is_refused(exc: BaseException) -> bool:
    """Look through what requests and urllib3 wrapped around the operating system's answer."""
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
