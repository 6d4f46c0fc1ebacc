"""The debug bundle: everything about a job, and nothing about the place where it ran."""

import io
import json
import zipfile

import pytest
from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection
from django.test import Client

from jobs import bundle, log, runner
from jobs.events import Artifact, Finished, Log
from jobs.files import workspace
from jobs.models import Job, JobLogLine, Slot
from jobs.progress import writer
from jobs.queue import claim_next
from tests.api_client import Api
from tests.conftest import wait_until
from tests.jobs.fakes import FakeKind, make_job, this_process
from tests.jobs.test_job_files import publish

pytestmark = pytest.mark.django_db


def bundle_of(client: Client, job: Job) -> zipfile.ZipFile:
    answer = client.get(f"/api/jobs/{job.pk}/debug-bundle")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{job.pk}-debug.zip"'
    content = answer.getvalue()
    assert int(answer.headers["Content-Length"]) == len(content)
    opened = zipfile.ZipFile(io.BytesIO(content))
    assert opened.testzip() is None
    return opened


def artifact(artifact_type: str, name: str, content: bytes):
    def make(job: Job, _: object) -> None:
        (workspace(job.pk) / name).write_bytes(content)

    def told(job: Job) -> Artifact:
        return Artifact(type=artifact_type, name=name, path=workspace(job.pk) / name)

    return make, told


@pytest.fixture
def ended(slot: Slot, fake_kind: FakeKind, no_beats: None) -> Job:
    """A job that ran to its end and published a sample and what its engine was given."""
    job = make_job(config={"prompt": "a portrait"})
    make_config, config = artifact("config", "engine_config.json", b'{"steps": 10}')
    make_sample, sample = artifact("sample", "step_00005.png", b"picture")
    fake_kind.script = [make_config, config(job), make_sample, sample(job), Log(message="hello"), Finished()]
    runner.execute(claim_next("fake", slot.name, this_process()))
    job.refresh_from_db()
    assert job.status == "completed"
    return job


def test_a_bundle_has_the_job_its_log_samples_config_and_environment(client: Client, ended: Job) -> None:
    opened = bundle_of(client, ended)
    assert sorted(opened.namelist()) == [
        "engine_config.json",
        "environment.json",
        "job.json",
        "log.jsonl",
        "samples/step_00005.png",
    ]
    assert opened.read("engine_config.json") == b'{"steps": 10}'
    assert opened.read("samples/step_00005.png") == b"picture"
    assert opened.read("log.jsonl") == b"".join(log.lines(ended))
    assert b"hello" in opened.read("log.jsonl")


def test_the_job_is_described_without_its_token_and_the_machines(client: Client, ended: Job) -> None:
    Job.objects.filter(pk=ended.pk).update(
        status="running", completed_at=None, token="f" * 32, slot="slot-9", holder={"worker": {"host": "lab-7"}}
    )
    content = bundle_of(client, ended).read("job.json")
    described = json.loads(content)
    assert (described["id"], described["config"], described["left_out"]) == (ended.pk, {"prompt": "a portrait"}, [])
    assert {"token", "slot", "holder", "gpu"}.isdisjoint(described)
    assert not any(secret in content for secret in (b"f" * 32, b"slot-9", b"lab-7"))


def test_the_environment_is_versions_and_mode_alone(client: Client, ended: Job) -> None:
    content = bundle_of(client, ended).read("environment.json")
    told = json.loads(content)
    assert (told["isengard"], told["mode"], told["database"]) == (settings.VERSION, "fast-test", connection.vendor)
    assert told["django"].startswith("5.2")
    places = (settings.HOSTNAME, settings.SECRET_KEY, str(settings.DATA_DIR), settings.REDIS_URL)
    assert not any(place.encode() in content for place in places)


def test_the_newest_pictures_that_fit_are_bundled_and_the_others_named(client, fake_kind, monkeypatch) -> None:
    job = make_job()
    for number in range(4):
        publish(job, "sample", f"{number}.png", b"x" * 10)
    monkeypatch.setattr(bundle, "MAX_PICTURES_BYTES", 25)
    opened = bundle_of(client, job)
    assert [name for name in opened.namelist() if name.startswith("samples/")] == ["samples/3.png", "samples/2.png"]
    assert json.loads(opened.read("job.json"))["left_out"] == ["samples/1.png", "samples/0.png"]


def test_files_that_are_gone_are_named_and_the_rest_is_bundled(client: Client, ended: Job) -> None:
    default_storage.delete(ended.artifacts.get(type="sample").key)
    default_storage.delete(ended.log_key)
    opened = bundle_of(client, ended)
    assert json.loads(opened.read("job.json"))["left_out"] == ["log.jsonl", "samples/step_00005.png"]
    assert "engine_config.json" in opened.namelist()


def test_a_job_that_never_ran_has_a_bundle_too(client: Client, fake_kind: FakeKind) -> None:
    opened = bundle_of(client, make_job())
    assert sorted(opened.namelist()) == ["environment.json", "job.json", "log.jsonl"]


def test_a_log_that_was_archived_since_the_job_was_read_is_bundled(fake_kind: FakeKind) -> None:
    job = make_job()
    JobLogLine.objects.create(job=job, level="INFO", event="job.queued", message="hello")
    as_read_before = Job.objects.get(pk=job.pk)
    log.archive(job)
    with bundle.open_bundle(as_read_before) as content:
        assert b"hello" in zipfile.ZipFile(content).read("log.jsonl")


def test_what_the_engine_was_given_is_not_told_to_clients(ended: Job) -> None:
    told = [entry[b"data"] for _, entry in writer.connection().xrange(writer.stream_key(ended.pk))]
    assert any(b"step_00005.png" in data for data in told)
    assert not any(b"engine_config" in data for data in told)


def downloaded(api: Api, job_id: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(api.call("GET", f"/api/jobs/{job_id}/debug-bundle").content))


def files_with_the_whole_log(api: Api, job_id: str) -> list[dict] | None:
    """Return the files once the log is one of them: its last lines come after the status, and then it is stored."""
    listed = api.get(f"/api/jobs/{job_id}/artifacts")["artifacts"]
    for file in listed:
        if file["type"] == "log":
            content = api.call("GET", file["url"]).content
            return listed if b'"job.completed"' in content and len(content) == file["size_bytes"] else None
    return None


@pytest.mark.stack
def test_a_training_leaves_files_and_a_bundle_with_the_trainers_job_file(api: Api) -> None:
    job_id = api.train(api.make_character(), steps=200, sample_every_n_steps=100, checkpoint_every_n_steps=100)
    assert api.wait_for(job_id)["status"] == "completed"
    listed = wait_until(lambda: files_with_the_whole_log(api, job_id), what="the log's file")
    assert {file["type"] for file in listed} == {"sample", "checkpoint", "model", "log"}
    for file in listed:
        assert len(api.call("GET", file["url"]).content) == file["size_bytes"], file
    opened = downloaded(api, job_id)
    trainer = json.loads(opened.read("engine_config.json"))["config"]["process"][0]
    assert trainer["train"]["steps"] == 200
    assert "samples/step_00100.png" in opened.namelist()
    assert b"artifact.checkpoint" in opened.read("log.jsonl")


@pytest.mark.stack
def test_a_generation_leaves_a_bundle_with_its_graphs(api: Api) -> None:
    job_id = api.generate(count=2, prompt="a debugged portrait", seed=3)
    assert api.wait_for(job_id)["status"] == "completed"
    opened = downloaded(api, job_id)
    graphs = json.loads(opened.read("engine_config.json"))
    assert list(graphs) == [f"{job_id}-a1-0", f"{job_id}-a1-1"]
    assert "a debugged portrait" in json.dumps(graphs)
    assert {f"samples/{job_id}-{number}.png" for number in (0, 1)} <= set(opened.namelist())
    assert api.get(f"/api/jobs/{job_id}/summary")["artifacts"]["samples"] == 2
