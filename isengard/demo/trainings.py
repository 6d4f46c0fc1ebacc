"""The demo's trainings: samples that come to look like somebody, checkpoints, a curve, a LoRA with its provenance."""

import hashlib
import io
import math
import random
import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from characters import files, loras
from characters.lora_facts import recorded_facts
from characters.models import Character, Lora, TrainingImage
from characters.safetensors_files import inspect, read_header, tensors_sha256, write_with_metadata
from isengard.demo import making, weights
from isengard.demo.history import Past
from isengard.demo.making import Line, Made
from isengard.demo.people import Person
from isengard.demo.portraits import draw, half_learned, scene_of
from jobs import events, losses
from jobs.models import Artifact, Attempt, Job, Status
from jobs.resume_points import ResumePoint
from training.offers import TRAINABLE
from training.params import resolve
from training.publication import provenance_of

BASE_MODEL = "flux-dev"
SAMPLE_PIXELS = 224
SAMPLE_ROUNDS, SAMPLES = 4, 2
LOSS_EVERY_STEPS = 2
TRAINER = {"name": "ai-toolkit", "version": "demo", "commit": ""}
PRESETS = {500: "quick", 1000: "balanced", 2000: "quality"}


def make_training(past: Past, person: Person, character: Character, *, before: Job | None, folder: Path) -> Job:
    """Record a training with all that it left. `before` is the one that it is a retry of."""
    point = _checkpoint_of(before) if before else None
    job = _row(past, character, before, point)
    job.save(force_insert=True)
    Attempt.objects.bulk_create(making.attempts_of(past, job, first_steps=_first_steps(past, job, point)))
    rows = making.store(job, list(_files(past, person, job, folder))) if past.started_at else []
    if past.started_at:
        _store_curve(past, job)
    if past.status == Status.COMPLETED and past.ended_at:
        _publish_lora(job, character, past.ended_at)
    making.write_log(past, job, rows, list(_console(past, job)))
    return job


def _row(past: Past, character: Character, before: Job | None, point: ResumePoint | None) -> Job:
    preset = PRESETS.get(past.steps)
    given: dict[str, object] = {
        "steps": past.steps,
        "sample_every_n_steps": past.steps // SAMPLE_ROUNDS,
        "sample_count": SAMPLES,
        "checkpoint_every_n_steps": max(100, past.steps // 4),
        "caption_strategy": "natural",
    }
    params = resolve(given, preset, model_defaults=TRAINABLE[BASE_MODEL].defaults)
    order: dict[str, Any] = {
        "base_model": BASE_MODEL,
        "preset_name": preset,
        "trigger_word": character.trigger_word,
        "character_name": character.name,
        **({"retry_of": before.pk} if before else {}),
        **({"resume_from": point.as_order()} if point else {}),
    }
    job = making.row_of(
        past, config=params.model_dump(mode="json"), order=order, total_steps=past.steps, character_id=character.pk
    )
    job.facts = {str(n): _facts(character, params.learning_rate) for n in range(1, job.attempt + 1)}
    if past.started_at and past.ended_at:
        seconds = (past.ended_at - past.started_at).total_seconds()
        job.iteration_speed = round(max(1, job.current_step) / seconds, 2)
        job.current_loss, job.learning_rate = _loss(job.current_step, random.Random(job.pk)), params.learning_rate
    return job


def _facts(character: Character, learning_rate: float) -> dict[str, Any]:
    images = list(TrainingImage.objects.filter(character=character).order_by("pk").values_list("pk", "sha256"))
    lines = sorted(f"{sha256}\n" for _, sha256 in images)
    dataset = {
        "hash": hashlib.sha256("".join(lines).encode()).hexdigest(),
        "image_count": len(images),
        "image_ids": [pk for pk, _ in images],
        "caption_strategy": "natural",
    }
    return {"dataset": dataset, "learning_rate": learning_rate, "seed": 42, "start_step": 0, "trainer": TRAINER}


def _first_steps(past: Past, job: Job, point: ResumePoint | None) -> list[int | None]:
    first = point.step if point else 0
    every = job.config["checkpoint_every_n_steps"]
    return [first, int(past.steps * (past.interrupted_at or 0)) // every * every]


def _checkpoint_of(job: Job) -> ResumePoint | None:
    newest = job.artifacts.filter(type="checkpoint").order_by("-step").first()
    return ResumePoint(job_id=job.pk, step=newest.step or 0, key=newest.key) if newest else None


def _files(past: Past, person: Person, job: Job, folder: Path) -> Iterator[Made]:
    """Yield the engine's configuration, the samples so far and the newest checkpoints."""
    config = folder / events.ENGINE_CONFIG_NAME
    config.write_bytes(orjson.dumps({"job": "extension", "config": job.config}, option=orjson.OPT_INDENT_2))
    yield _made(past, job, "config", config, step=None)
    every = job.config["sample_every_n_steps"]
    for step in range(0, job.current_step + 1, every):
        for number in range(SAMPLES):
            yield _made(past, job, "sample", _sample(past, person, step, number, folder), step=step)
    every = job.config["checkpoint_every_n_steps"]
    saved = [step for step in range(every, job.current_step + 1, every) if step < past.steps]
    for step in saved[-job.config["max_checkpoints"] :]:
        path = folder / f"{job.pk}_{step:09d}.safetensors"
        path.write_bytes(weights.lora_file(seed=f"{job.pk} {step}", rank=job.config["lora_rank"]))
        yield _made(past, job, "checkpoint", path, step=step)


def _made(past: Past, job: Job, kind: events.ArtifactType, path: Path, *, step: int | None) -> Made:
    at = _moment(past, job, step or 0)
    first_attempts = making.spans(past)
    attempt = 1 if at <= first_attempts[0][1] else len(first_attempts)
    return Made(file=events.Artifact(type=kind, name=path.name, path=path, step=step), at=at, attempt=attempt)


def _moment(past: Past, job: Job, step: int) -> datetime:
    """Return when a step was made, as if all took the same time."""
    if past.started_at is None or past.ended_at is None:
        return past.created_at
    return past.started_at + (past.ended_at - past.started_at) * (step / max(1, job.current_step))


def _sample(past: Past, person: Person, step: int, number: int, folder: Path) -> Path:
    """Draw the same scene in each round, ever more like the person."""
    # Early trainings of the demo learn less, so that there is something to compare.
    likeness = (step / past.steps) ** 0.5 * min(1.0, 0.85 + past.steps / 10_000)
    picture = draw(person.face, scene_of(random.Random(f"{past.job_id} {number}")), (SAMPLE_PIXELS, SAMPLE_PIXELS))
    path = folder / f"step_{step:05d}{f'_{number}' if number else ''}.png"
    half_learned(picture, likeness, random.Random(f"{past.job_id} {step}")).save(path, compress_level=2)
    return path


def _loss(step: int, dice: random.Random) -> float:
    return round(0.22 + 0.34 * math.exp(-step / 220) + dice.gauss(0, 0.045), 5)


def _store_curve(past: Past, job: Job) -> None:
    dice = random.Random(job.pk)
    steps = range(1, job.current_step + 1, LOSS_EVERY_STEPS)
    rate = job.config["learning_rate"]
    points = [
        events.Loss(
            step=step,
            loss=_loss(step, dice),
            learning_rate=rate * (1 + math.cos(math.pi * step / past.steps)) / 2,
        )
        for step in steps
    ]
    content = losses.as_file(points)
    key = f"logs/{job.pk}/{secrets.token_hex(4)}-{losses.FILE_NAME}"
    files.publish(key, io.BytesIO(content))
    named: dict[str, Any] = {"job": job, "type": losses.LOSS_CURVE, "name": losses.FILE_NAME}
    Artifact.objects.create(**named, key=key, size_bytes=len(content), created_at=job.completed_at or job.created_at)


def _publish_lora(job: Job, character: Character, ended_at: datetime) -> None:
    version = loras.issue_version(character.pk)
    name, key = f"{character.name} v{version}", f"loras/{character.pk}/v{version}.safetensors"
    provenance = replace(provenance_of(job, title=name), ended_at=ended_at)
    raw = io.BytesIO(weights.lora_file(seed=job.pk, rank=job.config["lora_rank"]))
    header, target = read_header(raw), io.BytesIO()
    metadata = provenance.as_metadata(header.metadata, tensors_sha256=tensors_sha256(raw, header))
    written = write_with_metadata(raw, header, metadata, target=target)
    target.seek(0)
    facts = recorded_facts(inspect(target))
    target.seek(0)
    files.publish(key, target)
    Lora.objects.create(
        id=f"lora-{job.pk.partition('-')[2]}",
        character=character,
        version=version,
        name=name,
        key=key,
        trigger_word=character.trigger_word,
        size_bytes=written.size_bytes,
        sha256=written.sha256,
        base_model=BASE_MODEL,
        job_id=job.pk,
        details={**facts, **provenance.as_details()},
        created_at=ended_at,
    )
    job.output_key = key
    job.save(update_fields=["output_key"])


def _console(past: Past, job: Job) -> Iterator[Line]:
    if past.started_at is None:
        return
    count = job.facts["1"]["dataset"]["image_count"]
    texts = ("Loading transformer", "Quantizing transformer", "Loading VAE", "Loading T5", f"  -  Found {count} images")
    for text in texts:
        yield Line(at=past.started_at, event="engine.console", message=text)
    for step in range(100, job.current_step + 1, 100):
        loss = _loss(step, random.Random(f"{job.pk} {step}"))
        text = f"step {step}/{past.steps} loss: {loss:.3f} lr: {job.config['learning_rate']:.1e}"
        yield Line(at=_moment(past, job, step), event="engine.console", message=text)
