"""The end of a job's row and of its files. A trained LoRA belongs to its character and stays."""

from functools import partial

from django.db import transaction

from characters.files import discard, discard_folder
from jobs import files
from jobs.models import Job
from jobs.progress.writer import forget
from jobs.resume_points import job_that_needs_checkpoints_of


class NotDeletable(Exception):
    """The job has not ended, its engine is still at work, or another goes on from its checkpoint."""


def is_deletable(job: Job) -> bool:
    """The holder decides beside the status: an engine that is being stopped may still write."""
    return job.is_terminal and job.holder is None and job_that_needs_checkpoints_of(job.pk) is None


def delete_job(job_id: str) -> None:
    """Remove an ended job, its log and what it published. Raises NotDeletable or Job.DoesNotExist."""
    with transaction.atomic():
        job = Job.objects.select_for_update().get(pk=job_id)
        if not is_deletable(job):
            raise NotDeletable(_why_kept(job))
        keys = list(job.artifacts.values_list("key", flat=True))
        if job.log_key:
            keys.append(job.log_key)
        job.delete()
        transaction.on_commit(partial(_discard_files, job_id, keys), robust=True)


def _why_kept(job: Job) -> str:
    heir = job_that_needs_checkpoints_of(job.pk)
    if heir is not None:
        return f"{job.pk} has the checkpoint that {heir} goes on from: wait for that one, or cancel it first."
    return f"{job.pk} is {job.status} and its engine may be at work: cancel it first."


def _discard_files(job_id: str, keys: list[str]) -> None:
    discard(keys)
    for folder in _own_folders(job_id, keys):
        discard_folder(folder)
    files.remove_workspace(job_id)
    forget(job_id)


def _own_folders(job_id: str, keys: list[str]) -> list[str]:
    """Return the folders of this job alone, the innermost first: `samples/<job>/<attempt>`, `samples/<job>`."""
    folders: set[str] = set()
    for key in keys:
        parts = key.split("/")[:-1]
        folders.update("/".join(parts[:depth]) for depth in range(2, len(parts) + 1) if parts[1] == job_id)
    return sorted(folders, key=len, reverse=True)
