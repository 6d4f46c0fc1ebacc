"""Where prompts really are. The server's queue and history decide; the socket only hints."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum

from pydantic import ValidationError

from generation.engines.comfyui.answers import ExecutionError, HistoryEntry, NodeOutput, OutputFile, QueueView
from generation.engines.comfyui.client import Client

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
    seconds: float | None = None
    """How long a finished prompt executed, by the server's own clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """`began_at` is by the monotonic clock."""

    began_at: float
    queue: QueueView
    verdicts: Mapping[str, Verdict]


def look(client: Client, prompts: Mapping[str, Collection[str]]) -> Look:
    """Look for prompts, each with the nodes that save its image."""
    began_at = time.monotonic()
    # The queue is read before the history: the other way round, a prompt that ends between the two would look lost.
    queue = client.queue()
    verdicts = {prompt_id: _look_at(client, queue, prompt_id, saving) for prompt_id, saving in prompts.items()}
    return Look(began_at=began_at, queue=queue, verdicts=verdicts)


def _look_at(client: Client, queue: QueueView, prompt_id: str, saving: Collection[str]) -> Verdict:
    if prompt_id in queue.running:
        return Verdict(state=PromptState.RUNNING)
    if prompt_id in queue.pending:
        return Verdict(state=PromptState.PENDING)
    entry = client.history(prompt_id)
    return Verdict(state=PromptState.ABSENT) if entry is None else judge(entry, saving)


def judge(entry: HistoryEntry, saving: Collection[str]) -> Verdict:
    """Tell success, failure and interruption apart, which last two share the status "error".

    Only a success has files: what a prompt saved before it failed is listed too, and is not what was asked for.
    """
    messages = dict(entry.status.messages)
    if entry.status.status_str == "success":
        return Verdict(state=PromptState.DONE, files=_files(entry, saving), seconds=_seconds(messages))
    if "execution_interrupted" in messages:
        return Verdict(state=PromptState.INTERRUPTED)
    return Verdict(state=PromptState.FAILED, error=_error(messages.get("execution_error", {})))


def _files(entry: HistoryEntry, saving: Collection[str]) -> tuple[OutputFile, ...]:
    outputs = [entry.outputs[node_id] for node_id in sorted(saving) if node_id in entry.outputs]
    try:
        return tuple(file for output in outputs for file in NodeOutput.model_validate(output).images)
    except ValidationError:
        return ()


def _error(message: object) -> ExecutionError:
    try:
        return ExecutionError.model_validate(message)
    except ValidationError:
        return NO_ERROR


def _seconds(messages: Mapping[str, Mapping[str, object]]) -> float | None:
    start, end = (messages.get(name, {}).get("timestamp") for name in ("execution_start", "execution_success"))
    if not isinstance(start, int | float) or not isinstance(end, int | float):
        return None
    return round(max(0.0, end - start) / 1000, 3)
