"""Which LoRAs generations still need."""

from django.db.models import Q

from characters.loras import LoraInUse
from generation.kind import GenerationKind
from jobs.models import LIVE, Job


def refuse_while_in_use(lora_id: str) -> None:
    """Raise LoraInUse if a generation names the LoRA and has not ended, or its engine is still at work."""
    at_work = Job.objects.filter(Q(status__in=LIVE) | Q(holder__isnull=False), kind=GenerationKind.name)
    users = [
        job_id
        for job_id, order in at_work.order_by("created_at").values_list("pk", "order").iterator()
        if any(lora["id"] == lora_id for lora in order.get("loras", ()))
    ]
    if users:
        more = f" and {len(users) - 1} more" if len(users) > 1 else ""
        raise LoraInUse(f"LoRA {lora_id} is in use by {users[0]}{more}: wait for it, or cancel it first.")
