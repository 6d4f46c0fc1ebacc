"""Idempotency-Key: the same request again gets the first one's job, whatever happens at the same time."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import requests
from django.db import connections
from django.db.models.signals import post_save
from django.test import Client
from django.utils import timezone
from rest_framework.exceptions import ValidationError

from characters.models import Character, TrainingImage
from jobs import tasks
from jobs.deleting import delete_job
from jobs.idempotency import RequestKey, Submission, intent_of, record_once
from jobs.models import IdempotencyKey, Job
from tests.api_client import Api
from tests.conftest import wait_until
from tests.contract.patience import hold_the_minute
from tests.jobs.fakes import make_job

pytestmark = pytest.mark.django_db

KEY = "order-1"
TWINS = 8
PORTRAIT = {"config": {"prompt": "a portrait"}}


@pytest.fixture(autouse=True)
def _no_rate_limits(settings) -> None:
    settings.RATE_LIMITS = "off"


@pytest.fixture
def character(db: None) -> Character:
    character = Character.objects.create(name="Ann", trigger_word="ann")
    digest = "a" * 64
    made = {"name": "a.jpg", "key": "uploads/a.jpg", "sha256": digest, "sha256_as_sent": digest}
    TrainingImage.objects.create(character=character, width=64, height=64, bytes=1, content_type="image/jpeg", **made)
    return character


def post(client: Client, path: str, body: dict, *, key: str | None = KEY):
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post(f"/api/{path}", body, content_type="application/json", headers=headers)


def generate(client: Client, *, key: str | None = KEY, count: int = 1, **config: object):
    return post(client, "generation", {"config": PORTRAIT["config"] | config, "count": count}, key=key)


def train(client: Client, character: Character, *, key: str | None = KEY, **body: object):
    return post(client, "training", {"character_id": character.pk} | body, key=key)


def test_the_same_request_again_gets_the_first_job(client: Client) -> None:
    first, second = generate(client), generate(client)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    assert Job.objects.count() == 1


def test_a_repeated_training_gets_the_first_job_as_it_is_now(client: Client, character: Character) -> None:
    job_id = train(client, character).json()["id"]
    client.post(f"/api/training/{job_id}/cancel")
    again = train(client, character)
    assert (again.status_code, again.json()["id"], again.json()["status"]) == (200, job_id, "cancelled")


def test_without_a_key_each_request_starts_a_job(client: Client) -> None:
    assert [generate(client, key=None).status_code for _ in range(2)] == [201, 201]
    assert not IdempotencyKey.objects.exists()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"steps": 20, "seed": None, "model_variant": "flux-dev"}),
        ({"guidance_scale": 4}, {"guidance_scale": 4.0}),
        ({"width": 1024}, {"width": 1021}),
    ],
)
def test_parameters_that_mean_the_same_are_the_same(client: Client, first: dict, second: dict) -> None:
    assert [generate(client, **first).status_code, generate(client, **second).status_code] == [201, 200]


def test_a_preset_counts_as_what_it_stands_for(client: Client, character: Character) -> None:
    assert train(client, character, preset_name="quick").status_code == 201
    assert train(client, character, preset_name="quick", config={"steps": 500}).status_code == 200
    assert train(client, character, preset_name="quick", config={"steps": 501}).status_code == 409


@pytest.mark.parametrize("change", [{"steps": 21}, {"seed": 1}, {"prompt": "a portrait "}, {"count": 2}])
def test_a_key_that_comes_with_other_parameters_is_refused(client: Client, change: dict) -> None:
    generate(client)
    refused = generate(client, **change)
    assert refused.status_code == 409
    assert refused.json()["detail"].startswith("Idempotency-Key: ")
    assert Job.objects.count() == 1


def test_another_key_starts_another_job(client: Client) -> None:
    assert [generate(client, key=key).status_code for key in ("a", "A", "a b", "~" * 255)] == [201] * 4


def test_each_endpoint_has_keys_of_its_own(client: Client, character: Character) -> None:
    assert (train(client, character).status_code, generate(client).status_code) == (201, 201)


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb", "a\x7f", "日"])
@pytest.mark.parametrize("path", ["generation", "training"])
def test_a_key_that_is_no_printable_ascii_is_named(client: Client, path: str, key: str) -> None:
    answer = post(client, path, PORTRAIT, key=key)
    assert answer.status_code == 400
    assert answer.json() == {"detail": "Idempotency-Key: must be 1 to 255 printable ASCII characters."}


def test_a_request_that_was_refused_leaves_its_key_free(client: Client, character: Character) -> None:
    assert generate(client, steps=0).status_code == 400
    assert generate(client, lora_id="lora-nobody").status_code == 404
    assert generate(client).status_code == 201
    assert train(client, Character(pk="char-nobody")).status_code == 404
    assert train(client, character).status_code == 201


def test_a_bad_request_is_refused_though_its_key_is_known(client: Client) -> None:
    generate(client)
    assert generate(client, steps=0).status_code == 400


def test_the_first_job_comes_back_after_its_character_is_gone(client: Client, character: Character) -> None:
    job_id = train(client, character).json()["id"]
    client.delete(f"/api/characters/{character.pk}")
    again = train(client, character)
    assert (again.status_code, again.json()["id"]) == (200, job_id)


def test_a_key_whose_job_was_deleted_is_free(client: Client) -> None:
    job_id = generate(client).json()["id"]
    client.post(f"/api/generation/{job_id}/cancel")
    delete_job(job_id)
    assert generate(client).status_code == 201


def age_the_key(**age: int) -> None:
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(**age))


def test_a_key_is_kept_for_a_day(client: Client) -> None:
    generate(client)
    age_the_key(hours=23, minutes=59)
    tasks.sweep()
    assert generate(client).status_code == 200


@pytest.mark.parametrize("steps", [20, 21])
def test_an_expired_key_is_free_for_the_same_and_for_others(client: Client, steps: int) -> None:
    first = generate(client).json()["id"]
    age_the_key(hours=24)
    again = generate(client, steps=steps)
    assert again.status_code == 201
    assert again.json()["id"] != first
    assert IdempotencyKey.objects.count() == 1


def test_the_sweep_removes_expired_keys_and_no_jobs(client: Client) -> None:
    generate(client)
    age_the_key(hours=25)
    tasks.sweep()
    assert not IdempotencyKey.objects.exists()
    assert Job.objects.count() == 1


def test_replays_count_for_the_rate_limit(
    client: Client, character: Character, settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RATE_LIMITS = "contract"
    hold_the_minute(monkeypatch, settings)
    assert [train(client, character).status_code for _ in range(6)] == [201, 200, 200, 200, 200, 429]


def in_thread(action: Callable[[], object]) -> Callable[[], object]:
    """Return the action with an end that closes the thread's own database connection."""

    def run() -> object:
        try:
            return action()
        finally:
            connections.close_all()

    return run


@pytest.mark.django_db(transaction=True)
def test_of_simultaneous_twins_one_starts_the_job_and_all_get_it() -> None:
    together = threading.Barrier(TWINS)

    def ask() -> tuple[int, str]:
        together.wait(60)
        answer = generate(Client())
        return answer.status_code, answer.json()["id"]

    with ThreadPoolExecutor(TWINS) as pool:
        answers = [future.result() for future in [pool.submit(in_thread(ask)) for _ in range(TWINS)]]
    assert sorted(status for status, _ in answers) == [200] * (TWINS - 1) + [201]
    assert len({job_id for _, job_id in answers}) == 1
    assert Job.objects.count() == IdempotencyKey.objects.count() == 1


INTENT = intent_of(RequestKey("anonymous:fake", KEY), {"steps": 1})


class FirstRequest:
    """A request that has written its job and its key, and ends its transaction when the test lets it go on."""

    def __init__(self, *, fails: bool) -> None:
        self.fails = fails
        self.is_inside = threading.Event()
        self.may_end = threading.Event()

    def submit(self) -> Submission:
        post_save.connect(self._hold, sender=IdempotencyKey)
        try:
            return record_once(INTENT, lambda: make_job(id="fake-first"))
        finally:
            post_save.disconnect(self._hold, sender=IdempotencyKey)

    def _hold(self, instance: IdempotencyKey, **_: object) -> None:
        if instance.job_id != "fake-first":
            return
        self.is_inside.set()
        assert self.may_end.wait(60)
        if self.fails:
            raise LookupError("the character is gone")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("fails", [False, True])
def test_a_twin_waits_for_the_first_and_takes_over_only_if_that_fails(fails: bool) -> None:
    first = FirstRequest(fails=fails)
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(in_thread(first.submit))
        assert first.is_inside.wait(60)
        other = pool.submit(in_thread(lambda: record_once(INTENT, lambda: make_job(id="fake-second"))))
        wait_until(other.running, what="the twin's start")
        assert not other.done()
        first.may_end.set()
        submission = other.result(60)
        assert isinstance(one.exception(), LookupError if fails else type(None))
    assert (submission.job.pk, submission.is_new) == (("fake-second", True) if fails else ("fake-first", False))
    assert list(Job.objects.values_list("pk", flat=True)) == [submission.job.pk]


@pytest.mark.django_db(transaction=True)
def test_a_twin_that_the_firsts_own_job_forbids_gets_that_job() -> None:
    """As when a retry is sent again before its first sending has committed."""
    first = FirstRequest(fails=False)

    def refused() -> Job:
        # As a retry waits for the lock on what it retries.
        wait_until(Job.objects.exists, what="the first one's job")
        raise ValidationError(f"It is being retried already, as {Job.objects.get().pk}.")

    with ThreadPoolExecutor(2) as pool:
        pool.submit(in_thread(first.submit))
        assert first.is_inside.wait(60)
        other = pool.submit(in_thread(lambda: record_once(INTENT, refused)))
        wait_until(other.running, what="the twin's start")
        first.may_end.set()
        submission = other.result(60)
    assert (submission.job.pk, submission.is_new) == ("fake-first", False)


@pytest.mark.stack
def test_twins_over_real_connections_get_one_job_that_runs_once(api: Api) -> None:
    body = {"config": {"prompt": "twins", "width": 512, "height": 512, "steps": 4}}

    def ask(_: int) -> requests.Response:
        headers = {"Idempotency-Key": "stack-twins"}
        return requests.post(f"{api.url}/api/generation", json=body, headers=headers, timeout=60)

    with ThreadPoolExecutor(TWINS) as pool:
        answers = list(pool.map(ask, range(TWINS)))
    assert sorted(answer.status_code for answer in answers) == [200] * (TWINS - 1) + [201]
    (job_id,) = {answer.json()["id"] for answer in answers}
    job = api.wait_for(job_id)
    assert (job["status"], job["attempt"], len(job["output_paths"])) == ("completed", 1, 1)
