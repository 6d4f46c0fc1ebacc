"""A job whose files would not fit waits and says so; others go on."""

import pytest

from generation.kind import GenerationKind
from generation.params import GenerationParams
from jobs import disk_room, queue, slots, waiting
from jobs.models import Job, Slot
from jobs.worker import register_slot
from tests.jobs.fakes import FakeKind, make_job, make_slot, registered, this_process
from training import room
from training.kind import TrainingKind
from training.params import TrainingParams

GB = 1_000_000_000


class Writer(FakeKind):
    """Its jobs say themselves how much they write."""

    def disk_bytes(self, job: Job) -> int:
        return job.order["writes_bytes"]


@pytest.fixture
def disk(db: None, settings) -> Slot:
    """A slot of whose disk 5 GB are free, one of which must stay."""
    settings.MIN_FREE_BYTES = GB
    kind = Writer()
    with registered(kind):
        slot = make_slot(kind)
        leave(slot, 5 * GB)
        yield slot


def leave(slot: Slot, free_bytes: int | None) -> None:
    Slot.objects.filter(pk=slot.pk).update(free_bytes=free_bytes)


def claimed(slot: Slot) -> str | None:
    claim = queue.claim_next(slot.kind, slot.name, this_process())
    return claim.job_id if claim else None


def job_of(gigabytes: float, **fields) -> Job:
    return make_job(order={"writes_bytes": int(gigabytes * GB)}, **fields)


def test_a_job_that_would_not_fit_waits_and_a_smaller_one_goes_before_it(disk: Slot) -> None:
    large, small = job_of(4.5), job_of(3.9)
    assert claimed(disk) == small.pk
    told = waiting.messages([large])[large.pk]
    assert told == "Waiting for disk space: 5.0 GB are free, 5.5 GB are needed"


def test_it_starts_when_there_is_room(disk: Slot) -> None:
    job = job_of(4.5)
    assert claimed(disk) is None
    leave(disk, 6 * GB)
    assert claimed(disk) == job.pk


def test_below_the_floor_nothing_starts_and_the_slot_says_why(disk: Slot) -> None:
    job = job_of(0)
    leave(disk, GB - 1)
    assert claimed(disk) is None
    assert "Waiting for disk space" in waiting.messages([job])[job.pk]
    disk.refresh_from_db()
    assert slots.trouble_of(disk) == "has only 1.0 GB free where its jobs write"


@pytest.mark.parametrize("free_bytes", [None, 0])
def test_where_nobody_measured_or_nobody_minds_jobs_start(disk: Slot, settings, free_bytes: int | None) -> None:
    settings.MIN_FREE_BYTES = GB if free_bytes is None else 0
    leave(disk, free_bytes)
    job = job_of(100)
    assert claimed(disk) == job.pk


def test_one_that_waits_for_room_keeps_nobody_else_off_an_exclusive_gpu(disk: Slot, settings) -> None:
    settings.GPU_SHARING = "exclusive"
    other = FakeKind(name="other")
    with registered(Writer(), other):
        job_of(4.5, priority=5)
        job = make_job("other")
        assert claimed(make_slot(other)) == job.pk


def test_a_worker_tells_how_much_is_free_with_every_sign_of_life(db: None) -> None:
    kind = FakeKind()
    with registered(kind):
        (spec,) = kind.slots()
        register_slot(kind, spec)
    assert (Slot.objects.get().free_bytes or 0) > 0


def test_a_row_that_cannot_be_read_is_left_to_its_own_run(disk: Slot) -> None:
    job = make_job(order={})
    assert claimed(disk) == job.pk


def training(**config) -> Job:
    params = TrainingParams.model_validate(config)
    return Job(kind="training", config=params.model_dump(mode="json"), order={"base_model": "flux-dev"})


@pytest.mark.parametrize(
    "more",
    [
        {"lora_rank": 64},
        {"max_checkpoints": 4},
        {"precision": "fp32"},
        {"optimizer": "adamw"},
        {"steps": 5000},
        {"sample_count": 5},
    ],
)
def test_what_makes_a_training_larger_makes_it_need_more_room(settings, tmp_path, more: dict) -> None:
    settings.AI_TOOLKIT_DIR = tmp_path
    plain = TrainingKind().disk_bytes(training())
    assert GB < plain < 5 * GB
    assert TrainingKind().disk_bytes(training(**more)) > plain


def test_the_stand_in_s_files_are_small(settings) -> None:
    settings.AI_TOOLKIT_DIR = settings.STAND_IN_TRAINER
    assert room.disk_bytes(training()) < GB / 10


def test_a_generation_needs_room_for_its_images_as_large_as_they_become() -> None:
    config = GenerationParams(prompt="a", width=1024, height=1024).model_dump(mode="json")
    plain = GenerationKind().disk_bytes(Job(kind="generation", config=config, order={"count": 4}))
    enlarged = config | {"use_upscale": True, "upscale_factor": 2}
    large = GenerationKind().disk_bytes(Job(kind="generation", config=enlarged, order={"count": 4}))
    assert (plain, large) == (4 * 1024 * 1024 * 6, 16 * 1024 * 1024 * 6)


def test_of_many_that_do_not_fit_one_is_still_found_that_does(disk: Slot) -> None:
    for _ in range(5):
        job_of(4.5)
    small = job_of(1)
    assert disk_room.SEARCHED > 5
    assert claimed(disk) == small.pk
