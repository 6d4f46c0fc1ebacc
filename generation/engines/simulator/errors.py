"""What ends a prompt early."""


class PromptInterrupted(Exception):
    """Somebody asked for the running prompt to stop."""


class PromptForgotten(Exception):
    """The server lost its memory of the running prompt, which therefore ends without a word."""


class NodeFailed(Exception):
    """A node failed in a way that the real server reports under `reported_type`."""

    def __init__(self, message: str, *, reported_type: str) -> None:
        super().__init__(message)
        self.reported_type = reported_type


def reported_type(exc: BaseException) -> str:
    """Name the type of `exc` as `execution_error` does: with its module, unless it is a builtin."""
    if isinstance(exc, NodeFailed):
        return exc.reported_type
    kind = type(exc)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
