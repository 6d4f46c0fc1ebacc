"""The demo's generations: pictures that say how they were made."""

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from PIL import Image

from characters.loras import current_lora
from characters.models import Character
from generation import pictures
from generation.engines.order import GenerationOrder
from generation.lora_choice import ChosenLora
from generation.params import VARIANTS, GenerationParams
from isengard.demo import making
from isengard.demo.history import Past
from isengard.demo.making import Made
from isengard.demo.people import Person
from isengard.demo.portraits import draw, scene_of
from isengard.demo.scenery import draw_scenery
from isengard.demo.texts import LANDSCAPES, NEGATIVE, PROMPTS
from jobs import events
from jobs.models import Attempt, Job, Status

SIZES = ((512, 640), (512, 640), (640, 512), (512, 512))


def make_generation(
    past: Past, person: Person | None, character: Character | None, *, before: Job | None, folder: Path
) -> Job:
    """Record a generation with its pictures. Without a character, or before its first LoRA, it shows a landscape."""
    dice = random.Random(past.job_id)
    chosen = _chosen(character, dice)
    job = _row(past, chosen, before, dice)
    job.save(force_insert=True)
    Attempt.objects.bulk_create(making.attempts_of(past, job, first_steps=[None]))
    rows = making.store(job, list(_pictures(past, person if chosen else None, job, folder)))
    making.write_log(past, job, rows)
    return job


def _chosen(character: Character | None, dice: random.Random) -> ChosenLora | None:
    lora = current_lora(character.pk) if character else None
    strength = dice.choice((0.8, 0.9, 1.0, 1.0))
    return ChosenLora(field="lora_id", lora=lora, strength=strength) if lora else None


def _row(past: Past, chosen: ChosenLora | None, before: Job | None, dice: random.Random) -> Job:
    params = _params(chosen, dice)
    order: dict[str, Any] = {
        "count": past.count,
        "loras": [chosen.as_order()] if chosen else [],
        "model": {"name": params.model_variant, "family": VARIANTS[params.model_variant].family},
        "images": {},
        "prompts": [],
        **({"retry_of": before.pk} if before else {}),
    }
    return making.row_of(
        past,
        config=params.model_dump(mode="json"),
        order=order,
        total_steps=params.steps * past.count,
        character_id=chosen.lora.character_id if chosen else None,
    )


def _params(chosen: ChosenLora | None, dice: random.Random) -> GenerationParams:
    width, height = dice.choice(SIZES)
    word = chosen.lora.trigger_word if chosen else ""
    given: dict[str, Any] = {"lora_id": chosen.lora.character_id, "lora_strength": chosen.strength} if chosen else {}
    is_quick = dice.random() < 0.25
    return GenerationParams(
        prompt=dice.choice(PROMPTS if chosen else LANDSCAPES).format(word=word),
        negative_prompt=NEGATIVE if dice.random() < 0.2 else "",
        width=width if chosen else 640,
        height=height if chosen else 512,
        steps=4 if is_quick else 20,
        seed=dice.randrange(10**9),
        model_variant="flux-schnell" if is_quick else "flux-dev",
        **given,
    ).fitted()


def _pictures(past: Past, person: Person | None, job: Job, folder: Path) -> Iterator[Made]:
    if past.status != Status.COMPLETED or past.started_at is None or past.ended_at is None:
        return
    params = GenerationParams.model_validate(job.config)
    order = GenerationOrder(
        job_id=job.pk,
        attempt=1,
        params=params,
        count=past.count,
        done=frozenset(),
        loras=(),
        server_url="",
        workspace=folder,
        controls=events.Controls(),
    )
    used = tuple(pictures.UsedLora.of_order(lora) for lora in job.order["loras"])
    seconds = (past.ended_at - past.started_at).total_seconds() / past.count
    for index in range(past.count):
        path = folder / f"{job.pk}-{index}.png"
        _paint(person, params, order.seed_of(index)).save(path, compress_level=2)
        details = {
            "index": index,
            "seed": order.seed_of(index),
            "width": params.width,
            "height": params.height,
            "seconds": round(seconds, 2),
        }
        output = events.Artifact(type="output", name=path.name, path=path, details=details)
        explained = pictures.explain(output, order, loras=used, version=settings.VERSION)
        yield Made(file=explained, at=past.started_at + timedelta(seconds=seconds * (index + 1)), attempt=1)


def _paint(person: Person | None, params: GenerationParams, seed: int) -> Image.Image:
    size, dice = (params.width, params.height), random.Random(seed)
    return draw(person.face, scene_of(dice), size) if person else draw_scenery(dice, size)
