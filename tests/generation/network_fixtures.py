"""Networks and servers that misbehave on purpose."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, object] | Callable[[str, Any], tuple[int, object]]


class Proxy:
    """A way through the network to a server, which can be cut without either end being told."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._frozen: set[socket.socket] = set()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        """Let nothing more through the connections that are open now, and close none of them."""
        self._frozen.update(end for pair in self._pairs for end in pair)

    def close(self) -> None:
        self._listener.close()
        for end in (end for pair in self._pairs for end in pair):
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:
                return
            self.connections += 1
            self._pairs.append((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while content := source.recv(65536):
                if source in self._frozen:
                    return
                sink.sendall(content)
            if source not in self._frozen:
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            return


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()


class ScriptedServer:
    """A server that answers what the test says and keeps what it was asked.

    `answers` are by method and first part of the path, such as "POST /prompt": a status and JSON, or a function that
    gets the path and the body and returns them. Anything else is a 404.
    """

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self.asked: list[tuple[str, Any]] = []
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or b"null")
                what = f"{self.command} /{self.path.split('/')[1].partition('?')[0]}"
                scripted.asked.append((what, body))
                answer = answers.get(what, (404, ""))
                status, content = answer(self.path, body) if callable(answer) else answer
                encoded = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(encoded)))
                self.end_headers()
                self.wfile.write(encoded)

            do_POST = do_GET  # noqa: N815 - the name http.server asks for

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def bodies(self, what: str) -> list[Any]:
        return [body for asked, body in self.asked if asked == what]

    @contextmanager
    def running(self) -> Iterator["ScriptedServer"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()
