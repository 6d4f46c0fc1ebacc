"""The generation endpoints: the good answers to the field, and each error."""

import json
import re
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.utils import timezone

from characters.models import Character, Lora
from jobs.models import Artifact, Job, Status

pytestmark = pytest.mark.django_db

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
MAX_SEED = 2**53 - 1


@pytest.fixture(autouse=True)
def _no_limits(settings) -> None:
    settings.RATE_LIMITS = "off"


@pytest.fixture
def lora(character: Character) -> Lora:
    for version in (1, 2):
        made = Lora.objects.create(
            character=character,
            version=version,
            name=f"Ann v{version}",
            key=f"loras/{character.pk}/v{version}.safetensors",
            size_bytes=1,
            sha256="0" * 64,
        )
    return made


def start(api: Client, count: object = None, **config) -> object:
    body = {"config": {"prompt": "a portrait"} | config} | ({} if count is None else {"count": count})
    return api.post("/api/generation", json.dumps(body), content_type="application/json")


def drawn(status: Status = Status.COMPLETED, *, outputs: int = 2) -> Job:
    ended = {} if status in (Status.QUEUED, Status.RUNNING) else {"completed_at": timezone.now()}
    claimed = {"token": "t"} if status == Status.RUNNING else {}
    job = Job.objects.create(
        id=f"gen-{Job.objects.count():012x}",
        kind="generation",
        status=status,
        config={"prompt": "a portrait", "seed": 7},
        order={"count": 2, "loras": []},
        **ended,
        **claimed,
    )
    for index in reversed(range(outputs)):
        name = f"{job.pk}-{index}.png"
        key = default_storage.save(f"outputs/{job.pk}/1/{name}", ContentFile(b"\x89PNG" + bytes([index])))
        Artifact.objects.create(
            job=job, type="output", name=name, key=key, size_bytes=5, details={"index": index, "seed": 7 + index}
        )
    return job


def test_a_generation_starts_with_the_defaults_of_the_rulings(api: Client) -> None:
    answer = start(api)
    assert answer.status_code == 201
    config = answer.json()["config"]
    assert 0 <= config.pop("seed") <= MAX_SEED
    assert config == {
        "prompt": "a portrait",
        "dynamic_prompts": False,
        "negative_prompt": "",
        "width": 1024,
        "height": 1024,
        "steps": 20,
        "guidance_scale": 3.5,
        "lora_id": None,
        "lora_strength": 1.0,
        "loras": [],
        "init_image": None,
        "denoise": 0.6,
        "use_controlnet": False,
        "control_image": None,
        "control_type": "canny",
        "control_preprocess": True,
        "control_strength": 0.7,
        "control_start": 0.0,
        "control_end": 1.0,
        "use_ipadapter": False,
        "reference_image": None,
        "reference_strength": 1.0,
        "use_facedetailer": False,
        "use_upscale": False,
        "upscale_factor": 2,
        "model_variant": "flux-dev",
        "workflow": None,
    }


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("patient_redis")
def test_a_new_generation_job_has_every_field(api: Client) -> None:
    job = start(api, count=3).json()
    assert re.fullmatch(r"gen-[0-9a-f]{12}", job.pop("id"))
    assert MOMENT.fullmatch(job.pop("created_at"))
    job.pop("config")
    assert job == {
        "status": "queued",
        "progress": 0,
        "error_message": None,
        "started_at": None,
        "completed_at": None,
        "start_after": None,
        "deadline_at": None,
        "count": 3,
        "output_paths": [],
        "seeds": [],
        "images": [],
        "preset_name": None,
        "rerun_of": None,
        "attempt": 0,
        "queue_position": 1,
        "message": "No worker is up",
    }


def test_output_paths_are_bare_names_in_order_with_their_seeds(api: Client) -> None:
    job = drawn()
    answer = api.get(f"/api/generation/{job.pk}").json()
    assert answer["output_paths"] == [f"{job.pk}-0.png", f"{job.pk}-1.png"]
    assert answer["seeds"] == [7, 8]


@pytest.mark.parametrize("path", ["/api/generation/output", "/api/outputs"])
def test_an_output_is_served_as_the_png_it_is(api: Client, path: str) -> None:
    job = drawn()
    answer = api.get(f"{path}/{job.pk}-1.png")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png")
    assert answer.getvalue() == b"\x89PNG\x01"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", ["nothing.png", "..%2F..%2Fisengard.sqlite3", "%00", "x" * 300])
def test_an_unknown_output_is_404(api: Client, name: str) -> None:
    answer = api.get(f"/api/generation/output/{name}")
    assert answer.status_code == 404
    assert isinstance(answer.json()["detail"], str)


def test_an_output_whose_file_is_gone_is_404_and_not_a_crash(api: Client) -> None:
    job = drawn()
    Path(default_storage.path(job.artifacts.first().key)).unlink()
    assert api.get(f"/api/outputs/{job.artifacts.first().name}").status_code == 404


def test_only_outputs_are_served_there(api: Client) -> None:
    job = drawn(outputs=0)
    Artifact.objects.create(job=job, type="checkpoint", name="c.safetensors", key="checkpoints/c", size_bytes=1)
    assert api.get("/api/outputs/c.safetensors").status_code == 404


@pytest.mark.parametrize(("given", "used"), [(513, 512), (516, 520), (1023, 1024), (2047, 2048), (640, 640)])
def test_sides_are_rounded_to_eight_and_the_answer_says_so(api: Client, given: int, used: int) -> None:
    config = start(api, width=given, height=given).json()["config"]
    assert (config["width"], config["height"]) == (used, used)


def test_a_given_seed_is_kept(api: Client) -> None:
    assert start(api, seed=0).json()["config"]["seed"] == 0
    assert start(api, seed=MAX_SEED).json()["config"]["seed"] == MAX_SEED


def test_two_random_seeds_differ(api: Client) -> None:
    assert start(api).json()["config"]["seed"] != start(api).json()["config"]["seed"]


def test_a_characters_newest_lora_is_used_and_recorded(api: Client, lora: Lora) -> None:
    answer = start(api, lora_id=lora.character_id, lora_strength=0.8)
    assert answer.json()["config"]["lora_id"] == lora.character_id
    job = Job.objects.get()
    assert job.order["loras"] == [
        {
            "id": lora.pk,
            "name": f"{lora.character_id}/v2.safetensors",
            "strength": 0.8,
            "sha256": "0" * 64,
            "version": 2,
            "title": "Ann v2",
            "base_model": "",
        }
    ]
    assert job.character_id == lora.character_id


@pytest.mark.parametrize("form", ["{id}", "uploaded:{id}"])
def test_a_lora_can_be_named_by_its_own_id(api: Client, lora: Lora, form: str) -> None:
    assert start(api, lora_id=form.format(id=lora.pk)).status_code == 201
    assert Job.objects.get().order["loras"][0]["id"] == lora.pk


@pytest.mark.parametrize(
    ("lora_id", "said"),
    [
        ("char-xxx", "Character char-xxx not found"),
        ("lora-xxx", "LoRA lora-xxx not found"),
        ("uploaded:lora-xxx", "LoRA lora-xxx not found"),
        ("uploaded:char-xxx", "LoRA char-xxx not found"),
    ],
)
def test_an_unknown_lora_is_404(api: Client, lora_id: str, said: str) -> None:
    answer = start(api, lora_id=lora_id)
    assert (answer.status_code, answer.json()) == (404, {"detail": said})
    assert not Job.objects.exists()


def test_a_character_without_a_lora_is_400(api: Client, character: Character) -> None:
    answer = start(api, lora_id=character.pk)
    assert answer.status_code == 400
    assert answer.json()["detail"] == f"Character {character.pk} has no LoRA yet: train one first."


@pytest.mark.parametrize("toggle", ["use_controlnet", "use_ipadapter", "use_facedetailer", "use_upscale"])
def test_an_unsupported_toggle_is_400_with_the_reason_that_info_gives(api: Client, toggle: str) -> None:
    reason = api.get("/info").json()["image_generation"]["toggles"][toggle]["reason"]
    answer = start(api, **{toggle: True})
    assert (answer.status_code, answer.json()) == (400, {"detail": f"config.{toggle}: {reason}"})


@pytest.mark.parametrize("count", [0, 9, -1, None, True, "2", 1.5, []])
def test_a_bad_count_is_named(api: Client, count: object) -> None:
    body = {"config": {"prompt": "a"}, "count": count}
    answer = api.post("/api/generation", json.dumps(body), content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("count:")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "config"),
        ({"config": None}, "config"),
        ({"config": {}}, "config.prompt"),
        ({"config": [1]}, "config"),
        ({"config": {"prompt": "a", "cfg": 1}}, "config.cfg"),
        ({"config": {"prompt": "a"}, "x": 1}, "x"),
    ],
)
def test_a_bad_body_is_named(api: Client, body: dict, named: str) -> None:
    answer = api.post("/api/generation", json.dumps(body), content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(f"{named}:")


def test_a_last_seed_beyond_the_limit_is_refused(api: Client) -> None:
    answer = start(api, count=2, seed=MAX_SEED)
    assert answer.status_code == 400
    assert "seed" in answer.json()["detail"]


def test_the_list_shows_twenty_by_default_newest_first(api: Client) -> None:
    ids = [drawn(outputs=0).pk for _ in range(22)]
    answer = api.get("/api/generation")
    assert [job["id"] for job in answer.json()] == list(reversed(ids))[:20]
    assert answer.headers["X-Total-Count"] == "22"
    assert len(api.get("/api/generation?limit=3").json()) == 3


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "offset=-1"])
def test_a_bad_query_is_named(api: Client, query: str) -> None:
    answer = api.get(f"/api/generation?{query}")
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(query.split("=")[0])


def test_the_list_takes_the_same_number_of_queries_for_more_jobs(api: Client, django_assert_num_queries) -> None:
    drawn(Status.QUEUED)
    with django_assert_num_queries(7):
        api.get("/api/generation")
    for _ in range(5):
        drawn(Status.QUEUED)
    with django_assert_num_queries(7):
        assert len(api.get("/api/generation").json()) == 6


@pytest.mark.parametrize("path", ["", "/stream", "/cancel"])
@pytest.mark.django_db(transaction=True)
def test_an_unknown_generation_is_404(api: Client, path: str) -> None:
    answer = getattr(api, "post" if path == "/cancel" else "get")(f"/api/generation/gen-xxx{path}")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Job gen-xxx not found"})


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_live_generation_is_cancelled_and_keeps_its_images(api: Client, state: str) -> None:
    job = drawn(Status(state), outputs=1)
    answer = api.post(f"/api/generation/{job.pk}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert answer.json()["output_paths"] == [f"{job.pk}-0.png"]


@pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
def test_an_ended_generation_cannot_be_cancelled(api: Client, state: str) -> None:
    job = drawn(Status(state))
    answer = api.post(f"/api/generation/{job.pk}/cancel")
    assert (answer.status_code, answer.json()) == (400, {"detail": f"Cannot cancel job in {state} state"})
