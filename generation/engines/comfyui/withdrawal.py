"""Taking prompts back from a server, wherever they are in it."""

import logging
import time
from collections.abc import Collection, Mapping
from contextlib import closing

from generation.engines.comfyui.client import Client
from generation.engines.comfyui.errors import ServerAway
from generation.engines.comfyui.prompt_ids import PromptTag

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.5
LEFTOVER_SECONDS = 8.0


def withdraw(
    client: Client,
    prompt_ids: Collection[str],
    *,
    unreachable_seconds: float,
    stubborn_seconds: float,
    settle_seconds: float = 0.0,
) -> bool:
    """Delete and interrupt until none of the prompts waits or runs, and return whether that was reached.

    Gives up after `unreachable_seconds` without an answer, or when a prompt still runs after `stubborn_seconds`: a node
    such as a decode cannot be interrupted. One round is not enough: an interrupt that meets a prompt between its taking
    from the queue and its start is lost. Nor is one look, if a submission was not answered: what lies in the buffers of
    a server that was held up may be queued yet, so that the prompts must stay away for `settle_seconds`.
    """
    started = last_answer = time.monotonic()
    pause_seconds = FIRST_PAUSE_SECONDS
    gone_since: float | None = None
    while True:
        try:
            is_gone = not _ask_to_stop(client, frozenset(prompt_ids))
            last_answer = time.monotonic()
            gone_since = (gone_since or last_answer) if is_gone else None
            if gone_since is not None and last_answer - gone_since >= settle_seconds:
                return True
        except ServerAway as exc:
            if exc.is_refused:
                # Prompts live in the memory of the server, so that they are gone with it.
                return True
        now = time.monotonic()
        if now - last_answer > unreachable_seconds or now - started > stubborn_seconds + settle_seconds:
            logger.error("ComfyUI still holds some of the prompts %s", sorted(prompt_ids))
            return False
        time.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)


def take_back(client: Client, prompt_ids: frozenset[str]) -> None:
    """Ask once. For prompts that nobody waits for and that may be asked to stop again at the next look."""
    client.delete_pending(prompt_ids)
    for prompt_id in prompt_ids:
        # Without effect on any but the running one.
        client.interrupt(prompt_id)


def _ask_to_stop(client: Client, prompt_ids: frozenset[str]) -> frozenset[str]:
    """Return those that were still there after the waiting ones were deleted."""
    client.delete_pending(prompt_ids)
    queue = client.queue()
    for prompt_id in queue.running & prompt_ids:
        client.interrupt(prompt_id)
    return queue.present & prompt_ids


def stop_leftover(identity: Mapping[str, object]) -> bool:
    """Take back the prompts of a generation whose worker died, and return whether none is left on the server.

    `identity` is what the generation's `Holding` said, with the server's address as one talks to it. A server that
    refuses connections holds nothing; one that does not answer may still hold them.
    """
    server_url, prompt_ids = identity["server"], identity["prompts"]
    if not isinstance(server_url, str) or not isinstance(prompt_ids, list):
        raise TypeError("The identity names no ComfyUI server with prompts.")
    return take_back_all(server_url, [str(prompt_id) for prompt_id in prompt_ids], seconds=LEFTOVER_SECONDS)


def take_back_all(server_url: str, prompt_ids: Collection[str], *, seconds: float) -> bool:
    with closing(Client(server_url)) as client:
        return withdraw(client, prompt_ids, unreachable_seconds=seconds, stubborn_seconds=seconds)


def tagged_prompts(server_url: str) -> dict[str, PromptTag]:
    """Return what of ours waits or runs on the server. Raises ServerAway."""
    with closing(Client(server_url)) as client:
        return client.tagged_prompts()
