"""Windows: a long run makes room for waiting jobs of another kind for a while, goes on, and is not asked again soon."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from jobs import instructions, lease, queue, runner, slots, transitions, windows
from jobs.events import Artifact, Finished, Progress, Tick
from jobs.log import lines
from jobs.models import GpuLease, Instruction, Job, Slot, Status
from tests.conftest import wait_until
from tests.jobs.fakes import FakeKind, Step, make_job, make_slot, registered, this_process

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


class Long(FakeKind):
    makes_room = True


@pytest.fixture(autouse=True)
def _exclusive(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.GPU_SHARING = "exclusive"
    settings.GENERATION_WINDOW_MINUTES = 30
    settings.GENERATION_WINDOW_SECONDS = 600
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)


@pytest.fixture
def long() -> Iterator[Long]:
    kind = Long(name="long")
    with registered(kind, FakeKind(name="short")):
        yield kind


@pytest.fixture
def places(long: Long) -> tuple[Slot, Slot]:
    return make_slot(long), make_slot(FakeKind(name="short"))


def claim(slot: Slot) -> transitions.Claim | None:
    return queue.claim_next(slot.kind, slot.name, this_process())


def claimed(slot: Slot) -> str | None:
    found = claim(slot)
    return found.job_id if found else None


def running(slot: Slot, *, minutes: float = 31, **fields) -> Job:
    """A run of an hour-old job that has made steps for so long."""
    job = make_job("long", created_at=timezone.now() - HOUR, **fields)
    assert claimed(slot) == job.pk
    since = timezone.now() - timedelta(minutes=minutes)
    Job.objects.filter(pk=job.pk).update(stage="training", stepping_since=since)
    return job


def asked() -> list[tuple[str, str]]:
    return list(Instruction.objects.values_list("job_id", "verb"))


def end(job_id: str) -> None:
    row = Job.objects.get(pk=job_id)
    transitions.complete(transitions.Claim(row.pk, row.kind, row.attempt, row.token, row.slot), **transitions.UNCLAIMED)


def pause(job: Job) -> None:
    """What the runner does once the engine has saved and gone."""
    job.refresh_from_db()
    windows.begin(job.gpu)
    transitions.give_back(Job.objects.filter(pk=job.pk), message="Paused")


def test_a_run_that_had_its_time_is_asked_once_to_make_room(places) -> None:
    job = running(places[0])
    make_job("short")
    windows.sweep()
    windows.sweep()
    assert asked() == [(job.pk, "yield")]
    Instruction.objects.update(taken_at=timezone.now())
    windows.sweep()
    assert asked() == [(job.pk, "yield")]


def test_nobody_is_asked_while_nobody_waits(places) -> None:
    running(places[0])
    windows.sweep()
    assert asked() == []


@pytest.mark.parametrize(
    "unlike",
    [{"stepping_since": None}, {"stepping_since": F("stepping_since") + timedelta(minutes=2)}, {"stage": "sampling"}],
)
def test_a_run_is_left_alone_until_it_made_steps_for_long_and_between_samples(places, unlike: dict) -> None:
    job = running(places[0])
    make_job("short")
    Job.objects.filter(pk=job.pk).update(**unlike)
    windows.sweep()
    assert asked() == []


@pytest.mark.parametrize("setting", [("GENERATION_WINDOW_MINUTES", 0), ("GPU_SHARING", "shared")])
def test_without_windows_nobody_is_asked(places, settings, setting: tuple) -> None:
    running(places[0])
    make_job("short")
    setattr(settings, *setting)
    windows.sweep()
    assert asked() == []


@pytest.mark.parametrize(
    "absent",
    [
        {"heartbeat_at": Now() - HOUR},
        {"away_since": Now()},
        {"paused_until": Now() + timedelta(minutes=5)},
    ],
)
def test_nobody_makes_room_for_an_engine_that_cannot_use_it(places, absent: dict) -> None:
    running(places[0])
    make_job("short")
    Slot.objects.filter(pk=places[1].pk).update(**absent)
    windows.sweep()
    assert asked() == []


def test_nobody_makes_room_for_a_paused_kind_or_on_another_gpu(places) -> None:
    running(places[0])
    make_job("short")
    queue.set_paused("short", is_paused=True)
    windows.sweep()
    queue.set_paused("short", is_paused=False)
    Slot.objects.filter(pk=places[1].pk).update(gpu=GpuLease.objects.create(host="there", gpu="0"))
    windows.sweep()
    assert asked() == []


def test_a_run_of_higher_priority_is_not_interrupted(places) -> None:
    running(places[0], priority=5)
    make_job("short", priority=4)
    windows.sweep()
    assert asked() == []
    make_job("short", priority=5)
    windows.sweep()
    assert len(asked()) == 1


def test_in_a_window_the_others_go_first_though_they_are_younger(places) -> None:
    long, short = places
    job = running(long)
    first, second = make_job("short"), make_job("short")
    pause(job)
    another = make_job("long", created_at=timezone.now() - 2 * HOUR)
    assert claim(long) is None
    assert claimed(short) == first.pk
    end(first.pk)
    assert claim(long) is None
    assert claimed(short) == second.pk
    end(second.pk)
    assert claimed(long) == another.pk


def test_the_window_closes_when_nobody_waits_any_more(places) -> None:
    long, _ = places
    job = running(long)
    pause(job)
    assert claimed(long) == job.pk
    assert GpuLease.objects.get().window_until is None
    job.refresh_from_db()
    assert (job.attempt, job.crashes, job.stepping_since) == (2, 0, None)


def test_a_window_ends_in_time_though_others_wait(places) -> None:
    long, short = places
    job = running(long)
    make_job("short")
    pause(job)
    GpuLease.objects.update(window_until=timezone.now())
    assert claim(short) is None
    assert claimed(long) == job.pk


def test_a_window_that_another_clock_wrote_does_not_last(places) -> None:
    long, _ = places
    job = running(long)
    make_job("short")
    pause(job)
    GpuLease.objects.update(window_until=timezone.now() + HOUR)
    assert claimed(long) == job.pk


def test_priority_counts_in_a_window_too(places) -> None:
    long, short = places
    job = running(long, priority=1)
    make_job("short")
    pause(job)
    assert claim(short) is None
    assert claimed(long) == job.pk


def test_an_engine_that_goes_away_does_not_hold_the_window_open(places) -> None:
    long, short = places
    job = running(long)
    make_job("short")
    pause(job)
    slots.note_away(Slot.objects.get(pk=short.pk))
    assert claimed(long) == job.pk


def test_a_run_that_makes_room_saves_opens_the_window_and_loses_nothing(places, long: Long, tmp_path) -> None:
    checkpoint = tmp_path / "c.safetensors"
    checkpoint.write_bytes(b"weights")

    def work_for_an_hour(job: Job, _: transitions.Claim) -> None:
        job.stepping_since -= HOUR
        wait_until(lambda: Job.objects.filter(pk=job.pk, stepping_since=job.stepping_since).exists())

    def script() -> Iterator[Step]:
        yield Progress(stage="training", step=3)
        yield Progress(stage="training", step=4)
        yield work_for_an_hour
        windows.sweep()
        for _ in ticking(lambda: long.controls.is_draining):
            yield Tick()
        assert not long.controls.is_hurried
        yield Artifact(type="checkpoint", name="c.safetensors", path=checkpoint, step=4)

    job = make_job("long", created_at=timezone.now() - HOUR)
    make_job("short")
    long.script = script()
    runner.execute(claim(places[0]))
    job.refresh_from_db()
    assert (job.status, job.message) == (Status.QUEUED, "Paused for waiting generations; goes on at step 4")
    assert (job.crashes, job.token) == (0, "")
    assert GpuLease.objects.get().has_window()
    assert asked() == []
    assert "Makes room for waiting jobs" in "".join(json.loads(line)["message"] for line in lines(job))


def ticking(condition: Callable[[], bool]) -> Iterator[None]:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it was not asked in time"
        time.sleep(0.01)
        yield


def test_only_new_steps_count_as_steps_of_an_attempt(places, long: Long) -> None:
    seen = []
    long.script = [
        Progress(stage="loading_model", step=5),
        Progress(stage="training", step=5),
        Progress(stage="sampling", step=6),
        lambda job, _: seen.append(job.stepping_since),
        Progress(stage="training", step=7),
        lambda job, _: seen.append(job.stepping_since),
        Progress(stage="training", step=8),
        lambda job, _: seen.append(job.stepping_since),
        Finished(),
    ]
    make_job("long", current_step=8)
    runner.execute(claim(places[0]))
    assert seen[0] is None
    assert seen[1] is not None
    assert seen[2] == seen[1]


def test_a_run_that_ends_before_it_is_asked_leaves_nothing(places) -> None:
    job = running(places[0])
    end(job.pk)
    with pytest.raises(instructions.NotRunning):
        instructions.give(job, "yield")
    windows.sweep()
    assert asked() == []
