"""The loss curve of a job: kept once per step whatever dies, archived at the end, gone with its job."""

import json
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.db import OperationalError

from jobs import lease, losses, queue, runner, transitions
from jobs.bundle import open_bundle
from jobs.cancelling import cancel_job
from jobs.deleting import delete_job
from jobs.errors import EngineFailed
from jobs.events import Artifact, Finished, Loss, Losses, Tick
from jobs.leftovers import find_leftovers
from jobs.losses import JobLosses, points_of
from jobs.models import Job, LossPoint, Slot, Status
from jobs.transitions import Claim
from tests.jobs import admin_rows as rows
from tests.jobs.fakes import FakeKind, make_job, make_slot, this_process

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(losses, "FLUSH_SECONDS", 0.0)


@pytest.fixture(autouse=True)
def _own_storage(settings, tmp_path: Path) -> None:
    rows.use_empty_storage(settings, tmp_path / "storage")


@pytest.fixture
def slot(fake_kind: FakeKind) -> Slot:
    return make_slot(fake_kind)


def measured(*steps: int, loss: float | None = 0.5) -> Losses:
    return Losses(points=tuple(Loss(step=step, loss=loss, learning_rate=1e-4) for step in steps))


def claim(slot: Slot) -> Claim:
    claimed = queue.claim_next(slot.kind, slot.name, this_process())
    assert claimed is not None
    return claimed


def run_on(slot: Slot) -> None:
    runner.execute(claim(slot))


def curve(job: Job) -> list[tuple[int, float | None]]:
    return [(point.step, point.loss) for point in points_of(Job.objects.get(pk=job.pk))]


def stored(job: Job) -> list[str]:
    folder = Path(default_storage.path(f"logs/{job.pk}"))
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


@pytest.fixture
def finished(slot: Slot, fake_kind: FakeKind) -> Job:
    fake_kind.script = [measured(1, 2), measured(3, loss=None), Finished()]
    job = make_job()
    run_on(slot)
    return job


def test_what_is_measured_can_be_read_while_the_run_goes_on(slot: Slot, fake_kind: FakeKind) -> None:
    seen = []
    fake_kind.script = [measured(1), measured(2), lambda job, _: seen.extend(curve(job)), Finished()]
    make_job()
    run_on(slot)
    assert seen == [(1, 0.5), (2, 0.5)]


def test_a_finished_job_answers_as_a_live_one_from_one_file(finished: Job) -> None:
    assert curve(finished) == [(1, 0.5), (2, 0.5), (3, None)]
    assert not LossPoint.objects.exists()
    assert len(stored(finished)) == 1
    assert [row.type for row in finished.artifacts.all()] == ["loss"]


@pytest.mark.parametrize("end", [EngineFailed("It failed."), lambda job, _: cancel_job(job)])
def test_the_curve_of_a_job_that_failed_or_was_cancelled_is_kept(slot: Slot, fake_kind: FakeKind, end) -> None:
    def script() -> Iterator:
        yield from (measured(1, 2), end)
        while True:
            yield Tick()

    fake_kind.script = script()
    job = make_job()
    run_on(slot)
    assert curve(job) == [(1, 0.5), (2, 0.5)]
    assert not LossPoint.objects.exists()


def test_an_attempt_that_goes_on_from_a_checkpoint_replaces_what_it_makes_again(slot: Slot, fake_kind) -> None:
    died = EngineFailed("killed", is_retryable=True)
    fake_kind.script = [measured(1, 2, 3), measured(4, 5), died]
    job = make_job()
    run_on(slot)
    Job.objects.filter(pk=job.pk).update(run_after=None)
    fake_kind.script = [measured(4, loss=0.1), measured(5, 6, loss=0.1), Finished()]
    run_on(slot)
    assert curve(job) == [(1, 0.5), (2, 0.5), (3, 0.5), (4, 0.1), (5, 0.1), (6, 0.1)]


def test_later_steps_of_a_dead_attempt_go_with_the_first_batch(slot: Slot) -> None:
    job = make_job()
    LossPoint.objects.bulk_create(LossPoint(job=job, step=step, loss=9.0) for step in range(1, 9))
    writing = JobLosses(claim(slot))
    writing.add(measured(5).points)
    writing.flush()
    assert curve(job) == [(1, 9.0), (2, 9.0), (3, 9.0), (4, 9.0), (5, 0.5)]


def test_a_lost_claim_writes_nothing(slot: Slot) -> None:
    job = make_job()
    lost = claim(slot)
    transitions.give_back(lost.live(), message="its worker died")
    for writing in (JobLosses(lost), JobLosses(lost)):
        writing.add(measured(1).points)
        writing.flush()
    assert curve(job) == []


@pytest.mark.parametrize("lost_answer", [1, 2])
def test_a_batch_that_is_written_twice_is_there_once(slot: Slot, monkeypatch, lost_answer: int) -> None:
    job = make_job()
    writing = JobLosses(claim(slot))
    real_write, writes = writing._write, []

    def write_and_sometimes_lose_the_answer() -> None:
        real_write()
        writes.append(1)
        if len(writes) == lost_answer:
            raise OperationalError("the connection broke after the commit")

    monkeypatch.setattr(writing, "_write", write_and_sometimes_lose_the_answer)
    for batch in (measured(1, 2), measured(3), measured(4)):
        writing.add(batch.points)
        writing.flush()
    assert curve(job) == [(1, 0.5), (2, 0.5), (3, 0.5), (4, 0.5)]


def test_points_are_written_at_most_once_a_second(slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "FLUSH_SECONDS", 1.0)
    now = [100.0]
    monkeypatch.setattr(losses.time, "monotonic", lambda: now[0])
    job = make_job()
    writing = JobLosses(claim(slot))
    written = []
    for step in range(1, 31):
        writing.add(measured(step).points)
        writing.flush_if_due()
        written.append(LossPoint.objects.filter(job=job).count())
        now[0] += 0.1
    assert len(set(written)) == 3


def test_a_checkpoint_is_never_ahead_of_the_curve(slot: Slot, fake_kind: FakeKind, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(losses, "FLUSH_SECONDS", 60.0)
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"checkpoint")
    seen = []
    saved = Artifact(type="checkpoint", name=path.name, path=path, step=3)
    fake_kind.script = [measured(1), measured(2, 3), saved, lambda job, _: seen.extend(curve(job)), Finished()]
    make_job()
    run_on(slot)
    assert [step for step, _ in seen] == [1, 2, 3]


def test_a_worker_that_died_at_the_end_leaves_the_archiving_to_the_sweep(slot: Slot) -> None:
    job = make_job(status=Status.FAILED, completed_at="2026-01-01T00:00:00Z")
    LossPoint.objects.create(job=job, step=1, loss=0.5)
    losses.archive_ended()
    losses.archive_ended()
    assert curve(job) == [(1, 0.5)]
    assert len(stored(job)) == 1
    assert not LossPoint.objects.exists()


def test_two_who_archive_at_once_leave_one_file(slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(status=Status.FAILED, completed_at="2026-01-01T00:00:00Z")
    LossPoint.objects.create(job=job, step=1, loss=0.5)
    real_record = losses._record

    faster = []

    def archive_first(*given) -> list[str]:
        monkeypatch.setattr(losses, "_record", real_record)
        losses.archive(job)
        faster.append(job.artifacts.get().key)
        return real_record(*given)

    monkeypatch.setattr(losses, "_record", archive_first)
    losses.archive(job)
    assert curve(job) == [(1, 0.5)]
    # Whoever has read of this file must still find it.
    assert [job.artifacts.get().key] == faster
    assert len(stored(job)) == 1


def test_the_curve_goes_with_its_job(finished: Job) -> None:
    delete_job(finished.pk)
    assert stored(finished) == []


def test_cleanup_knows_the_file(finished: Job) -> None:
    after = Job.objects.get(pk=finished.pk).completed_at + timedelta(days=36_500)
    names = [leftover.name for leftover in find_leftovers(before=after)]
    assert not [name for name in names if name.startswith(f"logs/{finished.pk}/")]


@pytest.mark.parametrize("is_live", [True, False])
def test_the_debug_bundle_has_the_curve(slot: Slot, finished: Job, is_live: bool) -> None:
    job = finished
    if is_live:
        job = make_job()
        LossPoint.objects.create(job=job, step=1, loss=0.5)
    with open_bundle(job) as content, zipfile.ZipFile(content) as bundle:
        columns = json.loads(bundle.read("loss.json"))
    assert columns["step"] == ([1] if is_live else [1, 2, 3])
    assert columns["loss"] == ([0.5] if is_live else [0.5, 0.5, None])


def test_a_copy_ends_at_its_checkpoint(finished: Job) -> None:
    again = make_job()
    losses.copy_until(2, source=finished, target=again)
    assert curve(again) == [(1, 0.5), (2, 0.5)]
