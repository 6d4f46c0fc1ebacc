"""Races between processes on one database: a program that has loaded everything and forks those who race.

`python -m tests.jobs.racing` reads the name of a race from each line of its input, and answers with what came of it.
"""

import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import django

FORKED = multiprocessing.get_context("fork")
FINISH_SECONDS = 120.0
RACES: dict[str, Callable[[], Any]] = {}
Runner = Callable[[], Any]


def race(*runners: Runner) -> list[Any]:
    """Let each run in a process of its own, all from the same moment; return what each came back with."""
    from django.db import connections

    # A connection must not be shared with a fork.
    connections.close_all()
    start = FORKED.Barrier(len(runners))
    ends = [_start(runner, start) for runner in runners]
    came_back = [end.recv() if end.poll(FINISH_SECONDS) else "did not come back" for end, _ in ends]
    for _, process in ends:
        process.join(FINISH_SECONDS)
    return came_back


def _start(runner: Runner, start: Any) -> tuple[Any, Any]:
    here, there = FORKED.Pipe(duplex=False)
    process = FORKED.Process(target=_run, args=(runner, start, there))
    process.start()
    return here, process


def _run(runner: Runner, start: Any, end: Any) -> None:
    from django.db import connections

    try:
        # Opened before the start, so that the race is not decided by who connects first.
        connections["default"].ensure_connection()
        start.wait(FINISH_SECONDS)
        end.send(runner())
    except Exception as exc:
        end.send(f"{type(exc).__name__}: {exc}")
    finally:
        connections.close_all()


def held_by_the_dead(count: int) -> None:
    """Make so many running jobs whose worker process is dead."""
    from jobs import identity, queue
    from tests.jobs.fakes import make_job

    worker = subprocess.Popen(["sleep", "3600"])
    dead = identity.of_process(worker.pid).as_json()
    worker.kill()
    worker.wait()
    slot = _slot("grave")
    for _ in range(count):
        make_job()
        queue.claim_next("fake", slot.name, dead)


def _slot(name: str, kind: str = "fake") -> Any:
    from jobs import kinds
    from tests.jobs.fakes import make_slot

    return make_slot(kinds.get(kind), name=name)


def _claim(slot: str, kind: str = "fake") -> Any:
    from jobs import queue
    from tests.jobs.fakes import this_process

    return queue.claim_next(kind, slot, this_process())


def _claim_all(slot: str, kind: str = "fake") -> list[Any]:
    from jobs.models import Job

    claims = []
    while Job.objects.waiting(kind).exists():
        claim = _claim(slot, kind)
        claims += [claim] if claim else []
    return claims


def _race(run: Callable[[], Any]) -> Callable[[], Any]:
    RACES[run.__name__] = run
    return run


@_race
def claiming() -> dict[str, Any]:
    from jobs.models import Attempt, Job, Status

    slots = [_slot(f"slot-{number}").name for number in range(6)]
    Job.objects.bulk_create(Job(id=f"fake-{n:03d}", kind="fake", status=Status.QUEUED) for n in range(200))
    got = race(*[lambda name=name: [claim.job_id for claim in _claim_all(name)] for name in slots])
    return {
        "claimed": sorted(job for jobs in got for job in jobs),
        "attempts": sorted(Attempt.objects.values_list("job_id", "number")),
        "fed": sum(bool(jobs) for jobs in got),
    }


@_race
def claim_against_cancel() -> list[tuple[str, bool, bool]]:
    from jobs.cancelling import cancel_job
    from jobs.models import Job
    from tests.jobs.fakes import make_job

    slot = _slot("slot").name
    jobs = [make_job() for _ in range(30)]
    claimed, _ = race(
        lambda: [claim.job_id for claim in _claim_all(slot)],
        lambda: [cancel_job(job).pk for job in jobs],
    )
    rows = Job.objects.order_by("pk").values_list("pk", "status", "attempt", "holder")
    return [(status, pk in claimed, attempt == 1 and holder is not None) for pk, status, attempt, holder in rows]


@_race
def two_reapers() -> dict[str, Any]:
    from jobs import reaper
    from jobs.models import Attempt, Job

    held_by_the_dead(20)
    counts = race(reaper.reap, reaper.reap)
    return {
        "reaped": sum(counts),
        "jobs": sorted(set(Job.objects.values_list("status", "attempt", "crashes", "token"))),
        "attempts": sorted(set(Attempt.objects.values_list("number", "outcome"))),
    }


@_race
def complete_against_cancel() -> list[tuple[bool, bool, str]]:
    from jobs import transitions
    from jobs.cancelling import NotCancellable, cancel_job
    from jobs.models import Job
    from tests.jobs.fakes import make_job

    slot = _slot("slot").name
    jobs = [make_job() for _ in range(30)]
    claims = {claim.job_id: claim for claim in _claim_all(slot)}

    def cancel(job: Job) -> bool:
        try:
            return bool(cancel_job(job))
        except NotCancellable:
            return False

    completed, cancelled = race(
        lambda: [transitions.complete(claims[job.pk], **transitions.UNCLAIMED) for job in jobs],
        lambda: [cancel(job) for job in reversed(jobs)][::-1],
    )
    statuses = Job.objects.order_by("pk").values_list("status", flat=True)
    return list(zip(completed, cancelled, statuses, strict=True))


@_race
def retry_of_the_same_job() -> dict[str, Any]:
    from django.utils import timezone

    from jobs.models import Job, Status
    from jobs.retrying import NotRetryable, retry_job
    from tests.jobs.fakes import make_job

    failed = make_job(status=Status.FAILED, completed_at=timezone.now())

    def retry() -> str:
        try:
            return str(retry_job(failed).pk)
        except NotRetryable:
            return ""

    made = race(*[retry] * 4)
    return {"made": [job for job in made if job], "jobs": list(Job.objects.exclude(pk=failed.pk).values_list("pk"))}


@_race
def idempotency_twins() -> dict[str, Any]:
    from jobs.idempotency import RequestKey, intent_of, record_once
    from jobs.models import Job, new_job_id
    from tests.jobs.fakes import make_job

    intent = intent_of(RequestKey("client:generation", "the same"), {"prompt": "a"})

    def submit() -> tuple[str, bool]:
        submission = record_once(intent, lambda: make_job(id=new_job_id("fake")))
        return submission.job.pk, submission.is_new

    answers = race(*[submit] * 6)
    return {"answers": answers, "jobs": list(Job.objects.values_list("pk", flat=True))}


@_race
def one_gpu_for_two_kinds() -> dict[str, Any]:
    from django.conf import settings

    from jobs import transitions
    from jobs.models import Job
    from tests.jobs.fakes import make_job

    settings.GPU_SHARING = "exclusive"
    slots = {kind: _slot(f"{kind}-slot", kind).name for kind in ("one", "other")}
    for _ in range(10):
        make_job("one"), make_job("other")

    def work(kind: str) -> int:
        met = 0
        while Job.objects.waiting(kind).exists():
            claim = _claim(slots[kind], kind)
            if claim is not None:
                met += Job.objects.held().exclude(kind=kind).count()
                transitions.complete(claim, **transitions.UNCLAIMED)
            else:
                # Whoever asks without a pause keeps SQLite's only lock from the one that has the GPU.
                time.sleep(0.01)
        return met

    met = race(lambda: work("one"), lambda: work("other"))
    return {"met": met, "jobs": sorted(set(Job.objects.values_list("status", "attempt")))}


@_race
def versions_of_one_character() -> list[int]:
    from characters.loras import issue_version
    from characters.models import Character

    character = Character.objects.create(name="Ann", trigger_word="ann_person").pk
    issued = race(*[lambda: [issue_version(character) for _ in range(10)]] * 4)
    return sorted(number for numbers in issued for number in numbers)


def main() -> None:
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    for line in sys.stdin:
        sys.stdout.write(f"{json.dumps(_hold(line.strip()))}\n")
        sys.stdout.flush()


def _hold(name: str) -> Any:
    from jobs.models import GpuLease, Job, Slot
    from tests.jobs.fakes import FakeKind, registered

    for table in (Job, Slot, GpuLease):
        table.objects.all().delete()
    kinds: Sequence[FakeKind] = [FakeKind(name=name, claims_per_slot=1000) for name in ("fake", "one", "other")]
    with registered(*kinds):
        return RACES[name]()


if __name__ == "__main__":
    main()
