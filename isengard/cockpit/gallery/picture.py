"""A generated picture in words: in the grid, and on its own page."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.db.models import OuterRef, QuerySet, Subquery

from characters.models import Character, Lora
from generation import words
from generation.answers import THUMBNAIL_SIDE_PIXELS
from generation.params import VARIANTS
from jobs import readable
from jobs.in_words import Told
from jobs.models import Artifact, Job

FORMATS = ("png", "webp", "jpeg")
# What is the picture's own, where the job's is the first picture's or what was typed.
OWN = ("prompt", "negative_prompt", "seed", "width", "height")

TOLD_EXACTLY_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedLora:
    """`row` is None once it was deleted."""

    id: str
    name: str
    version: int | None
    strength: str
    row: Lora | None


def all_pictures() -> QuerySet[Artifact]:
    return Artifact.objects.filter(type="output")


def with_origin(pictures: QuerySet[Artifact]) -> QuerySet[Artifact]:
    """Add the jobs, and `character_name`, in the same query."""
    name = Character.objects.filter(pk=OuterRef("job__character_id")).values("name")[:1]
    return pictures.select_related("job").annotate(character_name=Subquery(name))


def tile_of(picture: Any) -> dict[str, Any]:
    """Return what the grid shows; `picture` comes from `with_origin`."""
    name, said = picture.character_name, [picture.character_name, model_of(picture.job), size_of(picture)]
    return {
        "name": picture.name,
        "thumbnail": f"{url_of(picture)}?size={THUMBNAIL_SIDE_PIXELS}",
        "prompt": prompt_of(picture),
        "facts": " · ".join(filter(None, said)),
        "age": f"{readable.age(picture.created_at)} ago",
        "created_at": picture.created_at,
        "character": name,
    }


def url_of(picture: Artifact) -> str:
    return f"/api/outputs/{quote(picture.name)}"


def prompt_of(picture: Artifact) -> str:
    """Return the prompt as the model read it, or as it was typed where that is not known."""
    return str(picture.details.get("prompt") or picture.job.config.get("prompt", ""))


def model_of(job: Job) -> str:
    workflow, variant = job.order.get("workflow"), job.config.get("model_variant")
    if workflow:
        return f"workflow {workflow['name']}"
    return VARIANTS[variant].title if variant in VARIANTS else str(variant or "")


def size_of(picture: Artifact) -> str:
    details = picture.details
    return f"{details['width']} × {details['height']}" if details.get("width") else ""


def facts_of(picture: Artifact) -> Iterator[Told]:
    """Yield what is known of this picture alone."""
    details, job = picture.details, picture.job
    if "seed" in details:
        yield Told(label="Seed", text=str(details["seed"]))
    if size_of(picture):
        yield Told(label="Size", text=f"{size_of(picture)} pixels")
    yield Told(label="Place in its job", text=f"{details.get('index', 0) + 1} of {job.order.get('count', 1)}")
    if details.get("seconds") is not None:
        yield Told(label="Made in", text=_seconds(details["seconds"]))
    yield Told(label="File", text=readable.size(picture.size_bytes))


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < TOLD_EXACTLY_SECONDS else readable.duration(seconds)


def asked_for(picture: Artifact) -> list[Told]:
    """Return what was asked of the job, but for what the picture tells itself."""
    job = picture.job
    config = {name: value for name, value in job.config.items() if name not in OWN}
    order = {name: value for name, value in job.order.items() if name not in ("loras", "count")}
    return list(words.asked_for(Job(id=job.pk, kind=job.kind, config=config, order=order)))


def loras_of(picture: Artifact) -> list[UsedLora]:
    """Return the LoRAs in the order in which they acted."""
    used = [lora for lora in picture.job.order.get("loras", []) if "id" in lora]
    rows = Lora.objects.in_bulk([lora["id"] for lora in used])
    return [
        UsedLora(
            id=lora["id"],
            name=lora.get("title") or lora["id"],
            version=lora.get("version"),
            strength=f"{lora.get('strength', 1.0):g}",
            row=rows.get(lora["id"]),
        )
        for lora in used
    ]


def downloads_of(picture: Artifact) -> list[dict[str, str]]:
    stem = picture.name.rpartition(".")[0]
    return [
        {"title": form.upper(), "url": f"{url_of(picture)}?format={form}", "name": f"{stem}.{form}"} for form in FORMATS
    ]
