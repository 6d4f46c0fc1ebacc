"""What keeps a claim while its engine has nothing to say, and what is left of one whose job is gone."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from characters import files
from jobs import lease, runner, worker_state
from jobs.deleting import delete_job
from jobs.events import Artifact, Finished
from jobs.kinds import PlainVerdict, Verdict
from jobs.models import Job, Slot, Status
from tests.conftest import wait_until
from tests.jobs.fakes import FakeKind, make_slot
from tests.jobs.test_runner import run

pytestmark = pytest.mark.django_db(transaction=True)

STALL_SECONDS = 0.3
LONGER_SECONDS = 3 * STALL_SECONDS


@pytest.fixture(autouse=True)
def _quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)


@pytest.fixture
def slot(fake_kind: FakeKind, monkeypatch: pytest.MonkeyPatch) -> Slot:
    monkeypatch.setattr(fake_kind, "stall_seconds", STALL_SECONDS, raising=False)
    return make_slot(fake_kind)


def after(seconds: float, work: Callable[..., Any]) -> Callable[..., Any]:
    def slow(*how: Any) -> Any:
        time.sleep(seconds)
        return work(*how)

    return slow


def test_a_checkpoint_that_takes_long_to_be_stored_costs_no_claim(
    slot: Slot, fake_kind: FakeKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "publish", after(LONGER_SECONDS, files.publish))
    saved = tmp_path / "a.safetensors"
    saved.write_bytes(b"weights")
    checkpoint = Artifact(type="checkpoint", name=saved.name, path=saved, step=1, details={})
    fake_kind.script = [checkpoint, Finished()]
    job = run(slot)
    assert (job.status, job.attempt, job.artifacts.count()) == (Status.COMPLETED, 1, 1)


def test_a_result_that_takes_long_to_be_put_in_place_costs_no_claim(slot: Slot, fake_kind: FakeKind) -> None:
    beats: list[int] = []

    def conclude(job: Job, *_: object) -> Verdict:
        time.sleep(LONGER_SECONDS)
        before = Job.objects.get(pk=job.pk).heartbeat
        wait_until(lambda: Job.objects.get(pk=job.pk).heartbeat > before, seconds=5, what="another beat")
        beats.append(before)
        return PlainVerdict()

    fake_kind.conclude = conclude
    assert run(slot).status == Status.COMPLETED
    assert beats


def test_an_engine_that_says_nothing_still_loses_its_claim(slot: Slot, fake_kind: FakeKind, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"a picture")
    output = Artifact(type="output", name=picture.name, path=picture, details={"index": 0, "seed": 1})
    fake_kind.script = [output, lambda *_: time.sleep(LONGER_SECONDS), output, Finished()]
    job = run(slot)
    assert (job.status, job.artifacts.count()) == (Status.RUNNING, 1)


def test_a_worker_that_is_told_to_stop_notes_it_also_while_the_engine_says_nothing(
    slot: Slot, fake_kind: FakeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    def conclude(job: Job, *_: object) -> Verdict:
        monkeypatch.setattr(worker_state._draining, "is_set", lambda: True)
        noted = Job.objects.filter(pk=job.pk, holder__told_to_stop=True)
        wait_until(noted.exists, seconds=5, what="the note on the holder")
        return PlainVerdict()

    fake_kind.conclude = conclude
    assert run(slot).status == Status.COMPLETED


@pytest.mark.parametrize("moment", ["_ended", "_tidy_up"])
def test_a_job_that_is_deleted_right_after_its_end_is_no_error(
    slot: Slot, fake_kind: FakeKind, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, moment: str
) -> None:
    proceed = getattr(runner.Run, moment)

    def delete_before(its_run: runner.Run, *how: str) -> None:
        delete_job(its_run.job.pk)
        proceed(its_run, *how)

    monkeypatch.setattr(runner.Run, moment, delete_before)
    with pytest.raises(Job.DoesNotExist):
        run(slot)
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
