"""Tells a deaf socket from a quiet one."""

from generation.engines.comfyui.answers import QueueView

# A message may be on its way while the queue is looked at.
SLACK_SECONDS = 0.5


class Hearing:
    """ComfyUI tells every socket when anything in its queue changes: who sees a change and heard nothing is deaf.

    A socket goes deaf, and stays open, when the server forgets it or the network between them does. Times are those of
    the monotonic clock.
    """

    def __init__(self) -> None:
        self._queue: QueueView | None = None
        self._looked_at = 0.0
        self._unheard_since: float | None = None

    def is_deaf(self, queue: QueueView, *, looked_at: float, last_heard: float) -> bool:
        """Compare with the last look. Only the second look after a change that nobody told is a proof."""
        if self._unheard_since is not None and last_heard >= self._unheard_since:
            self._unheard_since = None
        is_proven = self._unheard_since is not None
        if self._queue is not None and queue != self._queue and last_heard < self._looked_at - SLACK_SECONDS:
            self._unheard_since = self._looked_at - SLACK_SECONDS
        if is_proven:
            self._unheard_since = None
        self._queue, self._looked_at = queue, looked_at
        return is_proven
