"""What the list of generations can be narrowed by, and what it tells of each image."""

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.utils import timezone

from jobs.models import Artifact, Job, Status
from tests.conftest import cpu_seconds

pytestmark = pytest.mark.django_db
LORAS = [{"id": "lora-aaa", "name": "ann.safetensors"}, {"id": "lora-bbb", "name": "lora-ccc.safetensors"}]


def job(number: int, **values: object) -> Job:
    return Job(
        **{
            "id": f"gen-{number:05}",
            "kind": "generation",
            "status": Status.COMPLETED,
            "config": {"prompt": f"a portrait of number {number}", "seed": number},
            "order": {"count": 1, "loras": []},
            "completed_at": timezone.now(),
        }
        | values
    )


@pytest.fixture
def _jobs() -> None:
    Job.objects.bulk_create(
        [
            job(1, character_id="char-1", order={"count": 1, "loras": LORAS}),
            job(2, character_id="char-2", order={"count": 1, "loras": LORAS[:1]}),
            job(3, status=Status.QUEUED, completed_at=None, config={"prompt": "A Red Coat 100% wool_", "seed": 1}),
            job(4, status=Status.FAILED),
            job(5, kind="training", character_id="char-1"),
        ]
    )


@pytest.mark.usefixtures("_jobs")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [4, 3, 2, 1]),
        ("status=queued", [3]),
        ("status=queued,failed", [4, 3]),
        ("character_id=char-1", [1]),
        ("character_id=char-", []),
        ("lora_id=lora-aaa", [2, 1]),
        ("lora_id=lora-bbb", [1]),
        ("lora_id=lora-bb", []),
        ("lora_id=id", []),
        ("lora_id=lora-ccc", []),
        ("lora_id=%", []),
        ("q=red coat", [3]),
        ("q=100%25 WOOL_", [3]),
        ("q=%25", [3]),
        ("q=_", [3]),
        ("q=portrait&character_id=char-2&status=completed&lora_id=lora-aaa", [2]),
        ("q=nothing", []),
    ],
)
def test_the_list_is_narrowed(api: Client, query: str, found: list[int]) -> None:
    answer = api.get(f"/api/generation?{query}")
    assert [listed["id"] for listed in answer.json()] == [f"gen-{number:05}" for number in found]
    assert answer.headers["X-Total-Count"] == str(len(found))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("status=done", "status: must be some of pending, queued"),
        ("status=", "status: must be some of pending"),
        ("q=" + "x" * 201, "q: must be at most 200 characters"),
        ("lora_id=" + "x" * 201, "lora_id: must be at most 200 characters"),
        ("character_id=" + "x" * 201, "character_id: must be at most 200 characters"),
    ],
)
def test_a_bad_filter_is_named(api: Client, query: str, said: str) -> None:
    answer = api.get(f"/api/generation?{query}")
    assert (answer.status_code, answer.json()["detail"].startswith(said)) == (400, True)


def test_ten_thousand_generations_are_searched_within_a_moment(api: Client) -> None:
    Job.objects.bulk_create([job(number, order={"count": 1, "loras": LORAS}) for number in range(10_000)])
    search = "/api/generation?q=NUMBER 77&lora_id=lora-bbb"
    assert api.get(search).headers["X-Total-Count"] == "111"
    assert cpu_seconds(lambda: api.get(search)) < 1


def test_each_image_is_told_with_what_made_it(api: Client) -> None:
    made = job(1)
    made.save()
    details = {
        "index": 0,
        "seed": 7,
        "width": 512,
        "height": 768,
        "seconds": 3.2,
        "sha256": "a" * 64,
        "prompt": "a red coat",
        "negative_prompt": "rain",
        "loras": [{"id": "lora-aaa", "name": "Ann v1", "version": 1, "sha256": "b" * 64, "strength": 0.5}],
    }
    add_output(made, details)
    (image,) = api.get(f"/api/generation/{made.pk}").json()["images"]
    assert image.pop("created_at").endswith("Z")
    assert image == details | {
        "filename": f"{made.pk}-0.png",
        "url": f"/api/generation/output/{made.pk}-0.png",
        "thumbnail_url": f"/api/generation/output/{made.pk}-0.png?size=320",
        "size_bytes": 5,
    }


def test_an_image_of_before_an_update_is_told_with_what_is_known(api: Client) -> None:
    made = job(1)
    made.save()
    add_output(made, {"index": 0, "seed": 7})
    (image,) = api.get(f"/api/generation/{made.pk}").json()["images"]
    assert (image["seed"], image["width"], image["sha256"], image["loras"]) == (7, None, None, [])
    assert (image["prompt"], image["negative_prompt"]) == ("a portrait of number 1", "")


def add_output(made: Job, details: dict) -> None:
    name = f"{made.pk}-0.png"
    key = default_storage.save(f"outputs/{made.pk}/1/{name}", ContentFile(b"\x89PNG\n"))
    Artifact.objects.create(job=made, type="output", name=name, key=key, size_bytes=5, details=details)
