"""A worker process: which slots it serves, that it lives, and how it stops. Hangs on Celery's signals."""

import logging
import os
import threading
from contextlib import suppress
from typing import Any

from celery.signals import worker_ready, worker_shutting_down
from django.db import DatabaseError, connection
from django.utils import timezone

from jobs import deadlines, disk_room, gpus, identity, kinds, queue, reaper, slots
from jobs.models import GpuLease, Slot
from jobs.surprises import tell_once
from jobs.tidying import keep_machine_tidy
from jobs.transitions import Claim
from jobs.worker_state import is_draining, start_draining

logger = logging.getLogger(__name__)

KEEP_SECONDS = 5.0

_served: dict[str, list[kinds.SlotSpec]] = {}
_stop_keeping = threading.Event()
# Two threads that chose at the same time would choose the same slot, and another one would stay idle.
_choosing = threading.Lock()


def own_identity() -> dict[str, Any]:
    return identity.of_process(os.getpid()).as_json()


def register_slot(kind: kinds.JobKind, spec: kinds.SlotSpec) -> None:
    """Record that this process serves the slot, now. Repeated every few seconds: that is its sign of life."""
    gpu, _ = GpuLease.objects.get_or_create(host=spec.gpu_host, gpu=spec.gpu)
    served = {
        "worker": own_identity(),
        "heartbeat_at": timezone.now(),
        "free_bytes": disk_room.measured_bytes(),
    }
    described = {"kind": kind.name, "capacity": kind.claims_per_slot, "gpu": gpu, "engine": spec.engine}
    Slot.objects.update_or_create(name=spec.name, defaults=served | described)


def claim_for_this_worker(kind_name: str) -> Claim | None:
    """Claim the best job for the best slot of this process that has room and an engine that answers."""
    kind = kinds.get(kind_name)
    names = [spec.name for spec in _served.get(kind_name, ())]
    with _choosing:
        for slot in slots.in_order_of_choice(kind, names):
            if is_draining():
                return None
            claim = queue.claim_next(kind_name, slot.name, own_identity()) if slots.answers(kind, slot) else None
            if claim is not None:
                with suppress(DatabaseError):
                    # Without it a model is loaded once more; an error here would leave the job without a run.
                    slots.note_claim(claim)
                return claim
    return None


@worker_ready.connect
def start_serving(sender: Any, **_: Any) -> None:
    """Serve the kinds whose queues this worker consumes."""
    consumed = {queue.name for queue in sender.task_consumer.queues}
    for kind in kinds.all_kinds():
        if kind.name in consumed:
            _served[kind.name] = kind.slots()
            names = ", ".join(spec.name for spec in _served[kind.name])
            logger.info("Serving %s on %s", kind.name, names)
    if _served:
        _keep_once()
        threading.Thread(target=_keep_alive, name="slots", daemon=True).start()
        threading.Thread(target=keep_machine_tidy, args=(_stop_keeping,), name="tidying", daemon=True).start()


@worker_shutting_down.connect
def drain(**_: Any) -> None:
    logger.info("Shutting down: running jobs are saved and given back")
    _stop_keeping.set()
    start_draining()


def _keep_alive() -> None:
    while not _stop_keeping.wait(KEEP_SECONDS):
        _keep_once()


def _keep_once() -> None:
    """Tell that the slots are served, end the claims of dead workers, this host's before all, ring what was missed."""
    try:
        for kind_name, specs in _served.items():
            for spec in specs:
                register_slot(kinds.get(kind_name), spec)
                gpus.record_figures(spec.gpu_host, spec.gpu)
            _look_at_engines(kinds.get(kind_name), [spec.name for spec in specs])
        reaper.reap()
        deadlines.cancel_overdue()
        # As the clock has it done, which may be stopped or away itself.
        queue.sweep()
    except (DatabaseError, OSError) as exc:
        logger.warning("Could not tell that this worker lives: %s", exc)
    except Exception as exc:
        # A worker whose slots nobody keeps any more takes no work, and says nothing.
        tell_once(logger, "Keeping the slots", exc)
    finally:
        connection.close()


def _look_at_engines(kind: kinds.JobKind, names: list[str]) -> None:
    """Find out which engines are away, so that no claim has to wait for them."""
    for slot in Slot.objects.filter(name__in=names):
        slots.answers(kind, slot)
