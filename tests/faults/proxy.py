"""A relay between a client and a server, in threads of its own, that can be told to misbehave.

`Proxy(("127.0.0.1", 8188))` or `Proxy(Path("valkey.sock"))`; clients connect to `host` and `port`. What it did to them
is undone by `heal`, save for connections that were cut.
"""

import contextlib
import socket
import struct
import threading
from pathlib import Path
from typing import Self

Upstream = tuple[str, int] | Path

CHUNK_BYTES = 64 * 1024
CONNECT_SECONDS = 5.0
# Whoever closes with this option set sends a reset instead of an orderly end.
RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Proxy:
    def __init__(self, upstream: Upstream, *, host: str = "127.0.0.1") -> None:
        self.upstream = upstream
        self.host = host
        # Bound for good and never listening: nobody else gets the port while it refuses connections.
        self._reservation = _bound_socket(host, 0)
        self.port = int(self._reservation.getsockname()[1])
        self._listener: socket.socket | None = None
        self._lock = threading.Lock()
        self._relays: set[_Relay] = set()
        self._freezes_new_ones = False
        self._delay_seconds = 0.0

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def open_connections(self) -> int:
        with self._lock:
            return len(self._relays)

    def start(self) -> Self:
        """Listen, unless it does already."""
        if self._listener is None:
            listener = _bound_socket(self.host, self.port)
            listener.listen(128)
            self._listener = listener
            threading.Thread(target=self._accept, args=(listener,), name="proxy", daemon=True).start()
        return self

    def stop(self) -> None:
        self.refuse()
        self._reservation.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def cut(self) -> int:
        """Reset every open connection, both ways; return how many there were."""
        with self._lock:
            relays = list(self._relays)
        for relay in relays:
            relay.cut()
        return len(relays)

    def freeze(self, *, only_open: bool = False) -> None:
        """Pass nothing on, and close nothing: half-open. With `only_open`, connections made from now on work."""
        with self._lock:
            self._freezes_new_ones = not only_open
            for relay in self._relays:
                relay.flows.clear()

    def delay(self, seconds: float) -> None:
        """Pass everything on so much later, on connections made from now on too."""
        with self._lock:
            self._delay_seconds = seconds
            for relay in self._relays:
                relay.delay_seconds = seconds

    def refuse(self) -> None:
        """Reset what is open and refuse new connections, as when nobody listens."""
        listener, self._listener = self._listener, None
        if listener is not None:
            # Closing alone does not wake the thread that waits in accept().
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut()

    def heal(self) -> None:
        """Be a plain relay again. What a freeze held back is passed on now."""
        self.delay(0.0)
        with self._lock:
            self._freezes_new_ones = False
            for relay in self._relays:
                relay.flows.set()
        self.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), name="proxy", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = _connected(self.upstream)
        except OSError:
            _reset(client)
            return
        relay = _Relay(client, server)
        with self._lock:
            relay.delay_seconds = self._delay_seconds
            if self._freezes_new_ones:
                relay.flows.clear()
            self._relays.add(relay)
        if self._listener is None:
            # It came in just before the refusal.
            relay.cut()
        relay.run()
        with self._lock:
            self._relays.discard(relay)


class _Relay:
    """One connection and the one behind it."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self._client = client
        self._server = server
        self._is_cut = threading.Event()
        self.flows = threading.Event()
        self.flows.set()
        self.delay_seconds = 0.0

    def run(self) -> None:
        """Return when both directions have ended."""
        back = threading.Thread(target=self._pump, args=(self._server, self._client), name="proxy", daemon=True)
        back.start()
        self._pump(self._client, self._server)
        back.join()
        for end in (self._client, self._server):
            _reset(end) if self._is_cut.is_set() else end.close()

    def cut(self) -> None:
        self._is_cut.set()
        self.flows.set()
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                # Wakes the threads that read; the reset itself goes out when they close.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
                end.shutdown(socket.SHUT_RD)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(CHUNK_BYTES):
                self._is_cut.wait(self.delay_seconds)
                self.flows.wait()
                if self._is_cut.is_set():
                    return
                target.sendall(chunk)
        # The end of a stream is held back like what came before it.
        self.flows.wait()
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR if not self._is_cut.is_set() else socket.SHUT_RD)


def _bound_socket(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, port))
    return bound


def _connected(upstream: Upstream) -> socket.socket:
    if isinstance(upstream, tuple):
        server = socket.create_connection(upstream, CONNECT_SECONDS)
    else:
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.connect(str(upstream))
    server.settimeout(None)
    return server


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    end.close()
