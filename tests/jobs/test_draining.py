"""Slots that an operator empties: they start nothing more, what runs there leaves at no cost, and all come back."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from django.db import connection, transaction

from isengard.doctor.queueing import check_workers
from jobs import bell, draining, lease, queue, reaper, runner, transitions, waiting, worker, worker_state
from jobs.events import Finished, Holding, Tick
from jobs.kinds import SlotSpec
from jobs.models import Instruction, Job, Slot, Status
from jobs.overview import queue_overviews
from tests.conftest import wait_until
from tests.jobs.admin_rows import count_rings
from tests.jobs.fakes import FakeKind, make_job, make_slot, registered, this_process

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)


@pytest.fixture
def slot(fake_kind: FakeKind) -> Slot:
    fake_kind.title = "Training"
    return make_slot(fake_kind)


def claim(slot: Slot) -> transitions.Claim | None:
    return queue.claim_next(slot.kind, slot.name, this_process())


def run(slot: Slot, job: Job) -> Job:
    claimed = claim(slot)
    assert claimed is not None
    runner.execute(claimed)
    job.refresh_from_db()
    return job


def until_asked_to_leave(kind: FakeKind) -> Iterator[object]:
    """What an engine does that saves and returns when it is asked to."""
    while not kind.controls.is_draining:
        yield Tick()


def in_thread(work: Callable[[], None]) -> Callable[[], None]:
    """Have a thread give its database connection back."""

    def work_and_disconnect() -> None:
        try:
            work()
        finally:
            connection.close()

    return work_and_disconnect


def test_a_drained_slot_claims_nothing_until_it_is_resumed(slot: Slot) -> None:
    job = make_job()
    draining.drain([slot.name])
    assert claim(slot) is None
    draining.resume([slot.name])
    claimed = claim(slot)
    assert claimed is not None
    assert claimed.job_id == job.pk


def test_only_the_drained_slot_stops(slot: Slot, fake_kind: FakeKind) -> None:
    other = make_slot(fake_kind, name="other", gpu="1")
    make_job()
    draining.drain([slot.name])
    assert claim(slot) is None
    assert claim(other) is not None


def test_a_run_in_a_drained_slot_leaves_without_hurry_and_at_no_cost(slot: Slot, fake_kind: FakeKind) -> None:
    def script() -> Iterator[object]:
        yield lambda job, _: draining.drain([slot.name])
        yield from until_asked_to_leave(fake_kind)

    fake_kind.script = script()
    job = run(slot, make_job())
    assert (job.status, job.crashes, job.holder, job.run_after) == (Status.QUEUED, 0, None, None)
    assert not fake_kind.controls.is_hurried
    assert waiting.messages([job])[job.pk] == (
        "Waiting to go on: its slot is being drained. Training is drained for maintenance"
    )
    assert not Instruction.objects.exists()


def test_a_run_that_may_finish_comes_to_its_end(slot: Slot, fake_kind: FakeKind) -> None:
    asked: list[bool] = []

    def beat_on(job: Job, _: object) -> None:
        draining.drain([slot.name], lets_finish=True)
        before = Job.objects.get(pk=job.pk).heartbeat
        wait_until(lambda: Job.objects.get(pk=job.pk).heartbeat > before + 2, what="three heartbeats")
        asked.append(fake_kind.controls.is_draining)

    fake_kind.script = [beat_on, Finished()]
    assert run(slot, make_job()).status == Status.COMPLETED
    assert asked == [False]
    make_job()
    assert claim(slot) is None


def test_a_job_that_only_lies_in_its_engines_queue_leaves_too(fake_kind: FakeKind) -> None:
    kind = FakeKind(starts_at_claim=False)
    with registered(kind):
        slot = make_slot(kind)

        def script() -> Iterator[object]:
            yield lambda job, _: draining.drain([slot.name])
            yield from until_asked_to_leave(kind)

        kind.script = script()
        job = run(slot, make_job())
    assert (job.status, job.token) == (Status.QUEUED, "")


def test_an_attempt_elsewhere_does_not_heed_what_was_asked_of_an_earlier_one(slot: Slot, fake_kind: FakeKind) -> None:
    other = make_slot(fake_kind, name="other", gpu="1")
    job = make_job()
    died = claim(slot)
    assert died is not None
    draining.drain([slot.name])
    transitions.give_back(died.live(), message="its worker died")

    def until_it_was_taken(*_: object) -> None:
        wait_until(lambda: not Instruction.objects.exists(), what="the instruction to be taken")

    asked: list[bool] = []
    fake_kind.script = [until_it_was_taken, lambda *_: asked.append(fake_kind.controls.is_draining), Finished()]
    assert run(other, job).status == Status.COMPLETED
    assert asked == [False]


def test_what_nobody_heard_before_the_slot_was_resumed_is_forgotten(slot: Slot) -> None:
    make_job()
    claim(slot)
    draining.drain([slot.name])
    draining.resume([slot.name])
    assert not Instruction.objects.exists()


def test_a_worker_that_starts_again_serves_its_slot_drained(slot: Slot, fake_kind: FakeKind) -> None:
    draining.drain([slot.name])
    since = Slot.objects.get(pk=slot.pk).drained_since
    worker.register_slot(fake_kind, SlotSpec(name=slot.name, gpu_host="here", gpu="0", engine="new"))
    registered_again = Slot.objects.get(pk=slot.pk)
    assert (registered_again.engine, registered_again.drained_since) == ("new", since)


@pytest.mark.parametrize("how", ["drain", "pause"])
def test_a_claim_under_way_comes_before_the_drain_or_the_pause_returns(how: str, slot: Slot) -> None:
    job = make_job()
    has_claimed, may_commit = threading.Event(), threading.Event()

    @in_thread
    def claim_slowly() -> None:
        with transaction.atomic():
            assert claim(slot) is not None
            has_claimed.set()
            assert may_commit.wait(30)

    @in_thread
    def stop() -> None:
        if how == "drain":
            draining.drain([slot.name])
        else:
            queue.set_paused("fake", is_paused=True)

    with ThreadPoolExecutor(2) as pool:
        claiming = pool.submit(claim_slowly)
        assert has_claimed.wait(30)
        stopping = pool.submit(stop)
        is_waiting = not wait([stopping], timeout=0.3).done
        may_commit.set()
        claiming.result()
        stopping.result()
    assert is_waiting
    assert list(Instruction.objects.values_list("job_id", "verb")) == ([(job.pk, "drain")] if how == "drain" else [])
    make_job()
    transitions.give_back(Job.objects.filter(pk=job.pk), message="")
    assert claim(slot) is None


def test_resuming_rings_for_each_job_that_could_start(slot: Slot, fake_kind: FakeKind) -> None:
    make_slot(fake_kind, name="other", gpu="1")
    for _ in range(3):
        make_job()
    names = ["fake-slot", "other"]
    draining.drain(names)
    queue.sweep()
    assert bell.is_silent("fake")
    draining.resume(names)
    assert count_rings("fake") == 2


def test_a_drained_slot_holds_up_no_other_kind_and_is_told_everywhere(slot: Slot, settings) -> None:
    settings.GPU_SHARING = "exclusive"
    rival = FakeKind(name="rival")
    with registered(rival):
        rivals_slot = make_slot(rival)
        make_job()
        younger = make_job("rival")
        draining.drain([slot.name])
        claimed = claim(rivals_slot)
        assert claimed is not None
        assert claimed.job_id == younger.pk
        assert [queue.drained_slots for queue in queue_overviews() if queue.kind == "fake"] == [(slot.name,)]
        told = [finding for finding in check_workers("fake") if "is drained since" in finding.text]
        assert [finding.advice for finding in told] == [
            f"When the maintenance is over: `manage.py resume --slot {slot.name}`."
        ]


def test_a_job_names_the_maintenance_only_where_every_slot_is_drained(slot: Slot, fake_kind: FakeKind) -> None:
    make_slot(fake_kind, name="other", gpu="1")
    job = make_job()
    draining.drain([slot.name])
    assert waiting.messages([job])[job.pk] == "Waiting in the queue"
    draining.drain(["other"])
    assert waiting.messages([job])[job.pk] == "Training is drained for maintenance"


# A worker that is told to stop


def test_a_worker_that_was_told_to_stop_and_is_killed_too_early_has_not_crashed(
    slot: Slot, fake_kind: FakeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_state._draining, "is_set", lambda: True)
    seen: list[dict] = []
    fake_kind.script = [
        Tick(),
        lambda *_: wait_until(Job.objects.filter(holder__told_to_stop=True).exists, what="the note on the holder"),
        Holding(identity={"pid": 4711}),
        lambda job, _: seen.append(Job.objects.get(pk=job.pk).holder),
    ]
    run(slot, make_job())
    monkeypatch.undo()
    job = make_job(crashes=2, priority=1)
    claim(slot)
    holder = {**seen[0], "worker": {**this_process(), "start_ticks": 1}}
    Job.objects.filter(pk=job.pk, holder__isnull=False).update(holder=holder)
    assert reaper.reap() == 1
    job.refresh_from_db()
    assert (job.status, job.crashes) == (Status.QUEUED, 2)


def test_asking_to_leave_twice_asks_once(slot: Slot) -> None:
    make_job()
    claim(slot)
    draining.drain([slot.name])
    since = Slot.objects.get(pk=slot.pk).drained_since
    draining.drain([slot.name])
    assert Instruction.objects.count() == 1
    assert Slot.objects.get(pk=slot.pk).drained_since == since
