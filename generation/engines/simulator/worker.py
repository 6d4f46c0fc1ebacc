"""The thread that runs prompts, one after the other."""

import threading
import time

from generation.engines.simulator.announcer import Announcer
from generation.engines.simulator.errors import PromptForgotten
from generation.engines.simulator.execution import Execution, Workbench
from generation.engines.simulator.history import History
from generation.engines.simulator.hub import Hub
from generation.engines.simulator.interruption import Interruption
from generation.engines.simulator.prompt_queue import PromptQueue, QueuedPrompt

# The real server, too, writes the history a moment after it has announced the end.
HISTORY_LAG_SECONDS = 0.002
NO_PREVIEWS = "none"


class Worker:
    def __init__(
        self, bench: Workbench, *, queue: PromptQueue, history: History, hub: Hub, preview_method: str
    ) -> None:
        self._bench = bench
        self._queue = queue
        self._history = history
        self._hub = hub
        self._preview_method = preview_method
        self._current: tuple[QueuedPrompt, Interruption] | None = None

    def start(self) -> None:
        threading.Thread(target=self._work, name="prompts", daemon=True).start()

    def interrupt(self, prompt_id: str | None) -> None:
        """Stop the running prompt, whichever it is if `prompt_id` is None. Nothing is kept for a later prompt."""
        current = self._current
        if current and prompt_id in (None, current[0].prompt_id):
            current[1].ask()

    def forget(self) -> None:
        """End the running prompt without a word, and lose what is cached."""
        current = self._current
        if current:
            current[1].forget()
        self._queue.ask_to_free({"unload_models": True, "free_memory": True})

    def _work(self) -> None:
        while True:
            prompt = self._queue.take()
            if prompt is not None:
                self._run(prompt)
            self._free(self._queue.pop_free_request())

    def _run(self, prompt: QueuedPrompt) -> None:
        announcer = self._announcer(prompt)
        interruption = Interruption()
        self._current = prompt, interruption
        try:
            if not self._queue.is_running(prompt):
                return
            execution = Execution(prompt, bench=self._bench, announcer=announcer, interruption=interruption)
            execution.run()
        except PromptForgotten:
            return
        finally:
            self._current = None
        time.sleep(HISTORY_LAG_SECONDS + self._bench.faults.seconds("late-history"))
        if self._queue.finish(prompt, lambda: self._history.add(prompt.prompt_id, execution.entry())):
            announcer.ended()

    def _announcer(self, prompt: QueuedPrompt) -> Announcer:
        method = prompt.extra_data.get("preview_method") or self._preview_method
        return Announcer(
            self._hub,
            prompt_id=prompt.prompt_id,
            client_id=prompt.client_id,
            shows_previews=method != NO_PREVIEWS,
        )

    def _free(self, wanted: dict[str, bool]) -> None:
        if wanted.get("unload_models") or wanted.get("free_memory"):
            self._bench.residency.model = None
            self._bench.faults.take("full-gpu")
        if wanted.get("free_memory"):
            self._bench.cache.clear()
