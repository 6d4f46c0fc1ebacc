"""HTTP to one ComfyUI server. Every call is bounded in time and in size, also against a server that drips."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from generation.engines.comfyui.address import host_of, without_fragment
from generation.engines.comfyui.errors import ServerAway

logger = logging.getLogger(__name__)

CHUNK_BYTES = 256 * 1024
# The queue of a server that many people use holds their whole graphs.
MAX_ANSWER_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """`date` is when the server says that it answered, as HTTP spells it; empty where it does not say."""

    status: int
    body: bytes
    date: str = ""


class Transport:
    """One session, for one thread at a time."""

    def __init__(self, server_url: str, *, connect_seconds: float, read_seconds: float) -> None:
        self._base = without_fragment(server_url)
        self._host = host_of(server_url)
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        # The session sends no Origin header: ComfyUI answers 403 to one that is not exactly its own host.
        self._session = requests.Session()
        # ComfyUI is a neighbour: the proxies and the .netrc of the environment are meant for the world outside.
        self._session.trust_env = False
        # What is compressed cannot be read piece by piece, and on this short way it would only cost time.
        self._session.headers["Accept-Encoding"] = "identity"

    def close(self) -> None:
        self._session.close()

    def call(self, method: str, path: str, **options: Any) -> Reply:
        """Raises ServerAway, also for every status from 500 on."""
        with closing(self._open(method, path, self._read_seconds, **options)) as response:
            chunks = self._chunks(response, self._read_seconds)
            body = _join(chunks, MAX_ANSWER_BYTES)
            return Reply(response.status_code, body, response.headers.get("Date", ""))

    def stream(
        self, path: str, params: dict[str, str], *, seconds: float, take: Callable[[Iterator[bytes]], None]
    ) -> int:
        """Hand the body of a 200 to `take`, which may be called for `seconds`. Return the status."""
        with closing(self._open("GET", path, seconds, params=params)) as response:
            if response.status_code == 200:
                take(self._chunks(response, seconds))
            return response.status_code

    def _open(self, method: str, path: str, seconds: float, **options: Any) -> requests.Response:
        timeouts = (self._connect_seconds, min(seconds, self._read_seconds))
        try:
            response = self._session.request(
                method, self._base + path, allow_redirects=False, stream=True, timeout=timeouts, **options
            )
        except requests.RequestException as exc:
            logger.debug("%s %s at %s failed: %s", method, path, self._host, exc)
            raise self._away(exc) from exc
        if response.status_code >= 500:
            response.close()
            raise self.unexpected(response.status_code)
        return response

    def _chunks(self, response: requests.Response, seconds: float) -> Iterator[bytes]:
        """Yield what comes as it comes. A timeout of the socket alone would let a server drip for ever."""
        until = time.monotonic() + seconds
        try:
            while chunk := response.raw.read1(CHUNK_BYTES):
                yield chunk
                if time.monotonic() > until:
                    raise ServerAway(f"The ComfyUI server {self._host} answers too slowly.")
        except (HTTPError, OSError) as exc:
            raise self._away(exc) from exc

    def unexpected(self, status: int) -> ServerAway:
        return ServerAway(f"The ComfyUI server {self._host} answered with status {status}.", status=status)

    def foreign(self, status: int) -> ServerAway:
        return ServerAway(f"What answers at {self._host} is not ComfyUI.", status=status)

    def _away(self, exc: Exception) -> ServerAway:
        if _is_refused(exc):
            return ServerAway(f"The ComfyUI server {self._host} is not running.", is_refused=True)
        return ServerAway(f"The ComfyUI server {self._host} cannot be reached.")


def _join(chunks: Iterator[bytes], max_bytes: int) -> bytes:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > max_bytes:
            raise ServerAway("The ComfyUI server gave an answer that is too large to be ComfyUI's.")
    return bytes(body)


def _is_refused(exc: BaseException) -> bool:
    """Look through what requests and urllib3 wrapped around the operating system's answer."""
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
