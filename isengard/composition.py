"""Where what the layers below offer is connected: nobody else knows both ends."""

from characters.lifecycle import on_delete
from characters.loras import before_delete
from generation import inputs, workflow_choice
from generation import lora_usage as generation_usage
from jobs import leftovers
from jobs.cancelling import cancel_jobs_of_character
from training import lora_usage as training_usage


def compose() -> None:
    """Connect the apps. Called once, when all of them are loaded."""
    on_delete(cancel_jobs_of_character)
    before_delete(generation_usage.refuse_while_in_use)
    before_delete(training_usage.refuse_while_in_use)
    leftovers.also_find(inputs.find_leftovers)
    leftovers.also_find(workflow_choice.find_leftovers)
