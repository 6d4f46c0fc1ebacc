"""The demo: a month of work that fits together, and that goes again without a trace."""

from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.db.models import Q
from django.utils import timezone

from characters.models import Character, Lora, TrainingImage
from generation.pictures import read_explanation
from isengard.audit import examine
from jobs import losses
from jobs.models import Attempt, Job, Status
from jobs.schedule import MAX_DELAY
from tests.jobs import admin_rows as rows

pytestmark = pytest.mark.django_db

JOBS, CHARACTERS = 26, 1


@pytest.fixture(autouse=True)
def storage(settings: Any, tmp_path: Path) -> Path:
    # What other tests left in the data directory is no leftover of the demo.
    settings.DATA_DIR = tmp_path / "data"
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path / "data" / "tmp")
    Path(settings.FILE_UPLOAD_TEMP_DIR).mkdir(parents=True)
    return rows.use_empty_storage(settings, tmp_path / "files")


def demo(*options: str) -> str:
    said = StringIO()
    call_command("demo", *options, stdout=said)
    return said.getvalue()


def fill() -> str:
    return demo("--jobs", str(JOBS), "--characters", str(CHARACTERS))


def test_the_demo_fits_together_and_is_taken_away_without_a_trace(
    storage: Path, django_capture_on_commit_callbacks
) -> None:
    assert f"{CHARACTERS} characters and {JOBS} jobs" in fill()
    assert [finding.described() for finding in examine(is_deep=True)] == []
    _check_what_is_there(storage)
    with pytest.raises(CommandError, match="here already"):
        fill()
    own = rows.new_character("char-own")
    kept = rows.new_job("gen-own", status=Status.COMPLETED, character_id=own.pk)
    rows.publish(kept, "own.png")
    with django_capture_on_commit_callbacks(execute=True):
        said = demo("--remove")
    assert f"{CHARACTERS} characters and {JOBS} jobs were taken away" in said
    assert list(Character.objects.all()) == [own]
    assert list(Job.objects.all()) == [kept]
    assert rows.stored_files(storage) == {"outputs/gen-own/1/own.png"}
    noted = [entry.change_message for entry in LogEntry.objects.filter(object_repr="demo").order_by("pk")]
    assert [message.split(" (by ")[0] for message in noted] == [
        f"Filled in: {CHARACTERS} characters and {JOBS} jobs.",
        f"Taken away: {CHARACTERS} characters and {JOBS} jobs.",
    ]


def _check_what_is_there(storage: Path) -> None:
    trained = Job.objects.filter(kind="training", status=Status.COMPLETED).first()
    assert trained is not None
    assert len(losses.points_of(trained)) > 100
    assert trained.artifacts.filter(type="sample").count() >= 8
    assert Lora.objects.filter(job_id=trained.pk, details__training__image_count__gt=0).exists()
    assert TrainingImage.objects.exclude(caption=None).exists()
    painted = Job.objects.filter(kind="generation", status=Status.COMPLETED).exclude(order__loras=[]).first()
    assert painted is not None
    picture = painted.artifacts.get(name=f"{painted.pk}-0.png")
    assert read_explanation(storage / picture.key)["prompt"] == painted.config["prompt"]
    ended = set(Job.objects.values_list("status", flat=True))
    assert {Status.COMPLETED, Status.FAILED, Status.QUEUED} <= ended
    soon = timezone.now() + timedelta(days=24)
    assert not Job.objects.filter(Q(run_after=None) | Q(run_after__lte=soon), status=Status.QUEUED).exists()
    assert not Job.objects.filter(run_after__gt=timezone.now() + MAX_DELAY).exists()
    assert not Attempt.objects.filter(ended_at=None).exists()


def test_the_demo_does_not_go_beside_real_work_unless_it_is_told_to() -> None:
    rows.new_character("char-own")
    with pytest.raises(CommandError, match="--force"):
        fill()
    assert Character.objects.count() == 1
    demo("--jobs", "1", "--characters", "1", "--force")
    assert Character.objects.count() == 2
