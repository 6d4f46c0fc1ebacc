"""What a job left, over HTTP: lists, pictures, checkpoints, the trained LoRA and the summary."""

import io
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from PIL import Image

from characters import files
from characters.models import Character, Lora
from jobs import log
from jobs.models import Artifact, Job, Status
from tests.jobs.fakes import FakeKind, make_job

pytestmark = pytest.mark.django_db

SAMPLES = "artifacts/samples"


@pytest.fixture
def job(fake_kind: FakeKind) -> Job:
    return make_job(status=Status.COMPLETED, completed_at=timezone.now(), progress=100, current_step=10)


def publish(job: Job, artifact_type: str, name: str, content: bytes = b"bytes", *, step: int | None = None) -> Artifact:
    key = f"samples/{job.pk}/{artifact_type}/{name}"
    files.publish(key, io.BytesIO(content))
    moment = timezone.now() + timedelta(seconds=job.artifacts.count())
    made = {"type": artifact_type, "name": name, "key": key, "size_bytes": len(content), "step": step}
    return Artifact.objects.create(job=job, created_at=moment, **made)


def trained(job: Job, content: bytes = b"weights") -> Lora:
    character = Character.objects.create(name="Ann", trigger_word="ann")
    key = f"loras/{character.pk}/v1.safetensors"
    files.publish(key, io.BytesIO(content))
    made = {"version": 1, "name": "Ann v1", "key": key, "size_bytes": len(content), "sha256": "ab" * 32}
    return Lora.objects.create(character=character, job_id=job.pk, details={"step": 10}, **made)


def get(client: Client, job: Job, path: str, *, expect: int = 200, **headers: str):
    """Return the answer; a file's bytes, read to the end so that it is closed, are in its `sent`."""
    answer = client.get(f"/api/jobs/{job.pk}/{path}", headers=headers)
    answer.sent = answer.getvalue()
    assert answer.status_code == expect, answer.sent
    return answer


def names(answer: dict, listed: str = "artifacts") -> list[str]:
    return [file["name"] for file in answer[listed]]


def test_artifacts_are_listed_newest_first_with_every_field(client: Client, job: Job) -> None:
    made = publish(job, "sample", "step_00005.png", b"picture", step=5)
    publish(job, "checkpoint", "fake_5.safetensors", step=5)
    answer = get(client, job, "artifacts").json()
    assert (answer["job_id"], answer["total_count"]) == (job.pk, 2)
    assert names(answer) == ["fake_5.safetensors", "step_00005.png"]
    sample = answer["artifacts"][1]
    assert sample.pop("created_at").endswith("Z")
    assert sample == {
        "name": "step_00005.png",
        "path": f"/data/{made.key}",
        "type": "sample",
        "size_bytes": 7,
        "step": 5,
        "url": f"/api/jobs/{job.pk}/{SAMPLES}/step_00005.png",
    }


def test_the_list_has_the_trained_lora_and_the_archived_log(client: Client, job: Job) -> None:
    lora = trained(job)
    log.write(job.pk, "done", event="job.completed")
    assert names(get(client, job, "artifacts").json()) == ["v1.safetensors"], "the log is no file yet"
    log.archive(job)
    listed = {file["type"]: file for file in get(client, job, "artifacts").json()["artifacts"]}
    assert set(listed) == {"model", "log"}
    assert (listed["model"]["path"], listed["model"]["step"]) == (f"/data/{lora.key}", 10)
    assert (listed["log"]["name"], listed["log"]["step"]) == (f"{job.pk}.jsonl", None)
    assert listed["log"]["size_bytes"] == len(client.get(listed["log"]["url"]).getvalue())


def test_a_generations_pictures_are_its_samples(client: Client, job: Job) -> None:
    publish(job, "output", "fake-1-0.png", b"\x89PNG")
    (picture,) = get(client, job, "artifacts").json()["artifacts"]
    assert (picture["type"], picture["step"]) == ("sample", None)
    assert client.get(picture["url"]).getvalue() == b"\x89PNG"


def test_what_the_engine_was_given_is_not_in_the_list(client: Client, job: Job) -> None:
    publish(job, "config", "engine_config.json")
    assert get(client, job, "artifacts").json()["total_count"] == 0
    get(client, job, f"{SAMPLES}/engine_config.json", expect=404)


def test_every_listed_address_answers_with_the_file(client: Client, job: Job) -> None:
    publish(job, "sample", "step_00005.png", b"a" * 3)
    publish(job, "checkpoint", "fake_5.safetensors", b"b" * 5)
    trained(job, b"c" * 7)
    log.write(job.pk, "done", event="job.completed")
    log.archive(job)
    listed = get(client, job, "artifacts").json()["artifacts"]
    assert len(listed) == 4
    for file in listed:
        assert len(client.get(file["url"]).getvalue()) == file["size_bytes"], file


@pytest.mark.parametrize(
    ("name", "content_type"), [("a.png", "image/png"), ("a.jpg", "image/jpeg"), ("a.webp", "image/webp")]
)
def test_a_sample_is_shown_as_what_it_is(client: Client, job: Job, name: str, content_type: str) -> None:
    publish(job, "sample", name)
    answer = get(client, job, f"{SAMPLES}/{name}")
    assert answer.headers["Content-Type"] == content_type
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert not answer.headers.get("Content-Disposition", "").startswith("attachment")


def test_a_sample_comes_as_a_thumbnail_too(client: Client, job: Job) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (512, 256)).save(picture, "PNG")
    publish(job, "sample", "a.png", picture.getvalue())
    answer = get(client, job, f"{SAMPLES}/a.png?size=128")
    assert answer.headers["Content-Type"] == "image/webp"
    assert Image.open(io.BytesIO(answer.sent)).size == (128, 64)
    assert get(client, job, f"{SAMPLES}/a.png?size=9999", expect=400).json()["detail"].startswith("size:")


@pytest.mark.parametrize("path", ["artifacts/model", "checkpoints/fake_5.safetensors/download"])
def test_weights_are_downloads_that_a_client_keeps(client: Client, job: Job, path: str) -> None:
    publish(job, "checkpoint", "fake_5.safetensors")
    trained(job)
    answer = get(client, job, path)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    get(client, job, path, expect=304, **{"If-None-Match": answer.headers["ETag"]})


def test_checkpoints_are_listed_alone_and_newest_first(client: Client, job: Job) -> None:
    publish(job, "sample", "step_00005.png", step=5)
    for step in (5, 10):
        publish(job, "checkpoint", f"fake_{step}.safetensors", step=step)
    answer = get(client, job, "checkpoints").json()
    assert (answer["job_id"], answer["total_count"]) == (job.pk, 2)
    assert names(answer, "checkpoints") == ["fake_10.safetensors", "fake_5.safetensors"]
    first = answer["checkpoints"][0]
    assert set(first) == {"name", "path", "size_bytes", "created_at", "step", "url"}
    assert first["url"] == f"/api/jobs/{job.pk}/checkpoints/fake_10.safetensors/download"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (f"{SAMPLES}/none.png", "Sample none.png not found"),
        (f"{SAMPLES}/fake_5.safetensors", "Sample fake_5.safetensors not found"),
        (f"{SAMPLES}/%00.png", None),
        (f"{SAMPLES}/..%2F..%2Fsecret_key", None),
        ("checkpoints/none/download", "Checkpoint none not found"),
        ("artifacts/model", "Job fake-0000 has no model"),
    ],
)
def test_an_unknown_file_is_404(client: Client, job: Job, path: str, words: str | None) -> None:
    publish(job, "checkpoint", "fake_5.safetensors")
    detail = get(client, job, path, expect=404).json()["detail"]
    assert words in (None, detail)


def test_a_file_of_another_job_is_404(client: Client, job: Job) -> None:
    publish(job, "sample", "step_00005.png")
    get(client, make_job(), f"{SAMPLES}/step_00005.png", expect=404)


PATHS = ["artifacts", f"{SAMPLES}/a.png", "artifacts/model", "checkpoints", "checkpoints/a/download"]


@pytest.mark.parametrize("path", [*PATHS, "debug-bundle", "summary"])
def test_an_unknown_job_is_404_everywhere(client: Client, path: str) -> None:
    answer = client.get(f"/api/jobs/train-xxx/{path}")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Job train-xxx not found"})
    assert client.get(f"/api/jobs/%00/{path}").status_code == 404


def test_a_lora_that_was_deleted_is_no_artifact_any_more(client: Client, job: Job) -> None:
    trained(job).delete()
    assert get(client, job, "artifacts").json()["artifacts"] == []
    get(client, job, "artifacts/model", expect=404)


def test_the_list_takes_the_same_number_of_queries_for_more_files(client, job, django_assert_num_queries) -> None:
    for number in range(5):
        publish(job, "sample", f"{number}.png")
    with django_assert_num_queries(4):
        assert get(client, job, "artifacts").json()["total_count"] == 5


def test_the_summary_of_a_fresh_job_has_every_field(client: Client, fake_kind: FakeKind) -> None:
    job = make_job(total_steps=10)
    summary = get(client, job, "summary").json()
    assert summary.pop("created_at").endswith("Z")
    assert summary == {
        "job_id": job.pk,
        "status": "queued",
        "progress": 0,
        "current_step": 0,
        "total_steps": 10,
        "started_at": None,
        "completed_at": None,
        "artifacts": {"samples": 0, "has_log": False, "has_model": False},
        "first_error": None,
        "error_message": None,
    }


@pytest.mark.parametrize("is_archived", [False, True])
def test_the_summary_counts_what_is_there_and_names_the_first_error(
    client: Client, job: Job, is_archived: bool
) -> None:
    for name in ("step_00005.png", "step_00010.png"):
        publish(job, "sample", name)
    trained(job)
    for level, message in [("INFO", 'says "ERROR"'), ("ERROR", "first"), ("ERROR", "second")]:
        log.write(job.pk, message, event="engine.console", level=level)
    if is_archived:
        log.archive(job)
    summary = get(client, job, "summary").json()
    assert summary["artifacts"] == {"samples": 2, "has_log": True, "has_model": True}
    assert summary["first_error"] == "first"
