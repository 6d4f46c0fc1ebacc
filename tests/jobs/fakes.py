"""A kind of job whose engine does what the test says: a script of events and calls."""

import os
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from jobs import kinds
from jobs.events import Controls, Event, Finished
from jobs.identity import of_process
from jobs.models import GpuLease, Job, Slot, Status
from jobs.transitions import Claim

Step = Event | Exception | Callable[[Job, Claim], object]


class FakeKind(kinds.JobKind):
    name = "fake"
    id_prefix = "fake"
    title = "Fake"

    def __init__(self, *, name: str = "fake", claims_per_slot: int = 1, starts_at_claim: bool = True) -> None:
        self.name = name
        self.claims_per_slot = claims_per_slot
        self.starts_at_claim = starts_at_claim
        self.script: Iterable[Step] = [Finished()]
        self.was_closed = False
        self.leftover_is_gone = True
        self.controls: Controls | None = None

    def slots(self) -> list[kinds.SlotSpec]:
        return [kinds.SlotSpec(name=f"{self.name}-slot", gpu_host="here", gpu="0", engine="")]

    def is_ready(self, slot: Slot) -> bool:
        return True

    def run(self, job: Job, claim: Claim, workspace: Path, controls: Controls) -> Generator[Event, None, None]:
        self.controls = controls
        try:
            for step in self.script:
                if isinstance(step, Exception):
                    raise step
                if callable(step):
                    step(job, claim)
                else:
                    yield step
        finally:
            self.was_closed = True

    def stop_leftover(self, job: Job) -> bool:
        return self.leftover_is_gone


@contextmanager
def registered(*added: kinds.JobKind):
    before = dict(kinds._kinds)
    for kind in added:
        kinds.register(kind)
    try:
        yield
    finally:
        kinds._kinds.clear()
        kinds._kinds.update(before)


def make_slot(kind: kinds.JobKind, *, name: str = "", gpu: str = "0") -> Slot:
    lease, _ = GpuLease.objects.get_or_create(host="here", gpu=gpu)
    return Slot.objects.create(
        name=name or f"{kind.name}-slot",
        kind=kind.name,
        capacity=kind.claims_per_slot,
        gpu=lease,
        worker=this_process(),
    )


def this_process() -> dict:
    return of_process(os.getpid()).as_json()


def make_job(kind: str = "fake", **fields) -> Job:
    count = Job.objects.count()
    defaults = {"id": f"{kind}-{count:04d}", "kind": kind, "status": Status.QUEUED, "total_steps": 10}
    return Job.objects.create(**defaults | fields)
