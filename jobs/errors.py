"""What an engine raises. Framework-free: engines and adapters import it."""


class EngineFailed(Exception):
    """The engine could not do the work. The text is shown to the person who asked for the job.

    `is_retryable` says whether the same job could succeed if it were simply run again later; `cause` is a word for
    programs that names the kind of failure, such as `out_of_memory`, at most 40 characters.
    """

    def __init__(self, message: str, *, is_retryable: bool = False, cause: str = "") -> None:
        super().__init__(message)
        self.is_retryable = is_retryable
        self.cause = cause


class EngineUnavailable(EngineFailed):
    """The engine cannot be reached now. The job is not to blame, so it waits in the queue for its return."""

    def __init__(self, message: str) -> None:
        super().__init__(message, is_retryable=True)


class EngineAtFault(EngineFailed):
    """This very engine could not do it; another one of its kind might, so the job is tried there if there is one.

    `is_broken` says that it would fail at other jobs too: after some such failures in a row its slot takes no work.
    """

    def __init__(self, message: str, *, is_broken: bool = True, is_retryable: bool = False, cause: str = "") -> None:
        super().__init__(message, is_retryable=is_retryable, cause=cause)
        self.is_broken = is_broken
