"""The training endpoints: the good answers to the field, and each error."""

import json
import re

import pytest
from django.test import Client
from django.utils import timezone

from characters.models import Character
from jobs.models import Job, Status
from training.params import TrainingParams

pytestmark = pytest.mark.django_db

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
NOBODY = "char-000000000000"


def start(api: Client, character: Character, **body) -> object:
    return api.post("/api/training", json.dumps({"character_id": character.pk} | body), content_type="application/json")


def ended(status: Status, **fields) -> Job:
    order = {"base_model": "flux-dev", "preset_name": None, "trigger_word": "ann", "character_name": "Ann"}
    made = {"id": f"train-{status}", "kind": "training", "character_id": NOBODY, "order": order}
    return Job.objects.create(**made | {"status": status, "completed_at": timezone.now()} | fields)


def test_a_training_starts_with_the_defaults_of_the_rulings(api: Client, trainable: Character) -> None:
    answer = start(api, trainable)
    assert answer.status_code == 201
    assert answer.json()["config"] == {
        "method": "lora",
        "steps": 1000,
        "learning_rate": 0.0001,
        "lora_rank": 16,
        "resolution": 1024,
        "batch_size": 1,
        "optimizer": "adamw8bit",
        "scheduler": "cosine",
        "precision": "bf16",
        "gradient_accumulation": 1,
        "network_alpha": 16,
        "caption_strategy": "trigger_only",
        "sample_every_n_steps": 100,
        "sample_count": 3,
        "sample_prompts": None,
        "checkpoint_every_n_steps": 250,
        "max_checkpoints": 2,
    }


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("patient_redis")
def test_a_new_training_job_has_every_field(api: Client, trainable: Character) -> None:
    job = start(api, trainable, config={"steps": 500}).json()
    assert re.fullmatch(r"train-[0-9a-f]{12}", job.pop("id"))
    assert MOMENT.fullmatch(job.pop("created_at"))
    assert job.pop("config")["steps"] == 500
    assert job == {
        "character_id": trainable.pk,
        "status": "queued",
        "progress": 0,
        "current_step": 0,
        "total_steps": 500,
        "error_message": None,
        "started_at": None,
        "completed_at": None,
        "start_after": None,
        "deadline_at": None,
        "output_path": None,
        "base_model": "flux-dev",
        "preset_name": None,
        "iteration_speed": None,
        "eta_seconds": None,
        "elapsed_seconds": None,
        "current_loss": None,
        "attempt": 0,
        "queue_position": 1,
        "message": "No worker is up",
        "retry_of": None,
        "extends": None,
        "resume_from": None,
    }


def test_a_completed_training_job_has_times_and_its_path(api: Client) -> None:
    now = timezone.now()
    key = f"loras/{NOBODY}/v1.safetensors"
    ended(Status.COMPLETED, started_at=now, output_key=key, progress=100)
    job = api.get("/api/training/train-completed").json()
    assert job["output_path"] == f"/data/{key}"
    assert MOMENT.fullmatch(job["started_at"])
    assert MOMENT.fullmatch(job["completed_at"])
    assert (job["progress"], job["queue_position"], job["message"]) == (100, None, "Training complete")
    assert job["elapsed_seconds"] >= 0


@pytest.mark.parametrize(
    ("preset", "steps", "rank", "resolution"),
    [("quick", 500, 8, 512), ("balanced", 1000, 16, 768), ("quality", 2000, 32, 1024), ("custom", 1000, 16, 1024)],
)
def test_a_preset_fills_what_config_leaves_out(api, trainable, preset, steps, rank, resolution) -> None:
    job = start(api, trainable, preset_name=preset).json()
    config = job["config"]
    assert (config["steps"], config["lora_rank"], config["resolution"]) == (steps, rank, resolution)
    assert job["preset_name"] == preset


def test_a_key_in_config_wins_over_the_preset(api: Client, trainable: Character) -> None:
    config = start(api, trainable, preset_name="quick", config={"steps": 700}).json()["config"]
    assert (config["steps"], config["lora_rank"]) == (700, 8)


def test_a_redis_that_is_away_leaves_the_job_pending(api: Client, trainable: Character, monkeypatch) -> None:
    monkeypatch.setattr("jobs.bell.ring", lambda kind: False)
    answer = start(api, trainable)
    assert (answer.status_code, answer.json()["status"]) == (201, "pending")


def test_a_character_without_images_cannot_be_trained(api: Client, character: Character) -> None:
    answer = start(api, character)
    assert (answer.status_code, answer.json()) == (400, {"detail": "No training images uploaded for this character"})
    assert not Job.objects.exists()


def test_an_unknown_character_is_404(api: Client) -> None:
    answer = api.post("/api/training", {"character_id": "char-xxx"}, content_type="application/json")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Character char-xxx not found"})


WRONG_TYPES = [None, True, "7", [], {}, 1.5]
BAD_CONFIG = [
    ("method", ["dreambooth", None, 1]),
    ("steps", [99, 10001, *WRONG_TYPES]),
    ("learning_rate", [0, 9.9e-7, 0.011, -1, None, True, "0.1", [], {}]),
    ("lora_rank", [5, 0, 256, *WRONG_TYPES]),
    ("resolution", [256, 2048, *WRONG_TYPES]),
    ("batch_size", [3, 8, *WRONG_TYPES]),
    ("optimizer", ["sgd", "", None, 1, True, []]),
    ("scheduler", ["step", "", None, 1, True, []]),
    ("precision", ["fp8", "BF16", None, 1, True, []]),
    ("gradient_accumulation", [0, 9, *WRONG_TYPES]),
    ("network_alpha", [0, 129, *WRONG_TYPES]),
    ("caption_strategy", ["blip", None, 1, []]),
    ("sample_every_n_steps", [49, 1001, *WRONG_TYPES]),
    ("sample_count", [0, 6, *WRONG_TYPES]),
    ("sample_prompts", [1, True, {}, [1], [None], [""], "", ["x"] * 6, "x" * 1001]),
    ("checkpoint_every_n_steps", [99, 2001, *WRONG_TYPES]),
    ("max_checkpoints", [0, 5, *WRONG_TYPES]),
]


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in BAD_CONFIG for value in values])
def test_a_bad_parameter_is_named_and_starts_nothing(api, trainable, field: str, value: object) -> None:
    answer = start(api, trainable, config={field: value})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(f"config.{field}"), answer.json()
    assert not Job.objects.exists()


def test_the_table_of_bad_parameters_covers_every_parameter() -> None:
    assert {field for field, _ in BAD_CONFIG} == set(TrainingParams.model_fields)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"character_id": 5}, "character_id"),
        ({"character_id": None}, "character_id"),
        ({"character_id": "x" * 101}, "character_id"),
        ({"config": None}, "config"),
        ({"config": "quick"}, "config"),
        ({"config": [1]}, "config"),
        ({"config": {"rank": 4}}, "config.rank"),
        ({"preset_name": "fast"}, "preset_name"),
        ({"preset_name": 1}, "preset_name"),
        ({"base_model": "sd15"}, "base_model"),
        ({"base_model": None}, "base_model"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_bad_field_of_the_body_is_named(api: Client, trainable: Character, body: dict, named: str) -> None:
    answer = start(api, trainable, **body)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(f"{named}:")


def test_a_missing_character_id_is_named(api: Client) -> None:
    answer = api.post("/api/training", {}, content_type="application/json")
    assert (answer.status_code, answer.json()) == (400, {"detail": "character_id: this field is required."})


def test_the_list_is_newest_first_and_counts_all(api: Client, trainable: Character) -> None:
    ids = [start(api, trainable).json()["id"] for _ in range(3)]
    answer = api.get("/api/training?limit=2")
    assert [job["id"] for job in answer.json()] == [ids[2], ids[1]]
    assert answer.headers["X-Total-Count"] == "3"
    assert [job["id"] for job in api.get("/api/training?limit=2&offset=2").json()] == [ids[0]]


def test_the_list_can_be_filtered_by_character_and_status(api: Client, trainable: Character) -> None:
    mine = start(api, trainable).json()["id"]
    other = ended(Status.FAILED).pk
    assert [job["id"] for job in api.get(f"/api/training?character_id={trainable.pk}").json()] == [mine]
    assert [job["id"] for job in api.get("/api/training?status=failed,completed").json()] == [other]
    assert api.get("/api/training?character_id=char-nobody").json() == []


@pytest.mark.parametrize(
    "query",
    [
        *[f"limit={value}" for value in ("0", "101", "ten", "-1", "", "1e1", "%D9%A3")],
        *[f"offset={value}" for value in ("-1", "x", "99999999999999")],
        *[f"status={value}" for value in ("sleeping", "")],
        *[f"character_id={value}" for value in ("x" * 300, "a%00b")],
    ],
)
def test_a_bad_query_is_named(api: Client, query: str) -> None:
    answer = api.get(f"/api/training?{query}")
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(query.split("=")[0])


def test_the_list_takes_the_same_number_of_queries_for_more_jobs(
    api: Client, trainable: Character, django_assert_num_queries
) -> None:
    start(api, trainable)
    with django_assert_num_queries(6):
        api.get("/api/training")
    for _ in range(5):
        start(api, trainable)
    with django_assert_num_queries(6):
        assert len(api.get("/api/training").json()) == 6


@pytest.mark.parametrize("path", ["", "/stream", "/cancel"])
@pytest.mark.django_db(transaction=True)
def test_an_unknown_training_is_404(api: Client, path: str) -> None:
    answer = getattr(api, "post" if path == "/cancel" else "get")(f"/api/training/train-xxx{path}")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Job train-xxx not found"})


def test_a_waiting_training_is_cancelled_at_once(api: Client, trainable: Character) -> None:
    job = start(api, trainable).json()
    answer = api.post(f"/api/training/{job['id']}/cancel")
    assert answer.status_code == 200
    cancelled = answer.json()
    assert (cancelled["status"], cancelled["message"], cancelled["queue_position"]) == (
        "cancelled",
        "Training cancelled",
        None,
    )
    assert MOMENT.fullmatch(cancelled["completed_at"])


@pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
def test_an_ended_training_cannot_be_cancelled(api: Client, state: str) -> None:
    job = ended(Status(state))
    answer = api.post(f"/api/training/{job.pk}/cancel")
    assert (answer.status_code, answer.json()) == (400, {"detail": f"Cannot cancel job in {state} state"})


def test_deleting_a_character_cancels_its_live_jobs_and_keeps_the_ended_ones(api, trainable: Character) -> None:
    live = start(api, trainable).json()["id"]
    done = ended(Status.COMPLETED, character_id=trainable.pk).pk
    assert api.delete(f"/api/characters/{trainable.pk}").status_code == 204
    assert api.get(f"/api/training/{live}").json()["status"] == "cancelled"
    assert api.get(f"/api/training/{done}").json()["status"] == "completed"


def test_the_log_of_a_job_is_jsonl(api: Client, trainable: Character) -> None:
    job = start(api, trainable).json()
    answer = api.get(f"/api/jobs/{job['id']}/logs")
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (200, "text/plain")
    entries = [json.loads(line) for line in answer.getvalue().splitlines()]
    assert entries[0]["event"] == "job.accepted"
    assert MOMENT.fullmatch(entries[0]["timestamp"])
    assert set(entries[0]) == {"timestamp", "level", "event", "message", "fields"}


@pytest.mark.parametrize("known", [True, False])
def test_a_job_without_logs_is_404(api: Client, known: bool) -> None:
    job_id = ended(Status.COMPLETED).pk if known else "train-xxx"
    answer = api.get(f"/api/jobs/{job_id}/logs")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Job logs not found"})
