"""The one table of jobs of any kind, and their attempts. `jobs.transitions` alone writes `status`."""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.db import models
from django.db.models import F, Q
from django.utils import timezone


class Status(models.TextChoices):
    PENDING = "pending", "pending"
    QUEUED = "queued", "queued"
    RUNNING = "running", "running"
    COMPLETED = "completed", "completed"
    FAILED = "failed", "failed"
    CANCELLED = "cancelled", "cancelled"


WAITING = (Status.PENDING, Status.QUEUED)
LIVE = (*WAITING, Status.RUNNING)
TERMINAL = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)
# Between the attempts of a job. Before the first one it waits for its start time instead, which may be far away.
LONGEST_PAUSE = timedelta(minutes=1)


class JobQuerySet(models.QuerySet["Job"]):
    def waiting(self, kind: str) -> JobQuerySet:
        """Return unclaimed rows that may start now, the best first: priority, then age."""
        now = timezone.now()
        due = Q(run_after=None) | Q(run_after__lte=now)
        # A pause between attempts that lasts longer than any was written by another clock.
        due |= Q(attempt__gt=0, run_after__gt=now + LONGEST_PAUSE)
        in_time = Q(deadline_at=None) | Q(deadline_at__gt=now)
        return self.unclaimed(kind).filter(due, in_time).order_by("-priority", "created_at", "id")

    def unclaimed(self, kind: str) -> JobQuerySet:
        """Return all rows that wait, those that may not start yet included."""
        return self.filter(kind=kind, status__in=WAITING, token="")

    def live(self) -> JobQuerySet:
        return self.filter(status__in=LIVE)

    def held(self) -> JobQuerySet:
        """Return rows whose engine may still be at work, whatever their status says."""
        return self.filter(holder__isnull=False)


class Job(models.Model):
    """A run. `config`: the validated parameters as the API answers them; `order`: what was resolved at acceptance;
    `facts`: what the attempts found and used, told by their engine (`jobs.events.Facts`)."""

    id = models.CharField(primary_key=True, max_length=40)
    kind = models.CharField(max_length=20)
    # Text, not a foreign key: finished jobs outlive their character.
    character_id = models.CharField(max_length=40, null=True, blank=True, db_index=True)  # noqa: DJ001
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    config = models.JSONField(default=dict)
    order = models.JSONField(default=dict)
    facts = models.JSONField(default=dict, help_text="What each attempt worked with, by its number.")
    priority = models.IntegerField(default=0, help_text="Higher starts first.")
    created_at = models.DateTimeField(default=timezone.now)
    run_after = models.DateTimeField(null=True, blank=True, help_text="Not before this time.")
    deadline_at = models.DateTimeField(null=True, blank=True, help_text="Cancelled then, if it has not ended.")
    started_at = models.DateTimeField(null=True, blank=True, help_text="The first start.")
    completed_at = models.DateTimeField(null=True, blank=True)
    stepping_since = models.DateTimeField(null=True, blank=True, help_text="When this attempt made its first step.")
    correlation_id = models.CharField(max_length=128, blank=True)

    progress = models.PositiveSmallIntegerField(default=0, help_text="Percent.")
    current_step = models.PositiveIntegerField(default=0)
    total_steps = models.PositiveIntegerField(default=0)
    stage = models.CharField(max_length=30, default="queued")
    message = models.CharField(max_length=500, blank=True)
    iteration_speed = models.FloatField(null=True, blank=True, help_text="Steps per second.")
    eta_seconds = models.FloatField(null=True, blank=True)
    current_loss = models.FloatField(null=True, blank=True)
    learning_rate = models.FloatField(null=True, blank=True)
    event_seq = models.PositiveBigIntegerField(default=0, help_text="The last event of this attempt.")
    error_message = models.TextField(null=True, blank=True)  # noqa: DJ001
    failure_cause = models.CharField(max_length=40, blank=True, help_text="The kind of failure, e.g. out_of_memory.")
    output_key = models.CharField(
        max_length=300, blank=True, help_text="Storage key of the result, where there is one."
    )
    log_key = models.CharField(max_length=300, blank=True, help_text="Storage key of the archived log.")

    attempt = models.PositiveIntegerField(default=0, help_text="Claims so far.")
    crashes = models.PositiveIntegerField(default=0, help_text="Deaths since the last checkpoint.")
    failed_slots = models.JSONField(default=list, blank=True, help_text="Slots whose engine could not do it.")
    token = models.CharField(max_length=32, blank=True, help_text="Fences every write of the present claim.")
    slot = models.CharField(max_length=200, blank=True)
    gpu = models.ForeignKey("GpuLease", null=True, blank=True, on_delete=models.SET_NULL, related_name="jobs")
    holder = models.JSONField(null=True, blank=True, help_text="Whoever must be gone before the slot is free again.")
    heartbeat = models.PositiveBigIntegerField(default=0)
    heartbeat_at = models.DateTimeField(null=True, blank=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            # All that the queue asks of a waiting row, so that it is answered from the index alone.
            models.Index(
                fields=["kind", "status", "token", "-priority", "created_at", "id", "run_after"], name="job_waiting"
            ),
            models.Index(fields=["kind", "-created_at"], name="job_newest"),
            # A handful of rows among all that ever ran, asked for every few seconds by workers and the overview.
            models.Index(fields=["slot"], condition=Q(holder__isnull=False), name="job_held"),
        ]
        constraints = [
            models.CheckConstraint(name="job_status_known", condition=Q(status__in=Status.values)),
            models.CheckConstraint(name="job_progress_is_percent", condition=Q(progress__lte=100)),
            models.CheckConstraint(name="job_running_is_claimed", condition=~Q(status="running") | ~Q(token="")),
            models.CheckConstraint(name="job_holder_is_claimed", condition=Q(holder__isnull=True) | ~Q(token="")),
            models.CheckConstraint(
                name="job_ended_has_time",
                condition=Q(status__in=TERMINAL, completed_at__isnull=False)
                | Q(status__in=LIVE, completed_at__isnull=True),
            ),
            models.CheckConstraint(
                name="job_step_within_total", condition=Q(total_steps=0) | Q(current_step__lte=F("total_steps"))
            ),
        ]

    def __str__(self) -> str:
        return self.id

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def elapsed_seconds(self) -> float | None:
        """Return seconds since the first start, until the end if it has ended."""
        if self.started_at is None:
            return None
        # Never below zero, whatever was done to the clock meanwhile.
        return max(0.0, round(((self.completed_at or timezone.now()) - self.started_at).total_seconds(), 1))


def new_job_id(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(6)}"


class Attempt(models.Model):
    """One claim of a job, from the claim until nothing of its engine is left: attempts of a job never overlap."""

    class Outcome(models.TextChoices):
        COMPLETED = "completed", "completed"
        FAILED = "failed", "failed"
        CANCELLED = "cancelled", "cancelled"
        GIVEN_BACK = "given_back", "given back"
        CRASHED = "crashed", "crashed"

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField(help_text="As `Job.attempt` counts, from 1.")
    slot = models.CharField(max_length=200)
    worker = models.JSONField(default=dict, help_text="Identity of the process that claimed it.")
    from_step = models.PositiveIntegerField(null=True, blank=True, help_text="The step it went on from.")
    claimed_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=12, choices=Outcome, blank=True)
    reason = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="attempt_numbered_once")]

    def __str__(self) -> str:
        return f"{self.job_id} attempt {self.number}"
