"""Parameters that have no effect on this engine: said in the job's log, or refused, never dropped silently."""

from collections.abc import Iterator

from generation.params import TOGGLES, GenerationParams
from jobs.errors import EngineFailed
from jobs.events import Log


def refuse_unsupported(params: GenerationParams) -> None:
    for toggle, title in TOGGLES.items():
        if getattr(params, toggle):
            raise EngineFailed(f"{title} is not implemented yet in Isengard; ask again without {toggle}.")


def tell_without_effect(params: GenerationParams) -> Iterator[Log]:
    for name, reason in _without_effect(params):
        yield Log(
            message=f"{name} has no effect: {reason}",
            level="WARNING",
            event="generation.parameter_without_effect",
            fields={"parameter": name},
        )


def _without_effect(params: GenerationParams) -> Iterator[tuple[str, str]]:
    for name, field in GenerationParams.model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and extra["wired"] is False and getattr(params, name) != field.default:
            yield name, str(extra["reason"])
    default_guidance = GenerationParams.model_fields["guidance_scale"].default
    if params.model_variant == "flux-schnell" and params.guidance_scale != default_guidance:
        yield "guidance_scale", "FLUX schnell was distilled without guidance."
