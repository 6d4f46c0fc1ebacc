"""`manage.py drain` and `manage.py resume`: which slots, how long, and what they say."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from jobs import lease, queue, runner, transitions
from jobs.events import Tick
from jobs.models import Instruction, Slot
from tests.jobs.fakes import FakeKind, make_job, make_slot, this_process

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def slot(fake_kind: FakeKind) -> Slot:
    return make_slot(fake_kind)


def claim(slot: Slot) -> transitions.Claim | None:
    return queue.claim_next(slot.kind, slot.name, this_process())


def until_asked_to_leave(kind: FakeKind, output: StringIO) -> Iterator[object]:
    """Go on until a drain has also told what it waits for."""
    while not (kind.controls.is_draining and "At work" in output.getvalue()):
        yield Tick()


def command(*arguments: str, output: StringIO | None = None) -> str:
    output = output or StringIO()
    call_command(*arguments, stdout=output)
    return output.getvalue()


def test_the_command_waits_until_the_slots_are_empty(
    slot: Slot, fake_kind: FakeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)
    output = StringIO()
    fake_kind.script = until_asked_to_leave(fake_kind, output)
    job = make_job()
    claimed = claim(slot)

    def run() -> None:
        try:
            runner.execute(claimed)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        ran = pool.submit(run)
        said = command("drain", "--wait", "30", output=output)
        ran.result()
    assert f"Drained: {slot.name} (takes no work until" in command("queue", "status")
    assert said.splitlines()[0] == f"Drained: {slot.name}."
    assert f"At work: {job.pk} on {slot.name} (running, 0 %)" in said
    assert "Nothing is at work there" in said
    assert claim(slot) is None
    assert command("resume") == f"Taking work again: {slot.name}.\n"
    assert claim(slot) is not None


def test_the_command_says_what_is_still_at_work_and_fails(slot: Slot) -> None:
    job = make_job()
    claim(slot)
    with pytest.raises(CommandError, match=f"Still at work: {job.pk} on {slot.name}.*stay drained"):
        command("drain", "--wait", "0", "--finish")
    assert not Instruction.objects.exists()
    assert Slot.objects.get(pk=slot.pk).drained_since is not None


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ((), ["fake-slot", "far"]),
        (("--slot", "far"), ["far"]),
        (("--host", "here"), ["fake-slot", "far"]),
        (("--host", "the worker's"), ["far"]),
        (("--kind", "fake"), ["fake-slot", "far"]),
    ],
)
def test_slots_are_chosen_by_name_host_or_kind(slot: Slot, fake_kind, choice: tuple[str, ...], expected) -> None:
    far = make_slot(fake_kind, name="far", gpu="1")
    Slot.objects.filter(pk=far.pk).update(worker={"host": "the worker's"})
    command("drain", *choice)
    assert list(Slot.objects.exclude(drained_since=None).order_by("name").values_list("pk", flat=True)) == expected


def test_a_choice_that_fits_no_slot_is_refused_with_those_there_are(slot: Slot) -> None:
    with pytest.raises(CommandError, match=r"No slot fits. Known slots: fake-slot."):
        command("drain", "--host", "nowhere")
    with pytest.raises(CommandError, match="must be a number of seconds"):
        command("drain", "--wait", "-1")
