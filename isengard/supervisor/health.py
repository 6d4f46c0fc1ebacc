"""Whether a web server answers. Raw sockets, because an HTTP library would cost the supervisor megabytes."""

import socket

ANSWER_TIMEOUT_SECONDS = 1.0


def reachable_host(host: str) -> str:
    """Return an address at which a server that listens on `host` can be reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (compared, not listened on)


def url_of(host: str, port: int) -> str:
    reachable = reachable_host(host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def answers_http(host: str, port: int, path: str) -> bool:
    """Say whether `path` is answered by anything but a server's failure.

    A redirect or a refusal of the host name counts: behind a proxy, /health may ask for another name or scheme.
    """
    request = f"GET {path} HTTP/1.1\r\nHost: {url_of(host, port)[7:]}\r\nConnection: close\r\n\r\n".encode()
    try:
        with socket.create_connection((reachable_host(host), port), ANSWER_TIMEOUT_SECONDS) as connection:
            connection.sendall(request)
            status_line = connection.recv(64).split()
    except OSError:
        return False
    return len(status_line) > 1 and status_line[1][:1] in (b"2", b"3", b"4")
