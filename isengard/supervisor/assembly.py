"""Checks that Isengard can start here, and puts the supervisor together."""

import secrets
import sys
from urllib.parse import urlsplit

from isengard import settings
from isengard.supervisor.console import Console
from isengard.supervisor.health import url_of
from isengard.supervisor.lock import hold_data_directory
from isengard.supervisor.ports import LOOPBACK, free_port, hold_port, require_free_port
from isengard.supervisor.processes import declare_processes
from isengard.supervisor.supervisor import Supervisor
from isengard.supervisor.valkey import prepare_socket_directory


def assemble() -> Supervisor:
    """Return the supervisor, ready to run. Raises CannotStart or OSError when something is in the way.

    The data directory is locked from here on until this process ends.
    """
    hold_data_directory(settings.RUN_DIR)
    require_free_port(settings.HOST, settings.PORT)
    _make_directories()
    comfyui_port = _choose_comfyui_port() if settings.COMFYUI_IS_EMBEDDED else None
    run_id = secrets.token_hex(16)
    specs = declare_processes(run_id, comfyui_port)
    return Supervisor(
        specs,
        run_id=run_id,
        console=Console(sys.stdout.fileno(), [spec.name for spec in specs]),
        grace_seconds=settings.SHUTDOWN_GRACE_SECONDS,
        banner=_banner(),
    )


def _make_directories() -> None:
    for name in ("redis", "simulator/comfyui", "loras"):
        (settings.DATA_DIR / name).mkdir(parents=True, exist_ok=True)
    if settings.REDIS_SOCKET is not None:
        prepare_socket_directory(settings.REDIS_SOCKET)


def _choose_comfyui_port() -> int:
    """Return a free port, the same as last time if possible, and write it down for commands typed beside this run."""
    kept = settings.COMFYUI_URL_FILE
    last_port = urlsplit(kept.read_text().strip()).port if kept.exists() else None
    port = free_port(last_port)
    # The stand-in listens there some seconds later, and again after a death.
    hold_port(port)
    kept.write_text(f"http://{LOOPBACK}:{port}\n")
    return port


def _banner() -> tuple[str, ...]:
    url = url_of(settings.HOST, settings.PORT)
    return (
        f"Isengard is ready at {url} (mode {settings.MODE}, data in {settings.DATA_DIR})",
        f"API docs {url}/api/docs, admin {url}/admin/; Ctrl-C stops everything",
    )
