"""How the Celery processes are started: one declaration for the supervisor and for `manage.py worker`."""

import sys

from isengard import settings

WORKER_KINDS = ("training", "generation", "maintenance")


def worker_argv(kind: str) -> tuple[str, ...]:
    """Return the command line of the worker that serves the queue `kind`."""
    return (
        *_celery("worker"),
        *("-n", f"{kind}@%h", "-Q", kind),
        # Threads, because the work happens in other processes: the trainer's or ComfyUI's.
        *("-P", "threads", "-c", str(_concurrency(kind))),
        # Nobody asks these workers about each other: the database knows who holds which job.
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    )


def beat_argv() -> tuple[str, ...]:
    """Return the command line of the clock; there must be only one."""
    return (*_celery("beat"), "--pidfile=")


def _celery(command: str) -> tuple[str, ...]:
    # Messages are JSON, never pickles: that nobody should be root for those is no news worth eight lines at each start.
    python = (sys.executable, "-W", "ignore:You're running the worker with superuser privileges")
    return (*python, "-m", "celery", "-A", "isengard", "--quiet", command, "-l", settings.LOG_LEVEL)


def _concurrency(kind: str) -> int:
    # For each ComfyUI one job samples while a second already waits in its queue, so that the GPU never waits for us.
    return 2 * len(settings.COMFYUI_URLS) if kind == "generation" else 1
