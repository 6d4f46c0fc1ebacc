"""Waiting out a database that is locked or away for a moment."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, close_old_connections

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
PATIENCE_SECONDS = 35.0


def patiently(action: Callable[[], Result]) -> Result:
    """Return `action()`, tried again for PATIENCE_SECONDS while the database does not answer. Twice must be safe."""
    until = time.monotonic() + PATIENCE_SECONDS
    pause = 0.2
    while True:
        try:
            return action()
        except (OperationalError, InterfaceError) as exc:
            if time.monotonic() > until:
                raise
            logger.warning("The database did not answer, trying again: %s", exc)
            close_old_connections()
            time.sleep(pause)
            pause = min(pause * 2, 5.0)
