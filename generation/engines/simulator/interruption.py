"""How the running prompt learns that it has to stop."""

import threading

from generation.engines.simulator.errors import PromptForgotten, PromptInterrupted


class Interruption:
    """One per run of a prompt; written to by the server's thread, looked at by the worker's."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._forgotten = threading.Event()

    def ask(self) -> None:
        self._wanted.set()

    def forget(self) -> None:
        self._forgotten.set()
        self._wanted.set()

    @property
    def is_forgotten(self) -> bool:
        return self._forgotten.is_set()

    def check(self) -> None:
        """Raise PromptForgotten or PromptInterrupted if that is so."""
        if self._forgotten.is_set():
            raise PromptForgotten
        if self._wanted.is_set():
            raise PromptInterrupted

    def wait(self) -> None:
        self._wanted.wait()
        self.check()

    def wait_deaf(self) -> None:
        self._forgotten.wait()
        self.check()
