"""Where what the layers below offer is connected: nobody else knows both ends."""

from characters.lifecycle import on_delete
from characters.loras import before_delete
from generation.lora_usage import refuse_while_in_use
from jobs.cancelling import cancel_jobs_of_character


def compose() -> None:
    """Connect the apps. Called once, when all of them are loaded."""
    on_delete(cancel_jobs_of_character)
    before_delete(refuse_while_in_use)
