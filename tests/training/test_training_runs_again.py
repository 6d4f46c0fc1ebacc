"""Trainings that end badly or go on, through the runner and the stand-in: what the rows say afterwards."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from characters.models import Character, Lora, TrainingImage
from characters.safetensors_files import read_header
from jobs import driving, kinds, losses, queue, runner, worker_state
from jobs.advancing import apply_progress
from jobs.log import lines
from jobs.models import Artifact, Job, Status
from jobs.retrying import retry_job
from tests.contract.conftest import jpeg
from tests.jobs.fakes import make_slot, this_process
from tests.training.aitoolkit_runs import PATIENT
from tests.training.holding import Hold
from training import kind as training_kind
from training.again import ExtensionRequest, extend_training
from training.service import TrainingRequest, start_training

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_memory_kills")]

CONFIG = {
    "steps": 200,
    "checkpoint_every_n_steps": 100,
    "sample_every_n_steps": 1000,
    "sample_count": 1,
    "resolution": 512,
    "lora_rank": 4,
}


class Bench:
    """One slot, worked by hand: each `work` is one claim."""

    def __init__(self, settings: Any) -> None:
        self._settings = settings
        self.character = Character.objects.create(name="Ann", trigger_word="ann_person")
        key = default_storage.save(f"uploads/{self.character.pk}/1.jpg", ContentFile(jpeg()))
        facts = {"sha256_as_sent": "a", "sha256": "", "content_type": "image/jpeg", "width": 1, "height": 1, "bytes": 1}
        TrainingImage.objects.create(character=self.character, name="1.jpg", key=key, **facts)
        self.slot = make_slot(kinds.get("training"), name="training-slot")

    def start(self, **config: Any) -> Job:
        wanted = TrainingRequest(character_id=self.character.pk, config=CONFIG | config)
        return start_training(wanted, correlation_id="corr").job

    def work(self, fault: str = "") -> Job:
        environment = configured.TRAINER_ENVIRONMENT | {"ISENGARD_SIMULATOR_FAULT": fault}
        self._settings.TRAINER_ENVIRONMENT = environment | {"ISENGARD_SIMULATOR_STEP_SECONDS": "0.002"}
        claim = queue.claim_next("training", self.slot.name, this_process())
        assert claim is not None
        runner.execute(claim)
        return Job.objects.get(pk=claim.job_id)


@pytest.fixture
def bench(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(runner, "RETRY_CRASHED_SECONDS", (0, 0))
    return Bench(settings)


def said(job: Job) -> str:
    return "\n".join(json.loads(line)["message"] for line in lines(job))


def steps_of(job: Job) -> list[int]:
    return [point.step for point in losses.points_of(job)]


def trained_steps(lora: Lora) -> int:
    with default_storage.open(lora.key) as file:
        return int(json.loads(read_header(file).metadata["training_info"])["step"])


def test_a_crash_is_tried_again_by_itself_from_the_checkpoint(bench: Bench) -> None:
    bench.start()
    job = bench.work("crash-once@150")
    assert (job.status, job.crashes, job.failure_cause) == (Status.QUEUED, 1, "")
    job = bench.work()
    assert (job.status, job.attempt) == (Status.COMPLETED, 2)
    assert "Going on from step 100 of 200." in said(job)
    assert steps_of(job) == sorted(set(steps_of(job)))
    assert Lora.objects.count() == 1


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("nan@110", "diverged"),
        ("oom@150x4", "out_of_memory"),
        ("disk-full@150", "disk_full"),
        ("missing-dependency", "missing_package"),
    ],
)
def test_what_would_only_fail_again_is_not_tried_again(bench: Bench, fault: str, cause: str) -> None:
    bench.start()
    job = bench.work(fault)
    assert (job.status, job.attempt, job.failure_cause) == (Status.FAILED, 1, cause)
    assert job.error_message
    assert job.error_message in said(job)
    assert queue.claim_next("training", bench.slot.name, this_process()) is None


def test_three_deaths_without_a_checkpoint_in_between_are_enough(bench: Bench) -> None:
    bench.start()
    states = [bench.work("crash@50").status for _ in range(3)]
    assert states == [Status.QUEUED, Status.QUEUED, Status.FAILED]
    assert Job.objects.get().failure_cause == "killed"


def test_a_retry_goes_on_where_the_failed_training_had_saved(bench: Bench) -> None:
    bench.start()
    failed = bench.work("oom@150x4")
    assert failed.status == Status.FAILED
    retry_job(failed)
    job = bench.work()
    assert (job.status, job.order["resume_from"]["step"]) == (Status.COMPLETED, 100)
    assert "Going on from step 100 of 200. The optimizer's state is not there and starts anew." in said(job)
    assert steps_of(job)[0] == 2
    assert steps_of(job) == sorted(set(steps_of(job)))
    assert trained_steps(Lora.objects.get()) == 200


def test_a_retry_of_a_diverged_training_trains_every_step_anew(bench: Bench) -> None:
    bench.start()
    diverged = bench.work("nan@110")
    assert Artifact.objects.filter(job=diverged, type="checkpoint").exists()
    retry_job(diverged)
    job = bench.work()
    assert job.status == Status.COMPLETED
    assert "Going on" not in said(job)


def test_more_steps_begin_at_the_lora_and_make_the_next_version(bench: Bench) -> None:
    bench.start(steps=100)
    done = bench.work()
    assert done.status == Status.COMPLETED
    extend_training(done, ExtensionRequest(steps=150), correlation_id="corr")
    job = bench.work()
    assert (job.status, job.total_steps, job.current_step) == (Status.COMPLETED, 250, 250)
    assert "Going on from step 100 of 250. The optimizer's state is not there and starts anew." in said(job)
    versions = list(Lora.objects.order_by("version"))
    assert [(lora.version, trained_steps(lora)) for lora in versions] == [(1, 100), (2, 250)]
    assert default_storage.exists(versions[0].key)
    assert steps_of(job)[0] == 2
    assert steps_of(job)[-1] >= 249


def test_an_extension_that_is_given_back_goes_on_from_its_own_checkpoint(bench: Bench) -> None:
    bench.start(steps=100)
    extend_training(bench.work(), ExtensionRequest(steps=200), correlation_id="corr")
    assert bench.work("crash@250").status == Status.QUEUED
    job = bench.work()
    assert job.status == Status.COMPLETED
    assert "Going on from step 100 of 300" in said(job)
    assert "Going on from step 200 of 300" in said(job)


@pytest.fixture
def hold(settings: Any, tmp_path: Path) -> Hold:
    made = Hold(tmp_path / "held", at="Starting")
    settings.AI_TOOLKIT_PYTHON = made.python
    return made


def test_between_attempts_the_step_goes_back_to_the_checkpoint_and_within_one_it_does_not(
    bench: Bench, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []

    def listen(job: Job, *args: Any, **kwargs: Any) -> None:
        apply_progress(job, *args, **kwargs)
        told.append((job.attempt, job.current_step))
        hold.let_go()

    monkeypatch.setattr(driving, "apply_progress", listen)
    bench.start()
    bench.work("crash-once@180")
    hold.at("Starting")
    bench.work()
    first, second = ([step for attempt, step in told if attempt == number] for number in (1, 2))
    assert max(first) > 100
    assert second[0] == 100
    assert (first, second) == (sorted(first), sorted(second))


def test_a_drain_costs_no_crash_and_the_next_attempt_goes_on_from_its_save(
    bench: Bench, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_kind, "limits", lambda: PATIENT)
    hold.at(30)
    job = bench.start(steps=2000, checkpoint_every_n_steps=2000)

    def drain(running: Job, *args: Any, **kwargs: Any) -> None:
        apply_progress(running, *args, **kwargs)
        if running.attempt == 1 and running.current_step > 20:
            worker_state.start_draining()

    monkeypatch.setattr(driving, "apply_progress", drain)
    try:
        job = bench.work()
    finally:
        worker_state._draining.clear()
    hold.let_go()
    assert (job.status, job.crashes) == (Status.QUEUED, 0)
    saved = Artifact.objects.get(job=job, type="checkpoint").step or 0
    assert saved > 20
    job = bench.work(f"exit@{saved + 50}:7")
    assert job.status == Status.FAILED
    assert f"Going on from step {saved} of 2000." in said(job)
    assert "Stopping the trainer by SIGINT: gone after" in said(job)
