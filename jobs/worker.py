"""A worker process: which slots it serves, that it lives, and how it stops. Hangs on Celery's signals."""

import logging
import os
import threading
from typing import Any

from celery.signals import worker_ready, worker_shutting_down
from django.db import DatabaseError, connection
from django.utils import timezone

from jobs import identity, kinds, queue, reaper
from jobs.models import GpuLease, Slot
from jobs.transitions import Claim
from jobs.worker_state import is_draining, start_draining

logger = logging.getLogger(__name__)

KEEP_SECONDS = 5.0

_slots: dict[str, list[str]] = {}
_stop_keeping = threading.Event()


def own_identity() -> dict[str, Any]:
    return identity.of_process(os.getpid()).as_json()


def register_slots(kind: kinds.JobKind) -> list[str]:
    """Record the slots this process serves, and return their names."""
    names = []
    for spec in kind.slots():
        gpu, _ = GpuLease.objects.get_or_create(host=spec.gpu_host, gpu=spec.gpu)
        Slot.objects.update_or_create(
            name=spec.name,
            defaults={
                "kind": kind.name,
                "capacity": kind.claims_per_slot,
                "gpu": gpu,
                "engine": spec.engine,
                "worker": own_identity(),
                "heartbeat_at": timezone.now(),
            },
        )
        names.append(spec.name)
    return names


def claim_for_this_worker(kind_name: str) -> Claim | None:
    """Claim the best job for the first slot of this process that has room and an engine that answers."""
    if is_draining():
        return None
    kind = kinds.get(kind_name)
    for name in _slots.get(kind_name, ()):
        slot = Slot.objects.get(pk=name)
        claim = queue.claim_next(kind_name, name, own_identity()) if kind.is_ready(slot) else None
        if claim is not None:
            return claim
    return None


@worker_ready.connect
def start_serving(sender: Any, **_: Any) -> None:
    """Serve the kinds whose queues this worker consumes."""
    consumed = {queue.name for queue in sender.task_consumer.queues}
    served = [kind for kind in kinds.all_kinds() if kind.name in consumed]
    for kind in served:
        _slots[kind.name] = register_slots(kind)
        logger.info("Serving %s on %s", kind.name, ", ".join(_slots[kind.name]))
    if served:
        threading.Thread(target=_keep_alive, name="slots", daemon=True).start()


@worker_shutting_down.connect
def drain(**_: Any) -> None:
    logger.info("Shutting down: running jobs are saved and given back")
    _stop_keeping.set()
    start_draining()


def _keep_alive() -> None:
    """Tell that the slots are served, and end the claims of dead workers, this host's before all."""
    while True:
        try:
            reaper.reap()
            names = [name for served in _slots.values() for name in served]
            Slot.objects.filter(pk__in=names).update(heartbeat_at=timezone.now())
        except DatabaseError as exc:
            logger.warning("Could not tell that this worker lives: %s", exc)
        finally:
            connection.close()
        if _stop_keeping.wait(KEEP_SECONDS):
            return
