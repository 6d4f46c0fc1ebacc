"""A run whose database dies, is locked or loses answers: the row tells the truth, and nothing is lost or done twice."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import IntegrityError, OperationalError

from jobs import lease, log, models, patience, queue, reaper, runner
from jobs.errors import EngineFailed
from jobs.events import Artifact, Finished, Started, Tick
from jobs.kinds import PlainVerdict
from jobs.models import Attempt, Job, Slot, Status
from jobs.patience import waiting_at_most
from tests.jobs.fakes import FakeKind, make_job, make_slot, registered, this_process
from tests.jobs.lost_answers import Lock, unanswered_commit, unanswered_statement
from tests.jobs.test_reaper import Clock, claimed_by, on_another_host
from tests.jobs.test_runner import run

pytestmark = pytest.mark.django_db(transaction=True)

NEVER = 3600.0


@pytest.fixture(autouse=True)
def _quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)


@pytest.fixture
def slot(fake_kind: FakeKind) -> Slot:
    return make_slot(fake_kind)


class KeptVerdict(PlainVerdict):
    is_discarded = False

    def discard(self) -> None:
        self.is_discarded = True


def outcomes() -> list[tuple[int, str]]:
    return list(Attempt.objects.values_list("number", "outcome"))


def test_an_end_that_was_recorded_but_not_answered_stands_and_keeps_its_files(
    slot: Slot, fake_kind: FakeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = KeptVerdict()
    monkeypatch.setattr(fake_kind, "conclude", lambda *_: verdict)
    with unanswered_commit(once=Job.objects.filter(status=Status.COMPLETED).exists):
        job = run(slot)
    assert (job.status, job.attempt, verdict.is_discarded) == (Status.COMPLETED, 1, False)
    assert outcomes() == [(1, "completed")]


class BrokenVerdict(KeptVerdict):
    """Nothing can be recorded."""

    def __init__(self, exc: Exception) -> None:
        self.exc = exc

    def record(self) -> None:
        raise self.exc


@pytest.mark.parametrize(
    ("exc", "is_discarded"), [(IntegrityError("no such row"), True), (OperationalError("server closed"), False)]
)
def test_the_files_of_an_end_that_cannot_be_recorded_go_unless_the_database_may_know_better(
    exc: Exception, is_discarded: bool, slot: Slot, fake_kind: FakeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "SETTLING_SECONDS", 0)
    verdict = BrokenVerdict(exc)
    monkeypatch.setattr(fake_kind, "conclude", lambda *_: verdict)
    run(slot)
    assert verdict.is_discarded is is_discarded


def test_an_artifact_that_was_recorded_but_not_answered_keeps_its_file(
    slot: Slot, fake_kind: FakeKind, tmp_path: Path
) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"a picture")
    fake_kind.script = [Artifact(type="output", name="a.png", path=picture, details={}), Finished()]
    with unanswered_commit(once=models.Artifact.objects.exists):
        job = run(slot)
    (row,) = job.artifacts.filter(type="output")
    with default_storage.open(row.key) as file:
        assert file.read() == b"a picture"
    assert job.status == Status.COMPLETED


def test_a_start_that_was_recorded_but_not_answered_is_no_lost_claim(db: None) -> None:
    kind = FakeKind(starts_at_claim=False)
    kind.script = [Started(), Finished()]
    with registered(kind), unanswered_statement("UPDATE", naming="started_at"):
        job = run(make_slot(kind))
    assert (job.status, job.attempt) == (Status.COMPLETED, 1)


def test_a_run_that_meets_a_database_that_is_away_is_given_back_and_has_not_crashed(
    slot: Slot, fake_kind: FakeKind
) -> None:
    fake_kind.script = [OperationalError("connection refused")]
    job = run(slot)
    assert (job.status, job.crashes, job.token, job.error_message) == (Status.QUEUED, 0, "", None)
    assert outcomes() == [(1, "given_back")]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_WITHIN_SECONDS", 0.1)
    monkeypatch.setattr(lease, "RENEW_WITHIN_SECONDS", 0.3)
    # A line of the log that is due would wait for the lock as well.
    monkeypatch.setattr(log, "FLUSH_SECONDS", NEVER)


@pytest.mark.usefixtures("impatient")
def test_a_run_that_cannot_renew_its_claim_stops_and_gives_the_job_back_when_the_lock_is_over(
    slot: Slot, fake_kind: FakeKind
) -> None:
    lock = Lock()

    def work() -> Any:
        yield Tick()
        lock.take()
        while True:
            threading.Event().wait(0.02)
            yield Tick()

    fake_kind.script = work()
    # What the run tells then has to wait for the lock; it is released while it does.
    fake_kind.stop_leftover = lambda job: not threading.Timer(0.5, lock.release).start()
    began = time.monotonic()
    job = run(slot)
    # Far less than the patience of other writes, with which it would be known too late.
    assert time.monotonic() - began < 20
    assert fake_kind.was_closed
    assert (job.status, job.crashes, job.token) == (Status.QUEUED, 0, "")
    assert outcomes() == [(1, "given_back")]


def test_a_reaper_that_could_not_ask_takes_nobody_for_silent_until_it_has_listened_again(
    slot: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    reaper._seen.clear()
    clock = Clock(monkeypatch)
    claimed_by(on_another_host(), slot)
    Slot.objects.filter(pk=slot.pk).update(worker={})
    assert reaper.reap() == 0
    assert clock.listen(reaper.SILENCE_SECONDS - 1) == 0
    with Lock(), waiting_at_most(0.1), pytest.raises(OperationalError):
        reaper.reap()
    assert clock.listen(2) == 0
    assert clock.listen(reaper.SILENCE_SECONDS) == 1


def test_waiting_at_most_ends_with_its_block() -> None:
    make_job()
    with Lock(), waiting_at_most(0.05), pytest.raises(OperationalError):
        Job.objects.update(message="never")
    Job.objects.update(message="written")
    assert Job.objects.get().message == "written"


def test_a_claim_that_was_recorded_but_not_answered_is_gone_on_with(slot: Slot) -> None:
    job = make_job()
    with unanswered_commit(once=Job.objects.exclude(token="").exists):
        claimed = queue.claim_next(slot.kind, slot.name, this_process())
    assert claimed is not None
    runner.execute(claimed)
    job.refresh_from_db()
    assert (job.status, job.attempt, job.crashes) == (Status.COMPLETED, 1, 0)
    assert outcomes() == [(1, "completed")]


def test_a_claim_that_was_not_recorded_is_none(slot: Slot) -> None:
    job = make_job()
    with unanswered_statement("UPDATE", naming="token"), pytest.raises(OperationalError):
        queue.claim_next(slot.kind, slot.name, this_process())
    job.refresh_from_db()
    assert (job.status, job.attempt, job.token) == (Status.QUEUED, 0, "")


def test_an_end_that_breaks_while_it_is_told_is_told_again(slot: Slot, fake_kind: FakeKind) -> None:
    fake_kind.script = [EngineFailed("out of memory", is_retryable=True)]
    answers = iter([OperationalError("the server ended the connection"), True])

    def stop_leftover(_: Job) -> bool:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    fake_kind.stop_leftover = stop_leftover
    job = run(slot)
    assert (job.status, job.crashes, job.token) == (Status.QUEUED, 0, "")


def test_an_end_that_cannot_be_told_at_all_raises_nothing_and_leaves_the_job_to_the_reaper(
    slot: Slot, fake_kind: FakeKind
) -> None:
    fake_kind.script = [EngineFailed("out of memory")]
    fake_kind.stop_leftover = lambda _: {}["never heard of"]
    job = run(slot)
    assert (job.status, bool(job.token)) == (Status.RUNNING, True)
