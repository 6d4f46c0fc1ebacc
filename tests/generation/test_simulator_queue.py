"""What is told of the stand-in's queue is told in order, and before anybody can see it."""

import threading
from collections.abc import Callable

from generation.engines.simulator.prompt_queue import PromptQueue, QueuedPrompt

# How long an announcement is held up, for another thread to overtake it.
GRACE_SECONDS = 0.2
PATIENCE_SECONDS = 60


class SlowlyTold:
    """A queue whose next announcement takes its time, once `is_slow`."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.is_slow = False
        self._begun, self._overtaken = threading.Event(), threading.Event()
        self.queue = PromptQueue(self._announce)
        self.prompt = QueuedPrompt(number=1, prompt_id="p", graph={}, extra_data={}, outputs=[])

    def _announce(self) -> None:
        if self.is_slow:
            self.is_slow = False
            self._begun.set()
            self._overtaken.wait(GRACE_SECONDS)
            self.told.append("announced")

    def meanwhile(self, act: Callable[[], object], other: Callable[[], object]) -> list[str]:
        """Return in which order the announcement of `act` and `other`, in another thread, came."""

        def do_other() -> None:
            assert self._begun.wait(PATIENCE_SECONDS)
            other()
            self.told.append("done")
            self._overtaken.set()

        self.is_slow = True
        doing = threading.Thread(target=do_other)
        doing.start()
        act()
        doing.join()
        return self.told


def test_a_prompt_is_told_to_be_there_before_it_is_taken() -> None:
    slow = SlowlyTold()
    assert slow.meanwhile(lambda: slow.queue.put(slow.prompt), slow.queue.take) == ["announced", "done"]


def test_who_sees_that_a_prompt_has_ended_knows_that_it_was_told() -> None:
    slow = SlowlyTold()
    slow.queue.put(slow.prompt)
    slow.queue.take()
    ended = slow.meanwhile(lambda: slow.queue.finish(slow.prompt, lambda: None), slow.queue.snapshot)
    assert ended == ["announced", "done"]
