"""Retrying and extending trainings: what the answers say, and each refusal."""

import json
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.utils import timezone

from characters.models import Character, Lora
from jobs.deleting import NotDeletable, delete_job, is_deletable
from jobs.models import Artifact, Job, JobLogLine, LossPoint, Status
from training.params import TrainingParams

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)

NOBODY = "train-000000000000"


def ended(character: Character, status: Status = Status.FAILED, *, steps: int = 500, **fields: Any) -> Job:
    order = {"base_model": "flux-dev", "preset_name": "quick", "trigger_word": "ann", "character_name": "Ann"}
    config = TrainingParams(steps=steps).model_dump(mode="json")
    made = {"id": f"train-{Job.objects.count():012d}", "kind": "training", "character_id": character.pk}
    made |= {"order": order, "config": config, "total_steps": steps, "completed_at": timezone.now()}
    return Job.objects.create(**made | {"status": status} | fields)


def checkpoint(job: Job, step: int) -> Artifact:
    name = f"{job.pk}_{step:09d}.safetensors"
    key = default_storage.save(f"checkpoints/{job.pk}/1/{name}", ContentFile(b"weights"))
    return Artifact.objects.create(job=job, type="checkpoint", name=name, key=key, size_bytes=7, step=step)


def lora_of(job: Job) -> Lora:
    key = default_storage.save(f"loras/{job.character_id}/v1.safetensors", ContentFile(b"weights"))
    facts = {"name": "Ann v1", "key": key, "size_bytes": 7, "sha256": "0" * 64, "job_id": job.pk}
    return Lora.objects.create(character_id=job.character_id, version=1, **facts)


def post(api: Client, job: Job | str, verb: str, body: object = None, **headers: str) -> Any:
    """Send a body where there is one; a request without any has no content type either."""
    content = ("", "") if body is None else (json.dumps(body), "application/json")
    return api.generic("POST", f"/api/training/{getattr(job, 'pk', job)}/{verb}", *content, headers=headers)


def refusal(answer: Any, status: int = 400) -> str:
    assert answer.status_code == status, answer.content
    return str(answer.json()["detail"])


def said(job_id: str) -> str:
    return "\n".join(JobLogLine.objects.filter(job_id=job_id).values_list("message", flat=True))


@committed
@pytest.mark.usefixtures("patient_redis")
@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED])
def test_a_retry_is_a_new_training_that_goes_on_from_the_newest_checkpoint(
    api: Client, trainable: Character, status: Status
) -> None:
    old = ended(trainable, status)
    checkpoint(old, 100)
    checkpoint(old, 350)
    answer = post(api, old, "retry")
    assert answer.status_code == 201
    again = answer.json()
    assert again["id"] != old.pk
    assert (again["status"], again["retry_of"], again["extends"]) == ("queued", old.pk, None)
    assert again["resume_from"] == {"job_id": old.pk, "step": 350}
    assert (again["config"], again["base_model"], again["preset_name"]) == (old.config, "flux-dev", "quick")
    assert f"going on from the checkpoint of {old.pk}, step 350" in said(again["id"])
    assert again["id"] in said(old.pk)


def test_a_retry_of_a_diverged_training_begins_at_the_beginning(api: Client, trainable: Character) -> None:
    old = ended(trainable, failure_cause="diverged")
    checkpoint(old, 350)
    again = post(api, old, "retry", {"from_checkpoint": None}).json()
    assert again["resume_from"] is None
    assert "from the beginning" in said(again["id"])


def test_whoever_knows_better_decides_where_a_retry_begins(api: Client, trainable: Character) -> None:
    diverged, stopped = ended(trainable, failure_cause="diverged"), ended(trainable)
    checkpoint(diverged, 350)
    checkpoint(stopped, 350)
    assert post(api, diverged, "retry", {"from_checkpoint": True}).json()["resume_from"]["step"] == 350
    assert post(api, stopped, "retry", {"from_checkpoint": False}).json()["resume_from"] is None


def test_without_a_checkpoint_a_retry_begins_at_the_beginning_or_is_refused(api: Client, trainable: Character) -> None:
    old = ended(trainable)
    assert "has no checkpoint to go on from" in refusal(post(api, old, "retry", {"from_checkpoint": True}))
    assert post(api, old, "retry").json()["resume_from"] is None


def test_a_checkpoint_whose_file_is_gone_is_not_gone_on_from(api: Client, trainable: Character) -> None:
    old = ended(trainable)
    checkpoint(old, 100)
    default_storage.delete(checkpoint(old, 350).key)
    assert post(api, old, "retry").json()["resume_from"]["step"] == 100


def test_a_retry_that_made_no_checkpoint_hands_its_own_beginning_on(api: Client, trainable: Character) -> None:
    old = ended(trainable)
    checkpoint(old, 350)
    second = post(api, old, "retry").json()["id"]
    Job.objects.filter(pk=second).update(status=Status.FAILED, completed_at=timezone.now())
    third = post(api, second, "retry").json()
    assert third["resume_from"] == {"job_id": old.pk, "step": 350}


@committed
def test_the_loss_curve_up_to_the_checkpoint_is_carried_over(api: Client, trainable: Character) -> None:
    old = ended(trainable)
    checkpoint(old, 100)
    LossPoint.objects.bulk_create(LossPoint(job=old, step=step, loss=0.5) for step in range(2, 200))
    again = post(api, old, "retry").json()["id"]
    assert list(LossPoint.objects.filter(job_id=again).values_list("step", flat=True)) == list(range(2, 102))
    assert LossPoint.objects.filter(job=old).count() == 198


@committed
def test_what_a_waiting_retry_goes_on_from_is_not_deleted(api: Client, trainable: Character) -> None:
    old = ended(trainable)
    kept = checkpoint(old, 350)
    again = post(api, old, "retry").json()["id"]
    assert not is_deletable(old)
    with pytest.raises(NotDeletable, match=f"checkpoint that {again} goes on from"):
        delete_job(old.pk)
    assert default_storage.exists(kept.key)
    assert post(api, again, "cancel").status_code == 200
    delete_job(old.pk)
    assert not default_storage.exists(kept.key)


@pytest.mark.parametrize(
    ("status", "words"), [(Status.COMPLETED, "nothing to retry"), (Status.QUEUED, "only a job that failed")]
)
def test_what_has_not_failed_is_not_retried(api: Client, trainable: Character, status: Status, words: str) -> None:
    job = ended(trainable, status, completed_at=timezone.now() if status == Status.COMPLETED else None)
    assert words in refusal(post(api, job, "retry"))


def test_a_training_is_not_retried_twice_at_once(api: Client, trainable: Character) -> None:
    old = ended(trainable)
    again = post(api, old, "retry").json()["id"]
    assert f"already, as {again}" in refusal(post(api, old, "retry"))


def test_a_training_of_a_deleted_character_is_neither_retried_nor_extended(api: Client, trainable: Character) -> None:
    failed, done = ended(trainable), ended(trainable, Status.COMPLETED)
    Character.objects.all().delete()
    assert "has been deleted" in refusal(post(api, failed, "retry"))
    assert trainable.pk in refusal(post(api, done, "extend", {"steps": 100}), 404)


@pytest.mark.parametrize("verb", ["retry", "extend"])
def test_an_unknown_training_is_404(api: Client, trainable: Character, verb: str) -> None:
    generation = Job.objects.create(id="gen-1", kind="generation", status=Status.FAILED, completed_at=timezone.now())
    for job in (NOBODY, generation.pk):
        assert refusal(post(api, job, verb, {"steps": 10} if verb == "extend" else None), 404)


@pytest.mark.parametrize(
    ("verb", "body", "field"),
    [
        ("retry", {"from_checkpoint": "yes"}, "from_checkpoint"),
        ("retry", {"from_checkpoint": 1}, "from_checkpoint"),
        ("retry", {"steps": 5}, "steps"),
        ("retry", [], "JSON object"),
        ("extend", {}, "steps"),
        ("extend", None, "steps"),
        ("extend", {"steps": 0}, "steps"),
        ("extend", {"steps": 10_001}, "steps"),
        ("extend", {"steps": "100"}, "steps"),
        ("extend", {"steps": True}, "steps"),
        ("extend", {"steps": 10, "more": 1}, "more"),
    ],
)
def test_a_wrong_body_is_refused_by_name(api: Client, trainable: Character, verb: str, body: Any, field: str) -> None:
    job = ended(trainable, Status.COMPLETED if verb == "extend" else Status.FAILED)
    assert field in refusal(post(api, job, verb, body))
    assert Job.objects.count() == 1


@pytest.mark.parametrize(("verb", "other"), [("retry", {"from_checkpoint": False}), ("extend", {"steps": 70})])
def test_the_same_request_again_gets_the_same_job(api: Client, trainable: Character, verb: str, other: Any) -> None:
    job = ended(trainable, Status.COMPLETED if verb == "extend" else Status.FAILED)
    lora_of(job)
    body = {"steps": 100} if verb == "extend" else {"from_checkpoint": None}
    named = {"Idempotency-Key": "once"}
    first, second = post(api, job, verb, body, **named), post(api, job, verb, body, **named)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    assert post(api, job, verb, other, **named).status_code == 409


@committed
def test_an_extension_goes_on_from_the_lora_with_more_steps(api: Client, trainable: Character) -> None:
    done = ended(trainable, Status.COMPLETED)
    checkpoint(done, 350)
    lora_of(done)
    LossPoint.objects.bulk_create(LossPoint(job=done, step=step, loss=0.5) for step in range(2, 501))
    answer = post(api, done, "extend", {"steps": 250})
    assert answer.status_code == 201
    longer = answer.json()
    assert (longer["extends"], longer["retry_of"]) == (done.pk, None)
    assert longer["resume_from"] == {"job_id": done.pk, "step": 500}
    assert (longer["total_steps"], longer["config"]["steps"]) == (750, 750)
    assert longer["config"] == done.config | {"steps": 750}
    assert LossPoint.objects.filter(job_id=longer["id"]).count() == 499
    assert "Accepted as 250 more steps" in said(longer["id"])
    assert longer["id"] in said(done.pk)


def test_an_extension_whose_lora_was_deleted_goes_on_from_the_newest_checkpoint(
    api: Client, trainable: Character
) -> None:
    done = ended(trainable, Status.COMPLETED)
    assert "LoRA" in refusal(post(api, done, "extend", {"steps": 250}))
    checkpoint(done, 350)
    assert post(api, done, "extend", {"steps": 250}).json()["resume_from"]["step"] == 350


@committed
def test_a_lora_that_a_waiting_extension_goes_on_from_is_not_deleted(api: Client, trainable: Character) -> None:
    done = ended(trainable, Status.COMPLETED)
    lora = lora_of(done)
    longer = post(api, done, "extend", {"steps": 250}).json()["id"]
    assert longer in refusal(api.delete(f"/api/loras/{lora.pk}"), 409)
    assert is_deletable(done)
    assert post(api, longer, "cancel").status_code == 200
    assert api.delete(f"/api/loras/{lora.pk}").status_code == 200


def test_a_training_has_ten_thousand_steps_at_most_with_all_extensions(api: Client, trainable: Character) -> None:
    done = ended(trainable, Status.COMPLETED, steps=9500)
    lora_of(done)
    assert "must be at most 500" in refusal(post(api, done, "extend", {"steps": 501}))
    assert post(api, done, "extend", {"steps": 500}).json()["total_steps"] == 10_000


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED, Status.QUEUED])
def test_only_a_completed_training_is_extended(api: Client, trainable: Character, status: Status) -> None:
    job = ended(trainable, status, completed_at=None if status == Status.QUEUED else timezone.now())
    assert "only a completed training" in refusal(post(api, job, "extend", {"steps": 100}))


def test_a_training_is_not_extended_twice_at_once(api: Client, trainable: Character) -> None:
    done = ended(trainable, Status.COMPLETED)
    lora_of(done)
    longer = post(api, done, "extend", {"steps": 100}).json()["id"]
    assert f"already, as {longer}" in refusal(post(api, done, "extend", {"steps": 100}))


@pytest.mark.usefixtures("one_minute")
@pytest.mark.parametrize("verb", ["retry", "extend"])
def test_retries_and_extensions_count_as_trainings_for_the_rate_limit(
    api: Client, trainable: Character, settings: Any, verb: str
) -> None:
    settings.RATE_LIMITS = "contract"
    answers = [post(api, NOBODY, verb, {"steps": 1}).status_code for _ in range(6)]
    assert answers == [404] * 5 + [429]


def test_an_answer_of_an_ordinary_training_continues_nothing(api: Client, trainable: Character) -> None:
    body = {"character_id": trainable.pk}
    job = api.post("/api/training", json.dumps(body), content_type="application/json").json()
    assert (job["retry_of"], job["extends"], job["resume_from"]) == (None, None, None)
