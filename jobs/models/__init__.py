from jobs.models.job import (
    LIVE,
    LONGEST_PAUSE,
    TERMINAL,
    WAITING,
    Attempt,
    Job,
    JobQuerySet,
    Status,
    new_job_id,
)
from jobs.models.places import SLOT_SILENCE_SECONDS, GpuLease, QueueState, Slot
from jobs.models.traces import Artifact, IdempotencyKey, Instruction, JobLogLine, LossPoint

__all__ = [
    "LIVE",
    "LONGEST_PAUSE",
    "SLOT_SILENCE_SECONDS",
    "TERMINAL",
    "WAITING",
    "Artifact",
    "Attempt",
    "GpuLease",
    "IdempotencyKey",
    "Instruction",
    "Job",
    "JobLogLine",
    "JobQuerySet",
    "LossPoint",
    "QueueState",
    "Slot",
    "Status",
    "new_job_id",
]
