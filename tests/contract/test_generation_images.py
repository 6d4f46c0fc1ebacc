"""Images to generate from: uploaded, served, named by jobs, kept for them, and removed when nobody needs them."""

import io
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db.models import F
from django.test import Client
from django.utils import timezone
from PIL import Image

from generation import inputs
from generation.kind import copy_given_images
from generation.models import InputImage
from jobs import leftovers
from jobs.deleting import delete_job
from jobs.errors import EngineFailed
from jobs.models import Artifact, Job, Status
from jobs.retrying import NotRetryable, retry_job

pytestmark = pytest.mark.django_db

IMAGES = "/api/generation/images"
ORIENTATION, TURNED_RIGHT = 0x0112, 6


@pytest.fixture(autouse=True)
def _own_storage(settings, tmp_path: Path) -> None:
    settings.RATE_LIMITS = "off"
    settings.MEDIA_ROOT = tmp_path / "data"


def picture(
    *, size: tuple[int, int] = (96, 64), colour: str = "red", kind: str = "PNG", **options: object
) -> io.BytesIO:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind, **options)
    file.name = f"photo.{kind.lower()}"
    file.seek(0)
    return file


def upload(api: Client, **options: object) -> dict:
    answer = api.post(IMAGES, {"file": picture(**options)})
    assert answer.status_code == 201, answer.content
    return answer.json()


def start(api: Client, **config: object) -> object:
    body = {"config": {"prompt": "a portrait"} | config}
    return api.post("/api/generation", body, content_type="application/json")


def stored(key: str) -> bytes:
    return Path(default_storage.path(key)).read_bytes()


def drawn() -> Artifact:
    """A finished job with one picture."""
    job = Job.objects.create(
        id="gen-000000000001",
        kind="generation",
        status=Status.COMPLETED,
        completed_at=timezone.now(),
        config={"prompt": "a", "seed": 1},
        order={"count": 1, "loras": []},
    )
    key = default_storage.save(f"outputs/{job.pk}/1/{job.pk}-0.png", ContentFile(picture(colour="blue").getvalue()))
    name, details = f"{job.pk}-0.png", {"index": 0, "seed": 1}
    return Artifact.objects.create(job=job, type="output", name=name, key=key, size_bytes=1, details=details)


def test_an_upload_is_answered_with_what_it_became(api: Client) -> None:
    image = upload(api)
    assert image["name"] == f"input-{image['sha256']}.png"
    assert (image["width"], image["height"], image["url"]) == (96, 64, f"{IMAGES}/{image['name']}")
    served = api.get(image["url"])
    assert (served.status_code, served.headers["Content-Type"]) == (200, "image/png")
    assert len(served.getvalue()) == image["size_bytes"]


def test_the_same_picture_again_is_the_same_image(api: Client) -> None:
    assert upload(api) == upload(api)
    assert upload(api)["name"] != upload(api, colour="green")["name"]
    assert len(default_storage.listdir("inputs")[1]) == InputImage.objects.count() == 2


def test_a_picture_is_kept_upright_and_without_metadata(api: Client) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED_RIGHT
    image = upload(api, kind="JPEG", exif=exif)
    assert (image["width"], image["height"]) == (64, 96)
    with Image.open(io.BytesIO(api.get(image["url"]).getvalue())) as kept:
        assert not kept.getexif()


def test_an_image_is_also_served_small(api: Client) -> None:
    answer = api.get(f"{upload(api, size=(640, 320))['url']}?size=64")
    with Image.open(io.BytesIO(answer.getvalue())) as small:
        assert small.size == (64, 32)


@pytest.mark.parametrize(
    ("form", "named"),
    [
        ({}, "file"),
        ({"file": "text"}, "file"),
        ({"files": io.BytesIO(b"x")}, "files"),
        ({"file": io.BytesIO(b"no picture")}, "file"),
        ({"file": [io.BytesIO(b"a"), io.BytesIO(b"b")]}, "file"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(api: Client, form: dict, named: str) -> None:
    answer = api.post(IMAGES, form)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(f"{named}:")
    assert not InputImage.objects.exists()


def test_uploads_are_refused_while_too_much_waits_for_a_job(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    upload(api)
    monkeypatch.setattr(inputs, "MAX_UNUSED_GIB", 0)
    answer = api.post(IMAGES, {"file": picture(colour="green")})
    assert (answer.status_code, "wait for a job" in answer.json()["detail"]) == (400, True)


@pytest.mark.parametrize("name", ["input-0.png", "..%2F..%2Fisengard.sqlite3", "%00", "x" * 300])
@pytest.mark.parametrize("method", ["get", "delete"])
def test_an_unknown_image_is_404(api: Client, method: str, name: str) -> None:
    assert getattr(api, method)(f"{IMAGES}/{name}").status_code == 404


def test_a_job_records_the_image_it_is_made_from(api: Client) -> None:
    image = upload(api)
    answer = start(api, init_image=image["name"])
    assert answer.status_code == 201
    assert answer.json()["config"]["init_image"] == image["name"]
    order = Job.objects.get().order["images"]
    assert order == {"init_image": {"name": image["name"], "key": InputImage.objects.get().key}}


@pytest.mark.parametrize("name", ["input-0.png", "gen-1-0.png", "photo.png", "../x"])
def test_an_image_that_is_not_there_is_404(api: Client, name: str) -> None:
    answer = start(api, init_image=name)
    assert (answer.status_code, answer.json()) == (404, {"detail": f"Image {name} not found"})
    assert not Job.objects.exists()


@pytest.mark.parametrize("asked", [{"control_image": "a.png"}, {"reference_image": "a.png"}])
def test_an_image_that_nothing_would_use_is_refused(api: Client, asked: dict) -> None:
    (field,) = asked
    answer = start(api, **asked)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(f"config.{field}: it is only used with use_")


def test_an_output_is_taken_over_so_that_its_own_job_may_go(api: Client) -> None:
    output = drawn()
    content = stored(output.key)
    answer = start(api, init_image=output.name)
    delete_job(output.job_id)
    taken = InputImage.objects.get()
    assert answer.json()["config"]["init_image"] == taken.name
    assert stored(taken.key) == content


def test_an_image_cannot_be_deleted_under_a_live_job(api: Client) -> None:
    image = upload(api)
    job = start(api, init_image=image["name"]).json()["id"]
    answer = api.delete(image["url"])
    assert (answer.status_code, job in answer.json()["detail"]) == (409, True)
    assert api.get(image["url"]).getvalue()


@pytest.mark.django_db(transaction=True)
def test_an_image_of_ended_jobs_can_be_deleted(api: Client) -> None:
    image = upload(api)
    job = start(api, init_image=image["name"]).json()["id"]
    api.post(f"/api/generation/{job}/cancel")
    key = InputImage.objects.get().key
    assert api.delete(image["url"]).status_code == 204
    assert not default_storage.exists(key)
    assert api.get(f"/api/generation/{job}").status_code == 200


def _leftovers() -> dict[str, str]:
    return {each.name: each.why for each in leftovers.find_leftovers(before=timezone.now() + timedelta(minutes=1))}


def _grow_old() -> None:
    InputImage.objects.update(asked_for_at=F("asked_for_at") - timedelta(days=inputs.KEPT_DAYS, minutes=1))


def test_an_image_that_no_job_was_made_from_goes_after_a_week(api: Client) -> None:
    upload(api)
    key = InputImage.objects.get().key
    assert key not in _leftovers()
    _grow_old()
    assert _leftovers()[key] == "no job was made from it in 7 days"


@pytest.mark.django_db(transaction=True)
def test_removing_a_leftover_image_takes_row_and_file(api: Client) -> None:
    upload(api)
    _grow_old()
    (leftover,) = inputs.find_leftovers(timezone.now())
    leftover.remove()
    assert not InputImage.objects.exists()
    assert not default_storage.exists(leftover.name)


def test_an_image_stays_for_as_long_as_there_is_a_job_made_from_it(api: Client) -> None:
    start(api, init_image=upload(api)["name"])
    Job.objects.update(status=Status.CANCELLED, completed_at=timezone.now())
    _grow_old()
    key = InputImage.objects.get().key
    assert key not in _leftovers()
    delete_job(Job.objects.get().pk)
    assert key in _leftovers()


def test_an_image_that_was_uploaded_again_is_young_again(api: Client) -> None:
    upload(api)
    _grow_old()
    upload(api)
    assert InputImage.objects.get().key not in _leftovers()


def test_a_file_that_no_row_names_is_a_leftover(api: Client) -> None:
    default_storage.save("inputs/stray.png", ContentFile(b"x"))
    assert _leftovers()["inputs/stray.png"] == "no row names it"


def test_a_job_whose_image_is_gone_fails_in_words(api: Client, tmp_path: Path) -> None:
    start(api, init_image=upload(api)["name"])
    default_storage.delete(InputImage.objects.get().key)
    with pytest.raises(EngineFailed, match="is gone: upload it again"):
        copy_given_images(Job.objects.get(), tmp_path)


def _ended_generation(api: Client, image: dict) -> Job:
    job = Job.objects.get(pk=start(api, init_image=image["name"]).json()["id"])
    api.post(f"/api/generation/{job.pk}/cancel")
    return job


def test_a_retry_keeps_the_images_that_it_works_from(api: Client) -> None:
    image = upload(api)
    again = retry_job(_ended_generation(api, image))
    answer = api.delete(image["url"])
    assert (answer.status_code, again.pk in answer.json()["detail"]) == (409, True)


@pytest.mark.django_db(transaction=True)
def test_a_job_whose_image_was_deleted_is_not_retried_until_it_is_uploaded_again(api: Client, tmp_path: Path) -> None:
    image = upload(api)
    ended = _ended_generation(api, image)
    api.delete(image["url"])
    with pytest.raises(NotRetryable, match=f"{image['name']} not found"):
        retry_job(ended)
    assert Job.objects.count() == 1
    upload(api)
    again = Job.objects.get(pk=retry_job(ended).pk)
    assert copy_given_images(again, tmp_path)["init_image"].path.exists()
