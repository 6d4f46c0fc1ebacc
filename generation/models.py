"""What people give to a generation: images, with the jobs that work from them, and workflows."""

from django.db import models
from django.utils import timezone

from jobs.models import Job

NAME_MAX_LENGTH = 100
KEY_MAX_LENGTH = 255
SHA256_LENGTH = 64


class InputImage(models.Model):
    """`name` tells the content: the same pixels, uploaded again, are this row."""

    name = models.CharField(primary_key=True, max_length=NAME_MAX_LENGTH, editable=False)
    key = models.CharField(max_length=KEY_MAX_LENGTH, unique=True)
    content_type = models.CharField(max_length=50)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    size_bytes = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=SHA256_LENGTH)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    asked_for_at = models.DateTimeField(default=timezone.now, db_index=True, editable=False)

    def __str__(self) -> str:
        return self.name


class InputUse(models.Model):
    """Keeps an image for as long as there is a job that was made from it."""

    image = models.ForeignKey(InputImage, on_delete=models.PROTECT, related_name="uses")
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["image", "job"], name="input_named_once_per_job")]

    def __str__(self) -> str:
        return f"{self.image_id} for {self.job_id}"


class WorkflowCopy(models.Model):
    """A workflow of the operator as jobs ran it: its files may change, and a repeated job must not."""

    sha256 = models.CharField(primary_key=True, max_length=SHA256_LENGTH, editable=False)
    name = models.CharField(max_length=NAME_MAX_LENGTH)
    content = models.TextField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"{self.name} {self.sha256[:12]}"
