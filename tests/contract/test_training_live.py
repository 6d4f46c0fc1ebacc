"""The endpoints of a running training: its loss curve, and saves and samples on request."""

import pytest
from django.test import Client
from django.utils import timezone

from jobs import losses
from jobs.models import Instruction, Job, LossPoint, Status

pytestmark = pytest.mark.django_db

ORDER = {"base_model": "flux-dev", "preset_name": None, "trigger_word": "ann", "character_name": "Ann"}


def a_training(status: Status = Status.RUNNING, **fields) -> Job:
    made = {"id": "train-live", "kind": "training", "status": status, "order": ORDER, "total_steps": 1000}
    made |= {"token": "t"} if status == Status.RUNNING else {}
    made |= {"completed_at": timezone.now()} if status in (Status.COMPLETED, Status.FAILED, Status.CANCELLED) else {}
    return Job.objects.create(**made | fields)


def measure(job: Job, *points: float | None) -> None:
    rows = (LossPoint(job=job, step=at, loss=loss, learning_rate=1e-4) for at, loss in enumerate(points, start=2))
    LossPoint.objects.bulk_create(rows)


def test_the_curve_of_a_running_training_has_every_field(api: Client) -> None:
    measure(a_training(), 0.5, None)
    assert api.get("/api/training/train-live/loss").json() == {
        "job_id": "train-live",
        "total_points": 2,
        "null_points": 1,
        "points": [
            {"step": 2, "loss": 0.5, "learning_rate": 0.0001},
            {"step": 3, "loss": None, "learning_rate": 0.0001},
        ],
    }


def test_a_training_that_has_measured_nothing_has_an_empty_curve(api: Client) -> None:
    a_training(Status.QUEUED)
    answer = api.get("/api/training/train-live/loss")
    assert (answer.status_code, answer.json()["points"], answer.json()["total_points"]) == (200, [], 0)


def test_a_training_that_has_ended_answers_as_it_did_when_it_ran(api: Client) -> None:
    job = a_training(Status.FAILED)
    measure(job, 0.5, None, 1e-12, 123456.789)
    live = api.get("/api/training/train-live/loss").json()
    losses.archive(job)
    assert not LossPoint.objects.exists()
    assert api.get("/api/training/train-live/loss").json() == live


def test_a_long_curve_is_thinned_to_500_points_or_what_is_asked_for(api: Client) -> None:
    measure(a_training(), *[0.5] * 2000, 99.0, *[0.5] * 2000)
    default = api.get("/api/training/train-live/loss").json()
    assert default["total_points"] == 4001
    assert 250 <= len(default["points"]) <= 500
    assert max(point["loss"] for point in default["points"]) == 99.0
    assert len(api.get("/api/training/train-live/loss?points=2").json()["points"]) == 2
    assert len(api.get("/api/training/train-live/loss?points=5000").json()["points"]) == 4001


@pytest.mark.parametrize("points", ["1", "5001", "0", "-1", "x", "", "1.5", "1e2", "%D9%A3"])
def test_a_bad_number_of_points_is_named(api: Client, points: str) -> None:
    a_training()
    answer = api.get(f"/api/training/train-live/loss?points={points}")
    assert (answer.status_code, answer.json()) == (400, {"detail": "points: must be a whole number from 2 to 5000."})


def test_the_curve_takes_the_same_number_of_queries_for_more_points(api: Client, django_assert_num_queries) -> None:
    job = a_training()
    measure(job, 0.5)
    with django_assert_num_queries(3):
        api.get("/api/training/train-live/loss")
    LossPoint.objects.all().delete()
    measure(job, *[0.5] * 3000)
    with django_assert_num_queries(3):
        api.get("/api/training/train-live/loss")


@pytest.mark.parametrize(("method", "path"), [("get", "loss"), ("post", "save"), ("post", "sample")])
def test_an_unknown_training_or_a_generation_is_404(api: Client, method: str, path: str) -> None:
    a_training(id="gen-1", kind="generation")
    for job_id in ("train-xxx", "gen-1"):
        answer = getattr(api, method)(f"/api/training/{job_id}/{path}")
        assert (answer.status_code, answer.json()) == (404, {"detail": f"Job {job_id} not found"})


def test_a_curve_whose_file_is_gone_is_404_with_a_sentence(api: Client) -> None:
    job = a_training(Status.FAILED)
    measure(job, 0.5)
    losses.archive(job)
    losses.default_storage.delete(job.artifacts.get().key)
    answer = api.get("/api/training/train-live/loss")
    assert answer.status_code == 404
    assert answer.json() == {"detail": "The loss curve of train-live is not in storage any more"}


@pytest.mark.parametrize("verb", ["save", "sample"])
def test_a_running_training_can_be_asked_and_answers_with_itself(api: Client, verb: str) -> None:
    a_training()
    for _ in range(2):
        answer = api.post(f"/api/training/train-live/{verb}")
        assert (answer.status_code, answer.json()["id"], answer.json()["status"]) == (202, "train-live", "running")
    assert list(Instruction.objects.values_list("job_id", "verb", "taken_at")) == [("train-live", verb, None)]


@pytest.mark.parametrize("verb", ["save", "sample"])
@pytest.mark.parametrize("state", ["pending", "queued", "completed", "failed", "cancelled"])
def test_a_training_that_waits_or_has_ended_cannot_be_asked(api: Client, state: str, verb: str) -> None:
    a_training(Status(state))
    answer = api.post(f"/api/training/train-live/{verb}")
    assert answer.status_code == 400
    assert answer.json() == {"detail": f"Cannot {verb}: the job is {state}, not running."}
    assert not Instruction.objects.exists()
