"""Artifacts: a file goes into storage, then its row appears if the claim still stands."""

from typing import Any

from django.db import transaction
from django.db.models import F

from characters import files
from jobs import events
from jobs.lease import ClaimEnded
from jobs.models import Artifact
from jobs.transitions import Claim

FOLDERS = {
    "sample": "samples",
    "checkpoint": "checkpoints",
    "model": "loras",
    "output": "outputs",
    "log": "logs",
    "config": "logs",
}


def storage_key(claim: Claim, artifact: events.Artifact) -> str:
    """Return where it goes: no two attempts ever write to the same place."""
    return f"{FOLDERS[artifact.type]}/{claim.job_id}/{claim.attempt}/{artifact.name}"


def publish_artifact(claim: Claim, artifact: events.Artifact) -> Artifact:
    """Publish a whole file, fenced. The same name again, from a later attempt, replaces the row.

    Raises ClaimEnded if the job was cancelled or given to somebody else meanwhile. Twice is safe.
    """
    key = storage_key(claim, artifact)
    published = Artifact.objects.filter(key=key).first()
    if published is not None:
        return published
    with artifact.path.open("rb") as content:
        files.publish(key, content)
    try:
        with transaction.atomic():
            return _record(claim, artifact, key)
    except BaseException:
        files.discard_unnamed(key, Artifact.objects.all())
        raise


def _record(claim: Claim, artifact: events.Artifact, key: str) -> Artifact:
    # A checkpoint is progress that outlives a death, so deaths are counted anew from here. The update is the fence too:
    # it locks the row until the artifact's own is written.
    crashes = 0 if artifact.type == "checkpoint" else F("crashes")
    if not claim.live().update(crashes=crashes):
        raise ClaimEnded("lost")
    named: dict[str, Any] = {"job_id": claim.job_id, "type": artifact.type, "name": artifact.name}
    before = Artifact.objects.filter(**named).values_list("key", flat=True).first()
    if before is not None and before != key:
        transaction.on_commit(lambda: files.discard([before]))
    row, _ = Artifact.objects.update_or_create(
        **named,
        defaults={
            "key": key,
            "size_bytes": artifact.path.stat().st_size,
            "step": artifact.step,
            "details": dict(artifact.details),
        },
    )
    return row


@transaction.atomic
def drop_old_checkpoints(job_id: str, *, kept: int) -> None:
    """Remove all but the newest checkpoints, as the trainer does in its own folder."""
    checkpoints = Artifact.objects.filter(job_id=job_id, type="checkpoint").order_by("-step", "-id")
    old = list(checkpoints[kept:])
    Artifact.objects.filter(pk__in=[row.pk for row in old]).delete()
    transaction.on_commit(lambda: files.discard([row.key for row in old]))
