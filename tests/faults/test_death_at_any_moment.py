"""A process that is killed, or stopped for too long, between any two lines: the job is done once, and nothing stays.

What others see of a process changes only with its effects: commits, renames, messages. So it is ended before each of
them in turn, and another process has to make good what is left.
"""

import json
import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone
from rest_framework.test import APIClient

from characters.models import Character, Lora
from jobs.leftovers import find_leftovers
from jobs.models import Artifact, Attempt, Job, Status
from tests.characters.making import jpeg, new_character, upload
from tests.faults.forks import Fate, Forks
from tests.faults.short_kinds import CANCELS_ITSELF

# Hundreds of processes one after the other, which a busy machine runs slowly.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]

PICTURES = 2
STORED_IN = ("loras", "outputs", "samples", "checkpoints", "logs")
MOST_EFFECTS = 150
# Without this, `make test` leaves out some moments where another test has nearly the same ones.
TAKES_EVERY_MOMENT = bool(os.environ.get("ISENGARD_TEST_EVERY_MOMENT"))


@pytest.fixture
def forks(settings: Any, tmp_path: Path) -> Iterator[Forks]:
    settings.RATE_LIMITS = "off"
    settings.DATA_DIR = settings.MEDIA_ROOT = tmp_path
    with Forks(tmp_path) as running:
        yield running


def wanted(kind: str) -> dict[str, object]:
    if kind == "generation":
        return {"config": {"prompt": "a face"}, "count": PICTURES}
    character = Character.objects.first()
    character_id = character.pk if character else new_character()["id"]
    if character is None:
        upload(character_id, ("one.jpg", jpeg()))
    return {"character_id": character_id, "config": {"steps": 100}}


def accepted(kind: str, **fields: object) -> Job:
    answer = APIClient().post(f"/api/{kind}", wanted(kind), format="json")
    assert answer.status_code == 201, answer.content
    Job.objects.filter(pk=answer.json()["id"]).update(**fields)
    return Job.objects.get(pk=answer.json()["id"])


def moments(first: int = 1, *, each: int = 1) -> Iterator[int]:
    """Count the effects, `each` so many of them; whoever takes them breaks off when there is none left."""
    yield from range(first, MOST_EFFECTS, 1 if TAKES_EVERY_MOMENT else each)
    raise AssertionError(f"there are more than {MOST_EFFECTS} effects")


def told(at: int, fate: Fate) -> str:
    return f"{fate.ended} before effect {at}: {fate.effects[-1:]}"


def assert_done_once(job: Job, said: str) -> None:
    job.refresh_from_db()
    assert (job.status, job.error_message) == (Status.COMPLETED, None), said
    if job.kind == "generation":
        assert [row.details["index"] for row in outputs(job)] == list(range(PICTURES)), said
    else:
        assert Lora.objects.filter(job_id=job.pk).count() == 1, said
    assert_nothing_stays(job, said)


def outputs(job: Job) -> list[Artifact]:
    return sorted(job.artifacts.filter(type="output"), key=lambda row: row.name)


def assert_nothing_stays(job: Job, said: str) -> None:
    """Assert that the slot is free, every row's file is there, and at most what `cleanup` finds is there besides."""
    assert (job.holder, job.token, job.gpu_id) == (None, "", None), said
    assert not job.log_lines.exists(), said
    assert not job.loss_points.exists(), said
    assert not Attempt.objects.filter(job=job, ended_at=None).exists(), said
    leftovers = list(find_leftovers(before=timezone.now() + timedelta(days=1)))
    # A death leaves one file without its row, and its workspace.
    assert len(leftovers) <= 2, (said, leftovers)
    for leftover in leftovers:
        leftover.remove()
    assert stored_files() == named_files(), said
    assert not list(Path(settings.DATA_DIR, "workspaces").glob("*")), said


def stored_files() -> set[str]:
    root = Path(settings.MEDIA_ROOT)
    return {str(path.relative_to(root)) for top in STORED_IN for path in root.glob(f"{top}/**/*") if path.is_file()}


def named_files() -> set[str]:
    logs = Job.objects.exclude(log_key="").values_list("log_key", flat=True)
    return {*Artifact.objects.values_list("key", flat=True), *Lora.objects.values_list("key", flat=True), *logs}


@pytest.mark.parametrize("kind", ["generation", "training"])
def test_a_worker_killed_at_any_moment_leaves_a_job_that_another_one_does_once(forks: Forks, kind: str) -> None:
    for at in moments(each=1 if kind == "generation" else 2):
        job = accepted(kind)
        fate = forks.fork("work", kind, at=at)
        forks.fork("take over", kind)
        assert_done_once(job, told(at, fate))
        if fate.ended != "killed":
            break
    assert {"COMMIT", "redis XADD"} < set(fate.effects)
    assert any(effect.startswith("os.rename") for effect in fate.effects)


def state_of(job: Job) -> tuple[object, ...]:
    job.refresh_from_db()
    keys = sorted(job.artifacts.values_list("key", flat=True))
    return job.status, job.completed_at, job.attempt, job.token, job.crashes, job.current_step, keys


def test_a_worker_stopped_at_any_moment_that_goes_on_when_its_job_was_done_changes_nothing(forks: Forks) -> None:
    for at in moments(each=2):
        job = accepted("generation")
        fate = forks.fork("work elsewhere", "generation", at=at, by=signal.SIGSTOP)
        forks.fork("take over from the silent", "generation")
        done = state_of(job)
        if fate.ended != "stopped":
            break
        assert forks.resume(fate).ended == "exited 0", told(at, fate)
        assert state_of(job) == done, told(at, fate)
        assert_done_once(job, told(at, fate))


def test_a_worker_stopped_at_any_moment_that_goes_on_while_its_job_waits_changes_nothing(forks: Forks) -> None:
    # Up to its checkpoint a training is as any other job.
    for at in moments(first=9, each=3):
        job = accepted("training")
        fate = forks.fork("work elsewhere", "training", at=at, by=signal.SIGSTOP)
        forks.fork("reap the silent")
        waiting = state_of(job)
        if fate.ended != "stopped":
            break
        assert forks.resume(fate).ended == "exited 0", told(at, fate)
        if not job.is_terminal:
            # What follows its last word, it may put away itself.
            assert state_of(job) == waiting, told(at, fate)
        forks.fork("take over", "training")
        assert_done_once(job, told(at, fate))


def test_a_worker_killed_at_any_moment_of_a_cancelled_run_leaves_a_cancelled_job(forks: Forks) -> None:
    for at in moments(first=6, each=2):
        job = accepted("generation", correlation_id=CANCELS_ITSELF)
        fate = forks.fork("work with a heart", "generation", at=at)
        forks.fork("work with a heart", "generation")
        job.refresh_from_db()
        assert job.status == Status.CANCELLED, told(at, fate)
        assert_nothing_stays(job, told(at, fate))
        if fate.ended != "killed":
            break


@pytest.mark.parametrize("crashes", [0, 2])
def test_a_reaper_killed_at_any_moment_is_followed_by_another_that_ends_the_claim_once(
    forks: Forks, crashes: int
) -> None:
    for at in moments(each=1 if crashes == 0 else 2):
        job = accepted("generation", crashes=crashes)
        assert forks.fork("work", "generation", at=12).ended == "killed"
        fate = forks.fork("reap", at=at)
        forks.fork("reap")
        job.refresh_from_db()
        assert (job.crashes, job.holder) == (crashes + 1, None), told(at, fate)
        if crashes == 2:
            assert job.status == Status.FAILED
            assert_nothing_stays(job, told(at, fate))
        else:
            forks.fork("take over", "generation")
            assert_done_once(job, told(at, fate))
        if fate.ended != "killed":
            break


@pytest.mark.parametrize("kind", ["generation", "training"])
def test_a_web_server_killed_at_any_moment_of_a_request_that_is_sent_again_starts_one_job(
    forks: Forks, kind: str
) -> None:
    body = wanted(kind)
    for number, at in enumerate(moments(each=1 if kind == "generation" else 2), 1):
        request = {"path": f"/api/{kind}", "body": body, "headers": {"Idempotency-Key": f"request-{kind}-{at}"}}
        fate = forks.fork("request", json.dumps(request), at=at)
        answer = APIClient().post(request["path"], body, format="json", headers=request["headers"])
        assert answer.status_code in (200, 201), told(at, fate)
        (job,) = Job.objects.filter(idempotency_keys__key=f"request-{kind}-{at}")
        assert Job.objects.count() == number, told(at, fate)
        forks.fork("take over", kind)
        assert_done_once(job, told(at, fate))
        if fate.ended != "killed":
            break
