"""Jobs in states that nothing leads into, and out of which nothing leads."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from isengard.audit.finding import Finding
from jobs import disk_room, log, losses, slots, transitions
from jobs.models import LIVE, TERMINAL, WAITING, Job, JobLogLine, LossPoint, QueueState, Slot
from jobs.progress.writer import is_up

# The reaper ends what was silent for a minute, and waits as long again where its first look was late.
SILENT = timedelta(minutes=5)
# Somebody looks every few seconds for what was not archived, and for what nobody was told of.
OVERDUE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`rows()` are the jobs that break it."""

    code: str
    rows: Callable[[], Any]
    text: Callable[[Job], str]
    advice: str
    repair: Callable[[Job], Any] | None = None


def check_jobs() -> Iterator[Finding]:
    for rule in RULES:
        for job in rule.rows().order_by("created_at", "pk").iterator(chunk_size=500):
            # The claim and its heartbeat, too: one that ended and began anew in between is all right.
            same = {"pk": job.pk, "token": job.token, "heartbeat": job.heartbeat}
            yield Finding(
                code=rule.code,
                subject=job.pk,
                text=rule.text(job),
                advice=rule.advice,
                is_still_so=partial(_is_still_so, rule, same),
                repair=partial(rule.repair, job) if rule.repair else None,
            )


def _is_still_so(rule: Rule, same: dict[str, Any]) -> bool:
    return bool(rule.rows().filter(**same).exists())


def _claimed_by_nobody() -> Any:
    is_claimed = ~Q(token="") | ~Q(slot="") | Q(gpu__isnull=False)
    return Job.objects.filter(is_claimed, holder__isnull=True)


def _let_go(job: Job) -> None:
    rows = Job.objects.filter(pk=job.pk, token=job.token, holder__isnull=True)
    if job.status in LIVE:
        transitions.give_back(rows, message="Waiting to go on: nobody held it")
    else:
        transitions.release(rows)


def _silent() -> Any:
    return Job.objects.held().filter(heartbeat_at__lt=timezone.now() - SILENT)


def _without_slot() -> Any:
    return Job.objects.held().filter(~Exists(Slot.objects.filter(pk=OuterRef("slot"))))


def _not_archived() -> Any:
    has_rows = Exists(JobLogLine.objects.filter(job=OuterRef("pk"))) | Exists(
        LossPoint.objects.filter(job=OuterRef("pk"))
    )
    long_ago = timezone.now() - OVERDUE
    return Job.objects.filter(has_rows, status__in=TERMINAL, holder__isnull=True, completed_at__lt=long_ago)


def _archive(job: Job) -> None:
    losses.archive(job)
    log.archive(job)


def _overlooked() -> Any:
    """Return jobs that wait for long although an idle slot could take them, and the bell works."""
    long_ago = timezone.now() - OVERDUE
    is_old = Q(run_after=None, created_at__lt=long_ago) | Q(run_after__lt=long_ago)
    idle = _idle_slots() if is_up() else {}
    found = [
        job.pk
        for kind, places in idle.items()
        for job in Job.objects.waiting(kind).filter(is_old, failed_slots=[])
        if not disk_room.lack_of(job, places)
    ]
    return Job.objects.filter(pk__in=found, token="", status__in=WAITING)


def _idle_slots() -> dict[str, list[Slot]]:
    paused = set(QueueState.objects.filter(is_paused=True).values_list("kind", flat=True))
    busy_gpus = set(Job.objects.held().values_list("gpu", flat=True))
    idle: dict[str, list[Slot]] = defaultdict(list)
    for slot in Slot.objects.exclude(kind__in=paused).exclude(gpu__in=busy_gpus):
        if not slots.trouble_of(slot) and slots.takes_work(slot):
            idle[slot.kind].append(slot)
    return idle


RULES = (
    Rule(
        code="claimed_by_nobody",
        rows=_claimed_by_nobody,
        text=lambda job: f"It is {job.status} and takes a place, and nobody holds it: nothing would ever end that.",
        advice="`--repair` gives it back to the queue, or takes the place from it if it has ended.",
        repair=_let_go,
    ),
    Rule(
        code="silent_holder",
        rows=_silent,
        text=lambda job: f"Its worker gave no sign of life since {job.heartbeat_at:%Y-%m-%d %H:%M:%S} UTC.",
        advice="Start the maintenance worker and the clock, which end such claims; `manage.py doctor` tells more.",
    ),
    Rule(
        code="holder_without_slot",
        rows=_without_slot,
        text=lambda job: f"It is held in the slot {job.slot or '(none)'}, and there is no such slot.",
        advice="Restart the worker that holds it: it registers its slots.",
    ),
    Rule(
        code="not_archived",
        rows=_not_archived,
        text=lambda _: "It ended long ago, and its log or its curve is still in the database.",
        advice="`--repair` archives it; the maintenance worker should have.",
        repair=_archive,
    ),
    Rule(
        code="overlooked_job",
        rows=_overlooked,
        text=lambda job: f"It waits since {job.created_at:%Y-%m-%d %H:%M:%S} UTC although an idle slot could take it.",
        advice="Start the maintenance worker and the clock; `manage.py doctor` tells more.",
    ),
)
