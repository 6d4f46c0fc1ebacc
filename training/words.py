"""A training's order and parameters, in words."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from pydantic import ValidationError

from base_models import MODELS
from jobs import in_words
from jobs.in_words import Told
from jobs.models import Job
from jobs.resume_points import ResumePoint
from training.engines.aitoolkit import prompts
from training.params import TrainingParams

UNITS: Mapping[str, str] = MappingProxyType(
    {
        "resolution": "pixels",
        "sample_every_n_steps": "steps",
        "checkpoint_every_n_steps": "steps",
    }
)
ALWAYS = ("steps", "learning_rate", "lora_rank", "resolution", "batch_size", "optimizer")


def asked_for(job: Job) -> Iterator[Told]:
    """Yield the base model, the trigger word and where it begins, then the parameters."""
    order = job.order
    if order.get("base_model"):
        name = order["base_model"]
        yield Told(label="Base model", text=MODELS[name].title if name in MODELS else name)
    if order.get("preset_name"):
        yield Told(label="Preset", text=order["preset_name"])
    if order.get("trigger_word"):
        yield Told(label="Trigger word", text=order["trigger_word"])
    point = ResumePoint.of(job)
    yield Told(label="Begins", text=f"at {point.in_words}" if point else "from the beginning", is_telling=bool(point))
    yield from in_words.parameters(TrainingParams, job.config, units=UNITS, always=ALWAYS)


def sample_prompts(job: Job) -> list[str]:
    """Return the prompts as the engine is given them; none for a job whose parameters are not understood any more."""
    try:
        params = TrainingParams.model_validate(job.config)
    except ValidationError:
        return []
    return prompts.sample_prompts(params, prompts.plain_trigger(job.order.get("trigger_word", "")))
