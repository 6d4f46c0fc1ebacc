"""TCP ports: whether ours is free, and finding one for a stand-in."""

import errno
import socket

from isengard.supervisor.errors import CannotStart

LOOPBACK = "127.0.0.1"


def require_free_port(host: str, port: int) -> None:
    """Raise CannotStart, in one line, when nothing could listen at `host` and `port`."""
    try:
        _listen_for_a_moment(host, port)
    except OSError as exc:
        raise CannotStart(_explain(exc, host, port)) from exc


def free_port(preferred: int | None) -> int:
    """Return `preferred` if it is free on the loopback, else a port the kernel picks."""
    if preferred is not None:
        try:
            return _listen_for_a_moment(LOOPBACK, preferred)
        except OSError:
            pass
    return _listen_for_a_moment(LOOPBACK, 0)


def hold_port(port: int) -> int:
    """Let nobody else be given a free port of the loopback while this process lives; return the descriptor.

    Who asks for the port by its number can listen there.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind((LOOPBACK, port))
    return holder.detach()


def _listen_for_a_moment(host: str, port: int) -> int:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as listener:
        # As the servers do it, so that connections of an earlier run in TIME_WAIT are no obstacle.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1)
        return int(listener.getsockname()[1])


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use: stop what listens there, or choose another: `PORT=8001 make run`."
    if error.errno == errno.EACCES:
        return f"port {port} is not for ordinary users: choose one above 1023: `PORT=8000 make run`."
    return f"cannot listen on {host}, port {port} ({error.strerror or error}): look at HOST and PORT."
