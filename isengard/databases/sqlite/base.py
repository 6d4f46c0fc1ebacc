"""SQLite through Django's own backend, with a bound on waiting that can be changed for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db.backends.sqlite3 import base


class DatabaseWrapper(base.DatabaseWrapper):
    _patience_seconds: float | None = None

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        if params.pop("must_exist", False):
            # SQLite would make an empty file where the database has been moved away, and take the log that still lies
            # beside it for that of the new one: what was committed would be gone.
            params["database"] = f"{Path(params['database']).absolute().as_uri()}?mode=rw"
        if self._patience_seconds is not None:
            params["timeout"] = self._patience_seconds
        return params

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Wait for so long at most for somebody else's lock."""
        before, self._patience_seconds = self._patience_seconds, seconds
        self._tell_connection()
        try:
            yield
        finally:
            self._patience_seconds = before
            self._tell_connection()

    def _tell_connection(self) -> None:
        if self.connection is not None:
            usual = self.settings_dict["OPTIONS"].get("timeout", 5.0)
            seconds = usual if self._patience_seconds is None else self._patience_seconds
            self.connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")
