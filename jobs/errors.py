"""What an engine raises. Framework-free: engines and adapters import it."""


class EngineFailed(Exception):
    """The engine could not do the work. The text is shown to the person who asked for the job.

    `is_retryable` says whether the same job could succeed if it were simply run again later.
    """

    def __init__(self, message: str, *, is_retryable: bool = False) -> None:
        super().__init__(message)
        self.is_retryable = is_retryable


class EngineUnavailable(EngineFailed):
    """The engine cannot be reached now. The job is not to blame, so it waits in the queue for its return."""

    def __init__(self, message: str) -> None:
        super().__init__(message, is_retryable=True)
