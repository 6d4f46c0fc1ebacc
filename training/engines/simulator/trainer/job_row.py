"""The row of the UI's job table through which a training tells where it is and is told to stop."""

import sqlite3
from pathlib import Path

from .config import ProcessConfig
from .errors import JobStopped

DATABASE_TRAINERS = ("diffusion_trainer", "ui_trainer")
BUSY_SECONDS = 30.0


class Unwatched:
    """What a training without a row talks to: nobody listens and nobody asks for anything."""

    def set_status(self, status: str, info: str) -> None:
        pass

    def set_value(self, column: str, value: object) -> None:
        pass

    def stop_if_asked(self) -> None:
        pass

    def take_request(self, column: str) -> bool:
        """Tell whether `save_now` or `sample_now` is set, and reset it."""
        return False

    def record_failure(self, error: BaseException, *, last_save_step: int) -> None:
        pass


class JobRow(Unwatched):
    def __init__(self, database: str, job_id: str) -> None:
        self._job_id = job_id
        self._is_stopping = False
        # The real program opens the database for every access; one connection keeps a fast stand-in fast.
        self._connection = sqlite3.connect(database, timeout=BUSY_SECONDS, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=OFF")

    def set_status(self, status: str, info: str) -> None:
        self._connection.execute("UPDATE Job SET status = ?, info = ? WHERE id = ?", (status, info, self._job_id))

    def set_value(self, column: str, value: object) -> None:
        self._connection.execute(f"UPDATE Job SET {column} = ? WHERE id = ?", (str(value), self._job_id))  # noqa: S608

    def stop_if_asked(self) -> None:
        """Raise JobStopped when the row asks for a stop or for a return to the queue."""
        if self._is_stopping:
            return
        if self._is_set("stop"):
            self._leave("stopped", "Job stopped", "Job stopped")
        if self._is_set("return_to_queue"):
            self._leave("queued", "Job queued", "Job returning to queue")

    def take_request(self, column: str) -> bool:
        is_requested = self._is_set(column)
        if is_requested:
            self.set_value(column, 0)
        return is_requested

    def record_failure(self, error: BaseException, *, last_save_step: int) -> None:
        """Write the end down, and the step that a restart would begin at."""
        if isinstance(error, KeyboardInterrupt):
            self.set_status("stopped", "Job stopped")
        elif not self._is_stopping:
            self.set_status("error", str(error))
        self.set_value("step", last_save_step)

    def _is_set(self, column: str) -> bool:
        row = self._connection.execute(f"SELECT {column} FROM Job WHERE id = ?", (self._job_id,)).fetchone()  # noqa: S608
        return row is not None and row[0] == 1

    def _leave(self, status: str, info: str, message: str) -> None:
        self.set_status(status, info)
        self._is_stopping = True
        raise JobStopped(message)


def find_job_row(config: ProcessConfig, job_id: str | None) -> Unwatched:
    """Both an existing database and a job id are needed; without one of them the training is not watched."""
    if config.type not in DATABASE_TRAINERS:
        return Unwatched()
    has_database = Path(config.sqlite_db_path).exists()
    if has_database:
        print(f"Using SQLite database at {config.sqlite_db_path}")
    if job_id is not None:
        print(f'Job ID: "{job_id}"')
    return JobRow(config.sqlite_db_path, job_id) if has_database and job_id is not None else Unwatched()
