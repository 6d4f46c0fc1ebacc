"""Why a job waits, as its clients are told: found out from the rows when they ask, for any number of jobs at once."""

from collections import defaultdict
from collections.abc import Iterable

from django.db.models import Q
from django.utils import timezone

from jobs import disk_room, kinds, slots, turns
from jobs.models import WAITING, Job, QueueState, Slot, Status
from jobs.schedule import START_AFTER

IN_QUEUE = "Waiting in the queue"


def messages(jobs: Iterable[Job]) -> dict[str, str]:
    """Return what each of `jobs` says that waits unclaimed, in a number of queries that does not grow with them."""
    waiting = [job for job in jobs if job.status in WAITING and not job.token]
    if not waiting:
        return {}
    scene = Scene()
    places = {kind: Place(kind, scene) for kind in {job.kind for job in waiting}}
    return {job.pk: _message(job, places[job.kind]) for job in waiting}


def _message(job: Job, place: "Place") -> str:
    """Say what became of its last attempt, if there was one, and what it waits for now."""
    reason = _own_reason(job) or place.reason_for(job)
    if not job.message:
        return reason or IN_QUEUE
    return f"{job.message.rstrip('.')}. {reason}" if reason else job.message


def _own_reason(job: Job) -> str:
    if job.run_after is None or job.run_after <= timezone.now():
        return ""
    moment = f"Starts at {job.run_after:%Y-%m-%d %H:%M:%S} UTC"
    # At the time that a client asked for it joins the queue, and others may be before it.
    return f"{moment.replace(':00 UTC', ' UTC')} at the earliest" if START_AFTER in job.order else moment


class Scene:
    """Who works and who is held up, read once."""

    def __init__(self) -> None:
        self.paused = set(QueueState.objects.filter(is_paused=True).values_list("kind", flat=True))
        self.served: dict[str, list[Slot]] = defaultdict(list)
        for slot in Slot.objects.select_related("gpu").order_by("name"):
            if slot.is_served():
                self.served[slot.kind].append(slot)
        held = Job.objects.held().only("kind", "status", "progress", "slot", "gpu", "created_at")
        # Of those that only lie in their engine's queue nobody needs to hear while another one runs.
        self.held = sorted(held, key=lambda job: (job.status != Status.RUNNING, job.created_at))

    def open_slots(self, kind: str) -> list[Slot]:
        return [slot for slot in self.served[kind] if slots.takes_work(slot)]

    def holder(self, slot: Slot) -> Job | None:
        """Return a job that keeps others out of the slot."""
        strangers = [job for job in self.held if job.gpu_id == slot.gpu_id and job.kind != slot.kind]
        if strangers and turns.is_exclusive():
            return strangers[0]
        inside = [job for job in self.held if job.slot == slot.name]
        return inside[0] if len(inside) >= slot.capacity else None


class Place:
    """What the waiting jobs of a kind have before them."""

    def __init__(self, kind: str, scene: Scene) -> None:
        self._kind = kinds.get(kind)
        self._scene = scene
        self._open_slots = scene.open_slots(kind)
        self._obstacle = self._find_obstacle()
        self._best = None if self._obstacle else Job.objects.waiting(kind).first()
        self._holder = self._find_holder()
        self._others = self._count_others(self._best) if self._best else ""

    def reason_for(self, job: Job) -> str:
        """What goes before the best one is told of it alone: the rest has more before it, as its place says."""
        is_next = self._best is not None and job.pk == self._best.pk
        others = self._others if is_next else ""
        return self._obstacle or disk_room.lack_of(job, self._open_slots) or self._in_words(others)

    def _in_words(self, others: str) -> str:
        holder = self._holder
        reasons = "; ".join(filter(None, [_at_work(holder) if holder else "", others]))
        is_for_gpu = bool(others) or (holder is not None and holder.kind != self._kind.name)
        return reasons and f"{'Waiting for the GPU' if is_for_gpu else IN_QUEUE}: {reasons}"

    def _find_obstacle(self) -> str:
        served = self._scene.served[self._kind.name]
        if self._kind.name in self._scene.paused:
            return "Paused by an operator"
        if not served:
            return "No worker is up"
        served = [slot for slot in served if not slots.is_drained(slot)]
        if not served:
            return f"{self._kind.title} is drained for maintenance"
        if all(slot.away_since is not None for slot in served):
            return f"{self._kind.engine_name} is down"
        if not self._open_slots:
            return f"{self._kind.engine_name} fails, and is left alone for a while"
        return ""

    def _find_holder(self) -> Job | None:
        """Return a job that all slots of the kind wait for, None where one of them is free."""
        holders = [self._scene.holder(slot) for slot in self._open_slots]
        return holders[0] if holders and all(holders) else None

    def _count_others(self, best: Job) -> str:
        """Say how many jobs of other kinds go first, of those that compete for the same GPU."""
        if not turns.is_exclusive():
            return ""
        gpus = {slot.gpu_id: slot.gpu for slot in self._open_slots}
        has_window = any(gpu.has_window() for gpu in gpus.values())
        rivals = [kind for kind in kinds.all_kinds() if kind is not self._kind and self._competes(kind, set(gpus))]
        counted = {kind: self._before(kind, best, has_window=has_window) for kind in rivals}
        return ", ".join(_counted(kind.title.lower(), count) for kind, count in counted.items() if count)

    def _competes(self, kind: kinds.JobKind, gpu_ids: set[int]) -> bool:
        is_open = any(slot.gpu_id in gpu_ids for slot in self._scene.open_slots(kind.name))
        return is_open and kind.name not in self._scene.paused

    def _before(self, kind: kinds.JobKind, best: Job, *, has_window: bool) -> int:
        """Count as `turns` ranks them."""
        is_better = Q(priority__gt=best.priority)
        if not has_window or kind.makes_room == self._kind.makes_room:
            is_older = Q(created_at__lt=best.created_at) | Q(created_at=best.created_at, pk__lt=best.pk)
            is_better |= Q(priority=best.priority) & is_older
        elif self._kind.makes_room:
            is_better |= Q(priority=best.priority)
        return Job.objects.waiting(kind.name).filter(is_better).order_by().count()


def _at_work(holder: Job) -> str:
    if holder.is_terminal:
        return f"{holder.pk} is stopping"
    if holder.status != Status.RUNNING:
        return f"{holder.pk} is about to start"
    return f"{holder.pk} is {kinds.get(holder.kind).doing} ({holder.progress} %)"


def _counted(noun: str, count: int) -> str:
    return f"1 {noun} goes first" if count == 1 else f"{count} {noun}s go first"
