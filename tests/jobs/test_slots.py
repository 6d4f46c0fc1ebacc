"""Which slot takes work, and which one is left alone because its engine is away or fails."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from isengard.doctor.finding import Level
from isengard.doctor.queueing import check_workers
from jobs import queue, runner, slots, worker
from jobs.errors import EngineAtFault, EngineFailed, EngineUnavailable
from jobs.events import Finished, Started
from jobs.kinds import SlotSpec
from jobs.models import Job, Slot, Status
from tests.jobs.fakes import FakeKind, make_job, make_slot, registered, this_process

BROKEN = EngineAtFault("The GPU fell off.")


class PlacedKind(FakeKind):
    """Its engines may be away, and each job needs the model that its config names."""

    def __init__(self) -> None:
        super().__init__(claims_per_slot=2)
        self.away: set[str] = set()
        self.welcomed: list[str] = []

    def is_ready(self, slot: Slot) -> bool:
        return slot.name not in self.away

    def affinity(self, job: Job) -> str:
        return str(job.config.get("model", ""))

    def welcome_back(self, slot: Slot) -> None:
        self.welcomed.append(slot.name)


@pytest.fixture
def kind(db: None, no_beats: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlacedKind]:
    """Two slots, a and b, that this process serves."""
    placed = PlacedKind()
    with registered(placed):
        specs = [
            SlotSpec(name=make_slot(placed, name=name, gpu=name).name, gpu_host="here", gpu=name, engine="")
            for name in ("a", "b")
        ]
        monkeypatch.setitem(worker._served, "fake", specs)
        yield placed


def _claim() -> tuple[str, str] | None:
    claim = worker.claim_for_this_worker("fake")
    return (claim.job_id, claim.slot) if claim else None


def _run(kind: PlacedKind, *script: object) -> str:
    """Claim and run the best job; return the slot."""
    kind.script = script
    claim = worker.claim_for_this_worker("fake")
    assert claim is not None
    runner.execute(claim)
    return claim.slot


def _job(model: str = "", **fields: object) -> str:
    return make_job(config={"model": model}, **fields).pk


def _hurry() -> None:
    """Let what was given back start at once."""
    Job.objects.update(run_after=None)


def test_idle_slots_go_before_those_that_queue_ahead(kind: PlacedKind) -> None:
    for _ in range(5):
        _job()
    assert [(_claim() or ("", ""))[1] for _ in range(5)] == ["a", "b", "a", "b", ""]


def test_a_free_slot_that_has_the_model_loaded_goes_first(kind: PlacedKind) -> None:
    Slot.objects.filter(pk="b").update(loaded="dev")
    assert (_job("dev"), "b") == _claim()
    assert Slot.objects.get(pk="b").loaded == "dev"


def test_a_slot_is_known_by_what_it_ran_last(kind: PlacedKind) -> None:
    first = _job("dev"), _job("schnell")
    assert [_claim(), _claim()] == [(first[0], "a"), (first[1], "b")]
    Job.objects.all().delete()
    assert (_job("schnell"), "b") == _claim()


def test_affinity_never_lets_a_worse_job_go_first(kind: PlacedKind) -> None:
    Slot.objects.update(loaded="dev")
    now = timezone.now()
    older = _job("schnell", created_at=now - timedelta(minutes=1))
    younger = _job("dev", created_at=now)
    urgent = _job("schnell", created_at=now, priority=1)
    assert [(_claim() or ("",))[0] for _ in range(3)] == [urgent, older, younger]


def test_affinity_never_makes_an_idle_slot_wait(kind: PlacedKind) -> None:
    Slot.objects.filter(pk="b").update(loaded="dev")
    jobs = [_job("dev") for _ in range(2)]
    assert [_claim(), _claim()] == [(jobs[0], "b"), (jobs[1], "a")]


def test_a_slot_whose_engine_is_away_takes_nothing_and_says_since_when(kind: PlacedKind) -> None:
    kind.away = {"a"}
    jobs = [_job() for _ in range(3)]
    assert [_claim(), _claim(), _claim()] == [(jobs[0], "b"), (jobs[1], "b"), None]
    assert Slot.objects.get(pk="a").away_since is not None


def test_three_failures_in_a_row_pause_a_slot_for_a_growing_while(kind: PlacedKind, stopped_clock: datetime) -> None:
    pauses = []
    for _ in range(8):
        slots.note_failure("a", "It fell off.")
        until = Slot.objects.get(pk="a").paused_until
        pauses.append(until and (until - stopped_clock).total_seconds())
    assert pauses == [None, None, 30, 60, 120, 240, 480, 600]
    slot = Slot.objects.get(pk="a")
    assert (slot.failures, slot.trouble) == (8, "It fell off.")
    _job()
    assert (_claim() or ("", ""))[1] == "b"


def test_a_pause_ends_and_one_more_failure_begins_a_longer_one(kind: PlacedKind) -> None:
    for _ in range(3):
        slots.note_failure("a", "x")
    Slot.objects.filter(pk="a").update(paused_until=timezone.now() - timedelta(seconds=1))
    assert not slots.is_paused(Slot.objects.get(pk="a"))
    slots.note_failure("a", "x")
    assert slots.is_paused(Slot.objects.get(pk="a"))


def test_a_pause_of_another_clock_is_none(kind: PlacedKind) -> None:
    Slot.objects.filter(pk="a").update(paused_until=timezone.now() + timedelta(days=1))
    assert not slots.is_paused(Slot.objects.get(pk="a"))


def test_a_success_makes_up_for_failures(kind: PlacedKind) -> None:
    slots.note_failure("a", "x")
    slots.note_failure("a", "x")
    _job()
    assert _run(kind, Started(), Finished()) == "a"
    assert Slot.objects.get(pk="a").failures == 0


def test_what_one_engine_cannot_do_is_tried_at_another(kind: PlacedKind) -> None:
    job = _job()
    assert _run(kind, BROKEN) == "a"
    row = Job.objects.get(pk=job)
    assert (row.status, row.failed_slots, row.crashes) == (Status.QUEUED, ["a"], 1)
    assert row.message == "Trying elsewhere: The GPU fell off."
    assert _run(kind, Started(), Finished()) == "b"
    assert Job.objects.get(pk=job).status == Status.COMPLETED
    assert Slot.objects.get(pk="a").failures == 1


def test_what_no_engine_can_do_fails_with_the_reason(kind: PlacedKind) -> None:
    job = _job()
    assert [_run(kind, BROKEN), _run(kind, BROKEN)] == ["a", "b"]
    row = Job.objects.get(pk=job)
    assert (row.status, row.error_message) == (Status.FAILED, "The GPU fell off.")


def test_a_job_that_failed_here_lets_others_go_first(kind: PlacedKind) -> None:
    tried = _job(failed_slots=["a"], created_at=timezone.now() - timedelta(hours=1))
    other = _job()
    assert [_claim(), _claim()] == [(other, "a"), (tried, "b")]


def test_a_job_goes_back_to_the_slot_where_it_failed_when_no_other_is_left(kind: PlacedKind) -> None:
    tried = _job(failed_slots=["a"])
    Slot.objects.filter(pk="b").update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    kind.away = {"b"}
    assert _claim() == (tried, "a")


def test_a_refusal_sends_a_job_elsewhere_and_pauses_nobody(kind: PlacedKind) -> None:
    _job()
    _run(kind, EngineAtFault("It lacks the model.", is_broken=False))
    assert Slot.objects.get(pk="a").failures == 0
    assert Job.objects.get().failed_slots == ["a"]


def test_a_failure_that_is_the_jobs_own_is_not_tried_elsewhere(kind: PlacedKind) -> None:
    _job()
    _run(kind, EngineFailed("The LoRA is damaged."))
    assert Job.objects.get().status == Status.FAILED
    assert Slot.objects.get(pk="a").failures == 0


def test_a_job_whose_engine_died_goes_on_elsewhere_at_once_and_at_no_cost(kind: PlacedKind) -> None:
    job = _job()
    assert _run(kind, Started(), lambda *_: kind.away.add("a"), EngineUnavailable("It is not running.")) == "a"
    row = Job.objects.get(pk=job)
    assert (row.status, row.crashes) == (Status.QUEUED, 0)
    assert _claim() == (job, "b")
    assert Slot.objects.get(pk="a").away_since is not None


def test_a_job_whose_only_engine_died_waits_a_moment(kind: PlacedKind) -> None:
    kind.away = {"b"}
    slots.note_away(Slot.objects.get(pk="b"))
    _job()
    _run(kind, lambda *_: kind.away.add("a"), EngineUnavailable("It is not running."))
    assert _claim() is None
    _hurry()
    kind.away = set()
    assert _claim() is not None


def test_an_engine_that_answers_and_does_not_work_counts_as_failing(kind: PlacedKind) -> None:
    _job()
    _run(kind, EngineUnavailable("What answers there is something else."))
    slot = Slot.objects.get(pk="a")
    assert (slot.failures, slot.away_since) == (1, None)


def test_an_engine_that_is_back_is_tidied_up_before_it_takes_work(kind: PlacedKind) -> None:
    kind.away = {"a", "b"}
    _job()
    assert _claim() is None
    assert Slot.objects.exclude(away_since=None).count() == 2
    kind.away = {"b"}
    assert (_claim() or ("", ""))[1] == "a"
    assert kind.welcomed == ["a"]
    assert Slot.objects.get(pk="a").away_since is None


def test_slots_that_are_away_are_looked_at_last(kind: PlacedKind) -> None:
    kind.away = {"a"}
    slots.note_away(Slot.objects.get(pk="a"))
    _job()
    assert [slot.name for slot in slots.in_order_of_choice(kind, ["a", "b"])] == ["b", "a"]


def test_an_engine_is_abandoned_only_after_a_while_out_of_reach(kind: PlacedKind) -> None:
    assert not slots.is_abandoned("a")
    slots.note_away(Slot.objects.get(pk="a"))
    assert not slots.is_abandoned("a")
    Slot.objects.filter(pk="a").update(away_since=timezone.now() - timedelta(minutes=1))
    assert slots.is_abandoned("a")


def test_a_claim_for_a_slot_leaves_what_it_could_not_do(kind: PlacedKind) -> None:
    _job(failed_slots=["a"])
    assert queue.claim_next("fake", "a", this_process()) is None
    assert queue.claim_next("fake", "b", this_process()) is not None


def test_the_doctor_and_the_admin_say_why_a_slot_takes_no_work(kind: PlacedKind, admin_client: Client) -> None:
    for _ in range(3):
        slots.note_failure("a", "The GPU fell off.")
    slots.note_away(Slot.objects.get(pk="b"))
    told = [finding.text for finding in check_workers("fake") if finding.level is Level.WARNING]
    assert [text.partition(" ")[0] for text in told] == ["a", "b"]
    assert "after 3 failures in a row, the last: The GPU fell off." in told[0]
    assert "does not answer since" in told[1]
    page = admin_client.get(reverse("admin:jobs_slot_changelist")).content.decode()
    assert "The GPU fell off." in page
    assert "does not answer since" in page
