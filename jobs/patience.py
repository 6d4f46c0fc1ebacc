"""Waiting out a database that is locked or away for a while."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

from django.db import InterfaceError, OperationalError, close_old_connections, connection

from characters.disk import is_full_disk
from jobs.worker_state import is_draining

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
PATIENCE_SECONDS = 35.0
# To tell how a run ended one waits for as long as it takes: nobody else gets further without the database either, and
# what is told counts only while the claim stands.
SETTLING_SECONDS = 24 * 3600.0


def is_away(exc: BaseException | None) -> bool:
    """Say whether the database is locked, stopped or out of reach: the same may succeed later."""
    return isinstance(exc, OperationalError | InterfaceError) and not is_full_disk(exc)


def patiently(action: Callable[[], Result], *, seconds: float = PATIENCE_SECONDS) -> Result:
    """Return `action()`, tried again for `seconds` while the database does not answer. Twice must be safe.

    A worker that shuts down waits for PATIENCE_SECONDS at most.
    """
    began = time.monotonic()
    pause = 0.2
    while True:
        try:
            return action()
        except (OperationalError, InterfaceError) as exc:
            if time.monotonic() - began > (min(seconds, PATIENCE_SECONDS) if is_draining() else seconds):
                raise
            logger.warning("The database did not answer, trying again: %s", exc)
            close_old_connections()
            time.sleep(pause)
            pause = min(pause * 2, 5.0)


def until_told(action: Callable[[], Result]) -> Result:
    """Return `action()`, which tells how a run ended: `patiently`, and for as long as it takes."""
    return patiently(action, seconds=SETTLING_SECONDS)


def waiting_at_most(seconds: float) -> AbstractContextManager[None]:
    """Bound each wait of this thread for a database that is locked or does not answer."""
    bound: AbstractContextManager[None] = cast(Any, connection).patience(seconds)
    return bound
