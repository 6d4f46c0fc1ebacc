"""Redis, the workers, and whether anything is stuck between them."""

import time
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone

from isengard.doctor.finding import Finding, failed, ok, warning
from jobs import bell, readable, slots
from jobs.models import Job, Slot, Status
from jobs.overview import QueueOverview, queue_overviews
from jobs.progress import RedisError
from jobs.progress.server import ServerFacts, server_facts, trouble
from jobs.progress.writer import is_up

MIN_REDIS_VERSION = 7
FULL_SHARE = 0.9
MAINTENANCE = "maintenance"
MAINTENANCE_PATIENCE_SECONDS = 2.0
# Ten sweeps: nothing healthy leaves a job unrung for so long.
OVERDUE_SECONDS = 30
START = "Start everything with `make run`, or this worker alone with `manage.py worker {}`."


def check_redis() -> Iterator[Finding]:
    try:
        facts = server_facts()
    except (RedisError, OSError) as exc:
        own = "It is started by `make run`." if settings.REDIS_IS_EMBEDDED else "Start it, or correct REDIS_URL."
        advice = f"{own} Meanwhile jobs are recorded and wait, and rate limits let everything through."
        yield failed("redis", f"{_address()} does not answer: {exc}", advice)
        return
    yield from _version(facts)
    yield from _writes()
    yield from _persistence(facts)
    yield from _memory(facts)


def _address() -> str:
    """Return where it is, without the password that may be in the URL."""
    parts = urlsplit(settings.REDIS_URL)
    return f"{parts.hostname}:{parts.port or 6379}" if parts.hostname else parts.path


def _version(facts: ServerFacts) -> Iterator[Finding]:
    told = f"{facts.name} (Redis {facts.version}) at {_address()}"
    if int(facts.version.split(".")[0]) < MIN_REDIS_VERSION:
        yield failed("redis", f"{told} is too old", f"Use Redis {MIN_REDIS_VERSION} or later, or Valkey.")
    else:
        yield ok("redis", f"{told} answers")


def _writes() -> Iterator[Finding]:
    reason = trouble()
    if reason:
        advice = "Mend it, or set REDIS_URL to one that takes writes. Meanwhile jobs are recorded and wait."
        yield failed("redis", f"answers, but {reason}", advice)


def _persistence(facts: ServerFacts) -> Iterator[Finding]:
    if facts.is_append_only:
        yield ok("redis", "keeps an append-only file")
    else:
        advice = "Set `appendonly yes`. The database has every job, but a restart makes waiting ones start later."
        yield warning("redis", "keeps no append-only file: a restart forgets what it has", advice)


def _memory(facts: ServerFacts) -> Iterator[Finding]:
    used, limit = readable.size(facts.used_bytes), readable.size(facts.limit_bytes)
    if facts.eviction_policy != "noeviction":
        advice = "Set `maxmemory-policy noeviction`: a queue must refuse writes when memory ends, never forget."
        yield failed("redis", f"may throw messages away (maxmemory-policy {facts.eviction_policy})", advice)
    elif facts.limit_bytes and facts.used_bytes > FULL_SHARE * facts.limit_bytes:
        yield failed("redis", f"is nearly full: {used} of {limit}", "Raise maxmemory.")
    else:
        yield ok("redis", f"evicts nothing, {used} in use" + (f" of {limit}" if facts.limit_bytes else ""))


def check_maintenance() -> Iterator[Finding]:
    """Tell by what piles up whether beat and the maintenance worker do their work."""
    if not is_up():
        return
    overdue = _overdue_rings()
    if not _is_consumed():
        text = "messages pile up in the maintenance queue: nobody consumes it"
        yield failed(MAINTENANCE, text, START.format(MAINTENANCE))
    elif overdue:
        text = f"nobody rang for {overdue} jobs that were recorded while Redis was away"
        yield failed(MAINTENANCE, text, "Start beat and the maintenance worker: `make run` has both.")
    else:
        yield ok(MAINTENANCE, "no message and no ring is overdue")


def _is_consumed() -> bool:
    """Return whether the queue was seen empty: a message that is just passing through is no pile."""
    deadline = time.monotonic() + MAINTENANCE_PATIENCE_SECONDS
    while not bell.is_silent(MAINTENANCE):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _overdue_rings() -> int:
    recorded_before = timezone.now() - timedelta(seconds=OVERDUE_SECONDS)
    paused = [overview.kind for overview in queue_overviews() if overview.is_paused]
    return Job.objects.filter(status=Status.PENDING, created_at__lt=recorded_before).exclude(kind__in=paused).count()


def check_workers(kind: str) -> Iterator[Finding]:
    overview = next(overview for overview in queue_overviews() if overview.kind == kind)
    yield from _slots(overview)
    if overview.is_paused:
        advice = f"To start them: `manage.py queue resume {kind}`."
        yield warning(f"{kind} queue", f"is paused, {overview.waiting} jobs wait", advice)
    if overview.stopping:
        advice = "If that lasts longer than a few minutes, look at the jobs' pages: they name the process."
        yield warning(f"{kind} queue", f"{overview.stopping} ended jobs still have their engine", advice)


def _troubles(area: str, overview: QueueOverview) -> Iterator[Finding]:
    for slot in Slot.objects.filter(pk__in=overview.served_slots):
        trouble = slots.trouble_of(slot)
        if trouble:
            advice = "Look at the engine's own log. It takes work again by itself; meanwhile other slots do it."
            if slots.is_drained(slot):
                advice = f"When the maintenance is over: `manage.py resume --slot {slot.pk}`."
            yield warning(area, f"{slot.pk} {trouble}", advice)


def _slots(overview: QueueOverview) -> Iterator[Finding]:
    area = f"{overview.kind} worker"
    if overview.served_slots:
        yield ok(area, f"serves {', '.join(overview.served_slots)}")
        yield from _troubles(area, overview)
    elif not overview.silent_slots:
        yield failed(area, "no worker has ever served this kind here", START.format(overview.kind))
    for slot in Slot.objects.filter(pk__in=overview.silent_slots):
        text = f"{slot.pk} is silent: last heard of {readable.age(slot.heartbeat_at)} ago"
        if overview.served_slots:
            yield warning(area, text, "Start its worker again, or delete the slot in the admin if it is gone for good.")
        else:
            yield failed(area, text, START.format(overview.kind))
