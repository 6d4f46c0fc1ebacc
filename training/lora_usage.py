"""Which LoRAs trainings still need: more steps for a finished training begin from its file."""

from characters.loras import LoraInUse
from jobs.resume_points import job_that_needs_lora


def refuse_while_in_use(lora_id: str) -> None:
    """Raise LoraInUse if a training that has not ended goes on from the LoRA."""
    user = job_that_needs_lora(lora_id)
    if user is not None:
        raise LoraInUse(f"LoRA {lora_id} is what {user} goes on from: wait for it, or cancel it first.")
