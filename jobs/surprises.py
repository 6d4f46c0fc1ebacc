"""What nobody expected, told once: what tends the jobs every few seconds goes on, and does not fill the log with it."""

import logging

MAX_REMEMBERED = 1000

_told: set[tuple[str, str]] = set()


def tell_once(logger: logging.Logger, where: str, exc: Exception) -> None:
    """Log `exc` with its traceback, unless the same was told of `where` before."""
    surprise = (where, f"{type(exc).__name__}: {exc}")
    if surprise in _told:
        return
    if len(_told) >= MAX_REMEMBERED:
        _told.clear()
    _told.add(surprise)
    logger.error("%s failed (told once): %s", where, surprise[1], exc_info=exc)
