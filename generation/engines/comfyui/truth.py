"""Where prompts really are. The server's queue and history decide; the socket only hints."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from generation.engines.comfyui.answers import ExecutionError, HistoryEntry, OutputFile, QueueView
from generation.engines.comfyui.client import Client
from generation.engines.comfyui.graph import SAVE

NO_ERROR = ExecutionError()


class PromptState(Enum):
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    ABSENT = "absent"
    """In neither queue nor history: deleted, or lost with a restart of the server, or about to be in the history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    state: PromptState
    files: tuple[OutputFile, ...] = ()
    error: ExecutionError = NO_ERROR


def look(client: Client, prompt_ids: Collection[str]) -> dict[str, Verdict]:
    # The queue is read before the history: the other way round, a prompt that ends between the two would look lost.
    queue = client.queue()
    return {prompt_id: _look_at(client, queue, prompt_id) for prompt_id in prompt_ids}


def _look_at(client: Client, queue: QueueView, prompt_id: str) -> Verdict:
    if prompt_id in queue.running:
        return Verdict(state=PromptState.RUNNING)
    if prompt_id in queue.pending:
        return Verdict(state=PromptState.PENDING)
    entry = client.history(prompt_id)
    return Verdict(state=PromptState.ABSENT) if entry is None else judge(entry)


def judge(entry: HistoryEntry) -> Verdict:
    """Tell success, failure and interruption apart, which last two share the status "error"."""
    if entry.status.status_str == "success":
        output = entry.outputs.get(SAVE)
        return Verdict(state=PromptState.DONE, files=output.images if output else ())
    messages = dict(entry.status.messages)
    if "execution_interrupted" in messages:
        return Verdict(state=PromptState.INTERRUPTED)
    return Verdict(state=PromptState.FAILED, error=ExecutionError.model_validate(messages.get("execution_error", {})))
