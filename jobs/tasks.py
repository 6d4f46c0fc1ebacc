"""Celery tasks. A message names a kind; which job it starts is decided by the rows."""

from celery import shared_task

from jobs import bell, deadlines, idempotency, kinds, log, losses, queue, reaper, runner, tidying, windows
from jobs.models import Job
from jobs.worker import claim_for_this_worker


@shared_task(name=bell.WORK)
def work(kind: str) -> None:
    """Run the best waiting job of a kind, if there is room for it here, and ring for the next."""
    if kind not in kinds.names():
        return
    claim = claim_for_this_worker(kind)
    if claim is None:
        return
    runner.execute(claim)
    ring_for_the_next()


def ring_for_the_next() -> None:
    """A slot and a GPU became free: wake whoever waits for either."""
    for kind in kinds.names():
        if Job.objects.waiting(kind).exists() and bell.is_silent(kind):
            bell.ring(kind)


@shared_task(name="jobs.sweep")
def sweep() -> None:
    deadlines.cancel_overdue()
    queue.sweep()
    windows.sweep()
    idempotency.forget_expired()


@shared_task(name="jobs.reap")
def reap() -> None:
    reaper.reap()
    losses.archive_ended()
    log.archive_ended()


@shared_task(name="jobs.tidy")
def tidy() -> None:
    tidying.expire_jobs()
    tidying.tidy_storage()
    tidying.tidy_machine()
