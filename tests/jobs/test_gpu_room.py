"""Before a run starts, the idle engines of other kinds on its GPU give back its memory; nothing of that stops it."""

import json
from collections.abc import Iterator

import pytest

from jobs import queue, runner
from jobs.cancelling import cancel_job
from jobs.events import Event, Log, Tick
from jobs.log import lines
from jobs.models import GpuLease, Job, Slot, Status
from tests.jobs.fakes import FakeKind, make_job, make_slot, registered, this_process

pytestmark = pytest.mark.django_db(transaction=True)


class Hoarder(FakeKind):
    """Its engine keeps what it has loaded until it is asked for it."""

    def __init__(self) -> None:
        super().__init__(name="hoarder")
        self.freed: list[str] = []
        self.is_obeyed_in: list[Event] = [Tick(), Log(message="Gave it back.")]

    def free_gpu(self, slot: Slot) -> Iterator[Event]:
        self.freed.append(slot.name)
        yield from self.is_obeyed_in


@pytest.fixture
def hoarder(settings) -> Iterator[Hoarder]:
    settings.GPU_SHARING = "exclusive"
    kind = Hoarder()
    with registered(kind, FakeKind()):
        make_slot(kind, name="neighbour")
        make_slot(kind, name="elsewhere", gpu="1")
        Slot.objects.update(loaded="flux-dev")
        yield kind


def run(**fields) -> Job:
    slot = make_slot(FakeKind())
    job = make_job(**fields)
    claim = queue.claim_next("fake", slot.name, this_process())
    assert claim is not None
    runner.execute(claim)
    job.refresh_from_db()
    return job


def test_the_neighbour_on_the_same_gpu_is_asked_and_no_other(hoarder: Hoarder) -> None:
    job = run()
    assert job.status == Status.COMPLETED
    assert hoarder.freed == ["neighbour"]
    assert "Gave it back." in [json.loads(line)["message"] for line in lines(job)]
    assert dict(Slot.objects.filter(kind="hoarder").values_list("name", "loaded")) == {
        "neighbour": "",
        "elsewhere": "flux-dev",
    }


def test_where_kinds_share_a_gpu_nobody_is_asked(hoarder: Hoarder, settings) -> None:
    settings.GPU_SHARING = "shared"
    assert run().status == Status.COMPLETED
    assert hoarder.freed == []


def test_a_run_of_the_same_kind_keeps_what_is_loaded(hoarder: Hoarder) -> None:
    make_slot(FakeKind(), name="second", gpu="1")
    job = make_job("hoarder")
    claim = queue.claim_next("hoarder", "neighbour", this_process())
    assert claim is not None
    runner.execute(claim)
    assert Job.objects.get(pk=job.pk).status == Status.COMPLETED
    assert hoarder.freed == []


def test_a_cancel_while_it_waits_for_the_memory_starts_no_engine(hoarder: Hoarder, monkeypatch) -> None:
    started = []
    monkeypatch.setattr(FakeKind, "run", lambda *_: started.append(1) or iter(()))

    def free(slot: Slot) -> Iterator[Event]:
        cancel_job(Job.objects.get(kind="fake"))
        while True:
            yield Tick()

    monkeypatch.setattr(hoarder, "free_gpu", free)
    assert run().status == Status.CANCELLED
    assert started == []
    assert not GpuLease.objects.get(gpu="0").jobs.held().exists()
