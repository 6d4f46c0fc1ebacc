"""What a form of a generation asks for: a new one, or one that differs from an earlier one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, QueryDict
from pydantic import ValidationError

from generation import presets
from generation.again import RerunRequest, rerun_generation
from generation.kind import GenerationKind
from generation.params import DEFAULT_VARIANT, VARIANTS, GenerationParams
from generation.service import GenerationRequest, start_generation
from isengard.cockpit.start import loras
from isengard.cockpit.start.fields import as_number, changed, read
from isengard.cockpit.start.grouping import Layout
from isengard.cockpit.start.loras import Row
from isengard.cockpit.start.submitting import correlation_id_of, key_of
from isengard.cockpit.start.timing import AT_ONCE, Timing
from jobs import schedule
from jobs.idempotency import Submission
from jobs.models import Job
from jobs.params import describe, parse

MODEL, PRESET, WORKFLOW, COUNT = "model_variant", "preset_name", "workflow", "count"
AGAIN, INDEX = "again", "index"
DECLARED: Mapping[str, Mapping[str, Any]] = describe(GenerationParams)
LAYOUT = Layout(
    first=(
        ("What it shows", ("prompt", "negative_prompt", "dynamic_prompts")),
        ("How it is painted", ("width", "height", "steps", "guidance_scale", "seed")),
    ),
    later=(
        ("Enlarge, and paint faces again", ("use_upscale", "upscale_factor", "use_facedetailer")),
        (
            "Work from other pictures",
            (
                "init_image",
                "denoise",
                "use_controlnet",
                "control_image",
                "control_type",
                "control_preprocess",
                "control_strength",
                "control_start",
                "control_end",
                "use_ipadapter",
                "reference_image",
                "reference_strength",
            ),
        ),
    ),
    apart=frozenset({MODEL, WORKFLOW, *loras.NAMES}),
)
# What another page may fill in beforehand.
PREFILLED = ("prompt", "init_image")


@dataclass(frozen=True, kw_only=True)
class GenerationForm:
    """`asked` are the parameters that are not left to model, preset or workflow. `count` is a number where one was
    given."""

    model: str = DEFAULT_VARIANT
    preset: str = ""
    workflow: str = ""
    asked: Mapping[str, Any]
    rows: Sequence[Row] = ()
    count: Any = 1
    timing: Timing = AT_ONCE

    @classmethod
    def opened(cls, query: QueryDict) -> "GenerationForm":
        model, preset, lora_id = query.get(MODEL, ""), query.get(PRESET, ""), query.get("lora_id", "")
        return cls(
            model=model if model in VARIANTS else DEFAULT_VARIANT,
            preset=preset,
            workflow=query.get(WORKFLOW, ""),
            asked={name: query[name] for name in PREFILLED if query.get(name)},
            rows=[Row(lora_id, loras.USUAL_STRENGTH)] if lora_id else [],
        )

    @classmethod
    def sent(cls, sent: QueryDict) -> "GenerationForm":
        model, preset, workflow = sent.get(MODEL, DEFAULT_VARIANT), sent.get(PRESET, ""), sent.get(WORKFLOW, "")
        usual = cls(model=model, preset=preset, workflow=workflow, asked={}).usual
        return cls(
            model=model,
            preset=preset,
            workflow=workflow,
            asked=_asked(sent, usual),
            rows=loras.rows_sent(sent),
            count=_count(sent),
            timing=Timing.sent(sent),
        )

    @property
    def usual(self) -> Mapping[str, Any]:
        """Return what is taken where nothing is asked for."""
        return taken(self.model, self.preset)

    def submit(self, request: HttpRequest) -> Submission:
        """Raises what the API would answer."""
        config = {**self.asked, **loras.as_config(self.rows), **self._painter()}
        body = {"config": config, COUNT: self.count, **self.timing.body()}
        filled = presets.applied(body | ({PRESET: self.preset} if self.preset else {}))
        wanted = schedule.settled(parse(GenerationRequest, filled), cancel_after=self.timing.cancel_after)
        key = key_of(request, GenerationKind.name)
        return start_generation(wanted, correlation_id=correlation_id_of(request), key=key)

    def _painter(self) -> dict[str, str]:
        """Return the operator's workflow, which knows its model itself, or the model."""
        return {WORKFLOW: self.workflow} if self.workflow else {MODEL: self.model}


@dataclass(frozen=True, kw_only=True)
class AgainForm(GenerationForm):
    """For a generation like `job`, but for what is changed. `index` is the picture that it begins with."""

    job: Job
    index: int | None

    @classmethod
    def of(cls, job: Job, index: int | None) -> "AgainForm":
        variant = job.config.get(MODEL)
        return cls(
            model=variant if variant in VARIANTS else DEFAULT_VARIANT,
            asked={},
            rows=loras.rows_of(job.order),
            count=1 if index is not None else job.order["count"],
            job=job,
            index=index,
        )

    def filled(self, sent: QueryDict) -> "AgainForm":
        """Return it as it was sent."""
        return AgainForm(
            model=sent.get(MODEL, self.model),
            asked=_asked(sent, self.usual),
            rows=loras.rows_sent(sent),
            count=_count(sent),
            timing=Timing.sent(sent),
            job=self.job,
            index=self.index,
        )

    @property
    def usual(self) -> Mapping[str, Any]:
        config = {name: value for name, value in self.job.config.items() if value is not None}
        return config | ({"seed": config["seed"] + self.index} if self.index and "seed" in config else {})

    def submit(self, request: HttpRequest) -> Submission:
        body = {"config": self._changes(), COUNT: self.count, INDEX: self.index, **self.timing.body()}
        wanted = schedule.settled(parse(RerunRequest, body), cancel_after=self.timing.cancel_after)
        key = key_of(request, f"{GenerationKind.name}-rerun")
        return rerun_generation(self.job, wanted, correlation_id=correlation_id_of(request), key=key)

    def _changes(self) -> dict[str, Any]:
        is_same = list(self.rows) == loras.rows_of(self.job.order)
        other_model = {MODEL: self.model} if self.model != self.job.config.get(MODEL) else {}
        return {**self.asked, **({} if is_same else loras.as_change(self.rows)), **other_model}


def _asked(sent: QueryDict, usual: Mapping[str, Any]) -> dict[str, Any]:
    """Return what differs from what would be taken anyway, what was emptied included."""
    filled = read(DECLARED, LAYOUT.names(DECLARED), sent)
    emptied = {name: DECLARED[name].get("default") for name in usual if name in sent and name not in filled}
    return changed(filled, usual) | {
        name: value for name, value in emptied.items() if value in (None, "") and usual[name]
    }


def _count(sent: QueryDict) -> Any:
    text = sent.get(COUNT, "").strip()
    return as_number(text, "int") if text else 1


def taken(model: str, preset_name: str) -> Mapping[str, Any]:
    """Return what is taken where nothing is asked for; nothing for a model that is unknown."""
    if model not in VARIANTS:
        return {}
    preset = presets.all_presets().get(preset_name)
    # Whatever it is, there has to be a prompt.
    asked = {MODEL: model, "prompt": "-"}
    try:
        config = preset.filled(asked) if isinstance(preset, presets.Preset) else asked
        found = GenerationParams.model_validate(config).model_dump(mode="json")
    except ValidationError:
        # An operator's preset that does not go with this model.
        found = GenerationParams.model_validate(asked).model_dump(mode="json")
    return {name: value for name, value in found.items() if name != "prompt" and value is not None}
