"""Where jobs run: queues that can be paused, GPUs, and the slots that workers serve."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone

SLOT_SILENCE_SECONDS = 30


class QueueState(models.Model):
    """Whether a kind of job may be claimed. Pausing changes no job."""

    kind = models.CharField(primary_key=True, max_length=20)
    is_paused = models.BooleanField(default=False)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "queue"

    def __str__(self) -> str:
        return f"{self.kind}: {'paused' if self.is_paused else 'open'}"


class GpuLease(models.Model):
    """A GPU of a host. Claims lock its row; whoever holds it are its `jobs`, so no lease outlives its holder."""

    host = models.CharField(max_length=200)
    gpu = models.CharField(max_length=50)
    figures = models.JSONField(null=True, blank=True, help_text="What NVML last told of it.")
    figures_at = models.DateTimeField(null=True, blank=True)
    window_until = models.DateTimeField(null=True, blank=True, help_text="Till then short jobs go before long ones.")

    class Meta:
        verbose_name = "GPU lease"
        constraints = [models.UniqueConstraint(fields=["host", "gpu"], name="gpu_leased_once")]

    def __str__(self) -> str:
        return f"{self.host} GPU {self.gpu}"

    def has_window(self) -> bool:
        """Return whether a run made room on this GPU, and the time for that is not over."""
        left = self.window_until - timezone.now() if self.window_until else timedelta()
        # A window that lasts longer than any was written by another clock.
        return timedelta() < left <= timedelta(seconds=settings.GENERATION_WINDOW_SECONDS)


class Slot(models.Model):
    """A worker's place for work: a GPU to train on, or a ComfyUI server. Registered by the worker that serves it."""

    name = models.CharField(primary_key=True, max_length=200)
    kind = models.CharField(max_length=20)
    capacity = models.PositiveSmallIntegerField(help_text="Claims at a time.")
    gpu = models.ForeignKey(GpuLease, on_delete=models.PROTECT, related_name="slots")
    engine = models.CharField(max_length=300, blank=True, help_text="Address or folder of the engine.")
    worker = models.JSONField(default=dict, help_text="Identity of the process that serves it.")
    heartbeat_at = models.DateTimeField(default=timezone.now)
    loaded = models.CharField(max_length=100, blank=True, help_text="What its engine last loaded, such as a model.")
    away_since = models.DateTimeField(null=True, blank=True, help_text="Since when its engine does not answer.")
    failures = models.PositiveSmallIntegerField(default=0, help_text="Failures of its engine in a row.")
    paused_until = models.DateTimeField(null=True, blank=True, help_text="Takes no work before, after its failures.")
    trouble = models.CharField(max_length=300, blank=True, help_text="Why its engine last failed.")
    free_bytes = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="What its worker last found free where its jobs write."
    )
    drained_since = models.DateTimeField(null=True, blank=True, help_text="Takes no work since, by an operator's wish.")

    def __str__(self) -> str:
        return self.name

    def is_served(self, now: datetime | None = None) -> bool:
        """Return whether its worker was heard of within SLOT_SILENCE_SECONDS."""
        silent_seconds = ((now or timezone.now()) - self.heartbeat_at).total_seconds()
        # A sign of life from the future was given before the clock was set back: a living worker gives another soon.
        return abs(silent_seconds) < SLOT_SILENCE_SECONDS
