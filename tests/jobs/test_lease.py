"""What keeps a claim while its engine has nothing to say, and what is left of one whose job is gone."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from characters import files
from jobs import lease, runner, worker_state
from jobs.deleting import delete_job
from jobs.events import Artifact, Finished
from jobs.kinds import PlainVerdict, Verdict
from jobs.models import Job, Slot, Status
from jobs.progress import writer
from tests.conftest import wait_until
from tests.jobs.fakes import FakeKind, make_slot
from tests.jobs.test_runner import LeaseClock, is_beating, lease_clock, run  # noqa: F401 (one of them is a fixture)

pytestmark = pytest.mark.django_db(transaction=True)

STALL_SECONDS = 10.0
# By the lease's own clock. A claim that cannot be renewed lasts even longer.
LONGER_SECONDS = 3 * STALL_SECONDS


@pytest.fixture(autouse=True)
def _quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)


@pytest.fixture
def slot(fake_kind: FakeKind, clock: LeaseClock, monkeypatch: pytest.MonkeyPatch) -> Slot:
    monkeypatch.setattr(fake_kind, "stall_seconds", STALL_SECONDS, raising=False)
    return make_slot(fake_kind)


def see_it_beat(job: Job) -> None:
    """Wait for two beats: the second began after this was called."""
    before = Job.objects.get(pk=job.pk).heartbeat
    wait_until(lambda: Job.objects.get(pk=job.pk).heartbeat > before + 1, what="two more beats")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Artifact:
    saved = tmp_path / "a.safetensors"
    saved.write_bytes(b"weights")
    return Artifact(type="checkpoint", name=saved.name, path=saved, step=1, details={})


def take_long_to_store(clock: LeaseClock, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None]) -> list[str]:
    """Let checkpoints take long, and `meanwhile` happen then; return the keys of those that did."""
    publish, slow = files.publish, []

    def publish_slowly(key: str, content: IO[bytes]) -> None:
        # The log is stored too, when nothing has to beat any more.
        if key.startswith("checkpoints/"):
            clock.now += LONGER_SECONDS
            meanwhile()
            slow.append(key)
        publish(key, content)

    monkeypatch.setattr(files, "publish", publish_slowly)
    return slow


def test_a_checkpoint_that_takes_long_to_be_stored_costs_no_claim(
    slot: Slot, fake_kind: FakeKind, clock: LeaseClock, checkpoint: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = take_long_to_store(clock, monkeypatch, lambda: see_it_beat(Job.objects.get()))
    fake_kind.script = [checkpoint, Finished()]
    job = run(slot)
    assert (job.status, job.attempt) == (Status.COMPLETED, 1)
    assert [artifact.key for artifact in job.artifacts.all()] == slow
    assert len(slow) == 1


class HeldLook:
    """The beat's next look at when the engine last gave a sign, held between what it reads of it and what it does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._is_wanted, self._has_read, self._may_go_on = threading.Event(), threading.Event(), threading.Event()
        signs = property(self._read, lambda its_lease, sign: vars(its_lease).update(sign=sign))
        monkeypatch.setattr(lease.Lease, "_last_sign", signs, raising=False)

    def _read(self, its_lease: lease.Lease) -> float:
        sign = vars(its_lease)["sign"]
        if self._is_wanted.is_set():
            self._is_wanted.clear()
            self._has_read.set()
            assert self._may_go_on.wait(60)
        return sign

    def begin(self) -> None:
        self._is_wanted.set()
        assert self._has_read.wait(60)

    def end(self, *_: object) -> None:
        self._may_go_on.set()


def test_a_checkpoint_that_is_stored_at_last_while_the_beat_looks_costs_no_claim(
    slot: Slot, fake_kind: FakeKind, clock: LeaseClock, checkpoint: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = HeldLook(monkeypatch)
    slow = take_long_to_store(clock, monkeypatch, look.begin)
    fake_kind.script = [checkpoint, look.end, lambda job, _: see_it_beat(job), Finished()]
    assert (run(slot).status, len(slow)) == (Status.COMPLETED, 1)


def test_a_result_that_takes_long_to_be_put_in_place_costs_no_claim(
    slot: Slot, fake_kind: FakeKind, clock: LeaseClock
) -> None:
    concluded: list[str] = []

    def conclude(job: Job, *_: object) -> Verdict:
        clock.now += LONGER_SECONDS
        see_it_beat(job)
        concluded.append(job.pk)
        return PlainVerdict()

    fake_kind.conclude = conclude
    job = run(slot)
    assert (job.status, concluded) == (Status.COMPLETED, [job.pk])


def test_an_engine_that_says_nothing_still_loses_its_claim(
    slot: Slot, fake_kind: FakeKind, clock: LeaseClock, tmp_path: Path
) -> None:
    def say_nothing(job: Job, _: object) -> None:
        clock.now += LONGER_SECONDS
        wait_until(lambda: not is_beating(job), what="the end of the beats")

    picture = tmp_path / "a.png"
    picture.write_bytes(b"a picture")
    output = Artifact(type="output", name=picture.name, path=picture, details={"index": 0, "seed": 1})
    fake_kind.script = [output, say_nothing, output, Finished()]
    job = run(slot)
    assert (job.status, job.artifacts.count()) == (Status.RUNNING, 1)


def test_a_worker_that_is_told_to_stop_notes_it_also_while_the_engine_says_nothing(
    slot: Slot, fake_kind: FakeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    def conclude(job: Job, *_: object) -> Verdict:
        monkeypatch.setattr(worker_state._draining, "is_set", lambda: True)
        noted = Job.objects.filter(pk=job.pk, holder__told_to_stop=True)
        wait_until(noted.exists, what="the note on the holder")
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
    told = [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    # That Redis was slow is told too, and has nothing to do with the job.
    assert not [record.message for record in told if record.name != writer.__name__]
