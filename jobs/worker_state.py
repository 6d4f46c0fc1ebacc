"""What the runs of one worker process share: whether it drains, and whom to tell."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from jobs.events import Controls

_draining = threading.Event()
_active: set[Controls] = set()


def start_draining() -> None:
    """Claim nothing more, and ask what runs to save and return."""
    _draining.set()
    for controls in list(_active):
        controls.ask_to_drain()


def is_draining() -> bool:
    return _draining.is_set()


@contextmanager
def active_controls(controls: Controls) -> Iterator[None]:
    _active.add(controls)
    try:
        yield
    finally:
        _active.discard(controls)
