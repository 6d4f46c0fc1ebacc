"""How a call to ComfyUI fails. Framework-free, as the errors they extend."""

from jobs.errors import EngineUnavailable


class ServerAway(EngineUnavailable):
    """ComfyUI cannot be reached or does not answer as ComfyUI does.

    `is_refused` says that nothing listens there: the call had no effect, and no prompt can be running. `status` is that
    of an answer that was not ComfyUI's, None where there was no answer.
    """

    def __init__(self, message: str, *, is_refused: bool = False, status: int | None = None) -> None:
        super().__init__(message)
        self.is_refused = is_refused
        self.status = status


class OutputMissing(Exception):
    """The server's history names a file that it no longer has."""


class OutputBroken(Exception):
    """The server's file arrived, and is not a whole PNG."""


class DownloadStopped(Exception):
    """Whoever waited for the file no longer wants it."""
