"""One row of everything that the admin shows, as the tests need them."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from celery import current_app
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission, User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from kombu import Queue

from characters.models import Character, Lora, TrainingImage
from jobs.models import Artifact, GpuLease, IdempotencyKey, Job, JobLogLine, QueueState, Slot, Status

SHA = "0" * 64


def use_empty_storage(settings: Any, root: Path) -> Path:
    """Have files stored below `root`."""
    settings.MEDIA_ROOT = str(root)
    return root


def new_job(job_id: str, **fields: Any) -> Job:
    """Record a job whose row keeps the table's rules, whatever status it is to have."""
    made: dict[str, Any] = {"id": job_id, "kind": "generation", "status": Status.QUEUED, "total_steps": 10, **fields}
    made.setdefault("config", {"prompt": f"picture of {job_id}"})
    made.setdefault("order", {"count": 1, "loras": []})
    if made["status"] in (Status.COMPLETED, Status.FAILED, Status.CANCELLED):
        made.setdefault("completed_at", timezone.now())
    return Job.objects.create(**made)


def running_job(job_id: str, slot: Slot, **fields: Any) -> Job:
    holder = {"worker": {"host": "elsewhere", "pid": 4711}, "slot": slot.name, "token": job_id}
    claim = {"token": job_id, "slot": slot.name, "gpu": slot.gpu, "holder": holder, "attempt": 1}
    started = {"started_at": timezone.now() - timedelta(minutes=3), "heartbeat_at": timezone.now()}
    return new_job(job_id, **{"status": Status.RUNNING} | claim | started | fields)


def new_slot(name: str = "generation@http://127.0.0.1:8188", **fields: Any) -> Slot:
    gpu, _ = GpuLease.objects.get_or_create(host="here", gpu="0")
    return Slot.objects.create(**{"name": name, "kind": "generation", "capacity": 2, "gpu": gpu} | fields)


def publish(job: Job, name: str, kind: str = "output") -> Artifact:
    """Store a file, and record it as the job's."""
    key = default_storage.save(f"{kind}s/{job.pk}/1/{name}", ContentFile(b"pixels"))
    return Artifact.objects.create(
        job=job, type=kind, name=name, key=key, size_bytes=6, details={"index": 0, "seed": 7}
    )


def new_character(character_id: str = "char-1") -> Character:
    return Character.objects.create(id=character_id, name="Ada Lovelace", trigger_word="ada_person")


def one_of_everything() -> dict[type, Any]:
    """Return a row of each model that has an admin page."""
    character, slot = new_character(), new_slot()
    job = running_job("gen-1", slot, character_id=character.pk, progress=40, current_step=4)
    image = {"sha256": SHA, "sha256_as_sent": SHA, "content_type": "image/png", "width": 64, "height": 64, "bytes": 9}
    files = {"size_bytes": 1, "sha256": SHA}
    return {
        Character: character,
        TrainingImage: TrainingImage.objects.create(character=character, name="a.png", key="uploads/a.png", **image),
        Lora: Lora.objects.create(character=character, version=1, name="v1", key="loras/v1", **files),
        Job: job,
        Artifact: publish(job, "gen-1-0.png"),
        JobLogLine: JobLogLine.objects.create(job=job, level="INFO", event="job.claimed", message="Attempt started"),
        IdempotencyKey: IdempotencyKey.objects.create(scope="anonymous", key="k-1", fingerprint=SHA, job=job),
        QueueState: QueueState.objects.create(kind="generation", is_paused=True),
        GpuLease: slot.gpu,
        Slot: slot,
    }


def viewer(*extra: str) -> User:
    """Return a person who may look at everything, and do what `extra` permits: `change_job`."""
    user = User.objects.create_user("viewer", password="speak friend", is_staff=True)
    seen = Permission.objects.filter(codename__startswith="view_")
    user.user_permissions.set([*seen, *Permission.objects.filter(codename__in=extra)])
    return user


def page_of(client: Client, row: Any, action: str = "change") -> str:
    meta = type(row)._meta
    address = reverse(f"admin:{meta.app_label}_{meta.model_name}_{action}", args=[quote(row.pk)])
    response = client.get(address)
    assert response.status_code == 200, (address, response)
    return response.content.decode()


def stored_files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def count_rings(kind: str) -> int:
    """Return how many rings of a kind wait to be heard."""
    with current_app.connection_for_read() as connection:
        return int(Queue(kind).bind(connection.default_channel).queue_declare().message_count)
