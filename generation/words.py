"""A generation's order and parameters, in words."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from generation.params import VARIANTS, GenerationParams
from jobs import in_words
from jobs.in_words import Told
from jobs.models import Job

UNITS: Mapping[str, str] = MappingProxyType({"width": "pixels", "height": "pixels", "upscale_factor": "times"})
ALWAYS = ("prompt", "width", "height", "steps", "guidance_scale", "seed")
# Told as they were found when the job was accepted: the name of a model, the version of each LoRA.
RESOLVED = frozenset({"lora_id", "lora_strength", "loras", "model_variant", "workflow"})


def asked_for(job: Job) -> Iterator[Told]:
    """Yield the parameters, behind what they were resolved to when the job was accepted."""
    order, variant = job.order, job.config.get("model_variant")
    if order.get("workflow"):
        yield Told(label="Workflow", text=order["workflow"]["name"])
    elif variant:
        yield Told(label="Model", text=VARIANTS[variant].title if variant in VARIANTS else str(variant))
    if order.get("preset_name"):
        yield Told(label="Preset", text=order["preset_name"])
    if "count" in order:
        yield Told(label="Images", text=str(order["count"]))
    for lora in order.get("loras", []):
        yield Told(label="LoRA", text=_lora(lora))
    config = {name: value for name, value in job.config.items() if name not in RESOLVED}
    yield from in_words.parameters(GenerationParams, config, units=UNITS, always=ALWAYS)


def _lora(lora: Mapping[str, Any]) -> str:
    title = lora.get("title", lora.get("id", "unnamed"))
    return f"{title}, strength {lora['strength']:g}" if "strength" in lora else title
