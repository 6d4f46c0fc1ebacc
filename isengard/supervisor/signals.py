"""Signals as something to wait for beside the output of processes."""

import contextlib
import os
import signal
from types import FrameType
from typing import Self

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Notes a request to stop, and makes `wakeup_descriptor` readable at every signal, a child's death included."""

    def __init__(self) -> None:
        self.requested_by: str | None = None
        self.wakeup_descriptor, self._written_at_signals = os.pipe()
        os.set_blocking(self.wakeup_descriptor, False)
        os.set_blocking(self._written_at_signals, False)

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._written_at_signals, warn_on_full_buffer=False)
        # Without a handler of ours Python does not write to the wake-up descriptor.
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        for number in STOP_SIGNALS:
            # Under nohup SIGHUP is ignored, and must stay so.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._request_stop)
        return self

    def __exit__(self, *_exception: object) -> None:
        # A signal that comes again while the process ends must not change its exit code, as it would where a handler is
        # left: late in its end Python takes that away, and the signal kills.
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)

    @property
    def is_stop_requested(self) -> bool:
        return self.requested_by is not None

    def _request_stop(self, number: int, _frame: FrameType | None) -> None:
        self.requested_by = self.requested_by or signal.Signals(number).name

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self.wakeup_descriptor, 1024):
                pass
