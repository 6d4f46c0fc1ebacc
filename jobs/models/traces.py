"""What jobs leave and what they are told: files, log lines, losses, instructions, and the keys of requests."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone

from jobs.models.job import Job


class Artifact(models.Model):
    """A file that a run published: whole, fenced, never overwritten."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="artifacts")
    type = models.CharField(max_length=12)
    name = models.CharField(max_length=200)
    key = models.CharField(max_length=300, unique=True)
    size_bytes = models.PositiveBigIntegerField()
    step = models.PositiveIntegerField(null=True, blank=True)
    details = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["job", "type", "name"], name="artifact_named_once_per_job"),
            # Outputs are served by their bare name.
            models.UniqueConstraint(fields=["name"], condition=Q(type="output"), name="output_named_once"),
        ]

    def __str__(self) -> str:
        return self.name


class JobLogLine(models.Model):
    """A line of a live job's log; archived into storage when the run is over."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="log_lines")
    timestamp = models.DateTimeField(default=timezone.now)
    level = models.CharField(max_length=10)
    event = models.CharField(max_length=100)
    message = models.TextField()
    fields = models.JSONField(default=dict)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.message

    def as_entry(self) -> dict[str, Any]:
        return {
            "timestamp": self.timestamp,
            "level": self.level,
            "event": self.event,
            "message": self.message,
            "fields": self.fields,
        }


class LossPoint(models.Model):
    """What the trainer measured after a step of a live job; archived into storage when the run is over."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="loss_points")
    step = models.PositiveIntegerField(help_text="Completed steps, from 1.")
    loss = models.FloatField(null=True, blank=True, help_text="Null where it was no finite number.")
    learning_rate = models.FloatField(null=True, blank=True)

    class Meta:
        ordering = ["step"]
        constraints = [models.UniqueConstraint(fields=["job", "step"], name="loss_point_once_per_step")]

    def __str__(self) -> str:
        return f"{self.job_id} {self.step}: {self.loss}"


class Instruction(models.Model):
    """What a person wants of a running engine. The run's heartbeat takes it, once."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="instructions")
    verb = models.CharField(max_length=10, help_text="save, sample or yield.")
    created_at = models.DateTimeField(default=timezone.now)
    taken_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["created_at", "id"]
        indexes = [models.Index(fields=["job"], condition=Q(taken_at=None), name="instruction_open")]

    def __str__(self) -> str:
        return f"{self.job_id}: {self.verb}"


class IdempotencyKey(models.Model):
    """The job that a named request started. It appears with its job, in one transaction."""

    scope = models.CharField(max_length=150, help_text="Client and endpoint.")
    key = models.CharField(max_length=255, help_text="As the client sent it.")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the validated parameters.")
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="idempotency_keys")
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        verbose_name = "idempotency key"
        constraints = [models.UniqueConstraint(fields=["scope", "key"], name="idempotency_key_used_once")]

    def __str__(self) -> str:
        return self.key
