"""A running training as a client sees and steers it: worker, stand-in trainer and API side by side."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from jobs import kinds, lease, queue, runner
from jobs.models import Instruction, Job, LossPoint, Status
from tests.characters.making import jpeg, new_character, upload
from tests.conftest import wait_until
from tests.jobs.fakes import make_slot, this_process
from tests.training.holding import Hold

pytestmark = pytest.mark.django_db(transaction=True)

CONFIG = {"steps": 300, "lora_rank": 4, "sample_count": 1, "sample_every_n_steps": 1000, "resolution": 512}


@pytest.fixture(autouse=True)
def _quick(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.RATE_LIMITS = "off"
    settings.MEDIA_ROOT = str(tmp_path / "stored")
    settings.DATA_DIR = tmp_path
    settings.TRAINER_ENVIRONMENT = {**settings.TRAINER_ENVIRONMENT, "ISENGARD_SIMULATOR_STEP_SECONDS": "0.02"}
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)


@pytest.fixture
def hold(settings: Any, tmp_path: Path) -> Hold:
    """What keeps the trainer from its end until a test has seen enough."""
    made = Hold(tmp_path / "held", at=200)
    settings.AI_TOOLKIT_PYTHON = made.python
    return made


@pytest.fixture
def job_id() -> str:
    character = str(new_character()["id"])
    upload(character, ("one.jpg", jpeg()))
    answer = APIClient().post("/api/training", {"character_id": character, "config": CONFIG}, format="json")
    return str(answer.json()["id"])


@contextmanager
def running(job_id: str) -> Iterator[Callable[[], None]]:
    """Run the job beside the test; what is yielded waits for its end."""
    slot = make_slot(kinds.get("training"), name="training-slot")
    claim = queue.claim_next("training", slot.name, this_process())
    assert claim is not None

    def work() -> None:
        try:
            runner.execute(claim)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield lambda: thread.join(120)
    finally:
        if thread.is_alive():
            APIClient().post(f"/api/training/{job_id}/cancel")
        thread.join(60)


def get(path: str) -> Any:
    answer = APIClient().get(path)
    assert answer.status_code == 200, answer.content
    return answer.json()


def curve(job_id: str, points: int = 5000) -> Any:
    return get(f"/api/training/{job_id}/loss?points={points}")


def points_beyond(job_id: str, least: int) -> int:
    points: int = curve(job_id)["total_points"]
    return points if points > least else 0


def log_of(job_id: str) -> list[str]:
    return [entry["message"] for entry in get(f"/api/jobs/{job_id}/logs/view?limit=1000")["entries"]]


def test_the_curve_grows_while_it_trains_and_stays_when_it_is_done(job_id: str, hold: Hold) -> None:
    with running(job_id) as wait_for_end:
        lengths = [
            wait_until(lambda least=least: points_beyond(job_id, least), seconds=60, what="points")
            for least in (0, 60, 120)
        ]
        assert lengths == sorted(lengths)
        assert get(f"/api/training/{job_id}")["status"] == "running"
        hold.let_go()
        wait_for_end()
    told = curve(job_id)
    assert [point["step"] for point in told["points"]] == list(range(2, 301))
    assert told["null_points"] == 0
    assert all(point["loss"] > 0 and point["learning_rate"] >= 0 for point in told["points"])
    assert not LossPoint.objects.exists()


def test_a_checkpoint_and_samples_come_when_they_are_asked_for(job_id: str, hold: Hold) -> None:
    hold.at(20)
    with running(job_id) as wait_for_end:
        wait_until(lambda: get(f"/api/training/{job_id}")["current_step"] >= 20, seconds=60, what="step 20")
        for verb in ("save", "sample"):
            answer = APIClient().post(f"/api/training/{job_id}/{verb}")
            assert (answer.status_code, answer.json()["id"]) == (202, job_id)
        checkpoints = f"/api/jobs/{job_id}/checkpoints"
        saved = wait_until(lambda: get(checkpoints)["checkpoints"], seconds=60, what="a checkpoint")
        wait_until(lambda: any("Sampled step" in line for line in log_of(job_id)), seconds=60, what="the samples")
        assert get(f"/api/training/{job_id}")["status"] == "running"
        hold.let_go()
        wait_for_end()
    said = log_of(job_id)
    assert 20 <= saved[0]["step"] < 250
    assert said.count("Saving on request.") == 1
    assert f"Saved step {saved[0]['step']} on request." in said
    assert not Instruction.objects.exists()
    assert Job.objects.get(pk=job_id).status == Status.COMPLETED
