"""Deadlines, start times and a full queue, in every request that makes a job."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from characters.models import Character
from generation.params import GenerationParams
from generation.service import GenerationRequest
from jobs import kinds
from jobs.models import Job, Status
from tests.api_client import Api
from tests.conftest import wait_until
from tests.contract.test_hostile_fields import rows
from tests.contract.test_training_again import checkpoint, ended
from tests.stack import Stack
from training.service import TrainingRequest

pytestmark = pytest.mark.django_db

PORTRAIT = {"config": {"prompt": "a portrait", "seed": 1}}
WAYS = ("train", "retry", "extend", "generate", "rerun")
DURATIONS = {
    "90": 90,
    "90s": 90,
    "30m": 1800,
    "2h": 7200,
    "1h30m": 5400,
    "1d2h3m4s": 93_784,
    " 5m ": 300,
    "0h7m": 420,
    "5": 5,
    "30d": 2_592_000,
}
NO_DURATIONS = [
    *("", " ", "soon", "-5", "1.5h", "5 m", "30M", "m", "1m1h", "90s1m", "1e3", "\u0663m", "1h30", "null"),
    *("4", "0", "31d", "9999999d", "9" * 5000, "2592001", "30m, 40m"),
]
NO_TIMES = [
    *("", "tomorrow", "2026-11-23", "2026-11-23T22:00:00", "22:00Z", "2026-W48-1T22:00:00Z", "20261123T220000Z"),
    *("2026-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-23T22:00:00+99:00"),
    *("x" * 41, "1800000000", 1_800_000_000, 1.5, True, [], {}),
]
each_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def ways(trainable: Character) -> dict[str, tuple[str, dict]]:
    """The address and the body of each request that makes a job."""
    failed, done = ended(trainable), ended(trainable, Status.COMPLETED)
    checkpoint(done, 400)
    made = Job.objects.create(
        id="gen-000000000001",
        kind="generation",
        status=Status.COMPLETED,
        completed_at=timezone.now(),
        config=GenerationParams(prompt="a portrait", seed=1).model_dump(mode="json"),
        order={"count": 1, "loras": []},
    )
    return {
        "train": ("/api/training", {"character_id": trainable.pk}),
        "retry": (f"/api/training/{failed.pk}/retry", {}),
        "extend": (f"/api/training/{done.pk}/extend", {"steps": 100}),
        "generate": ("/api/generation", PORTRAIT),
        "rerun": (f"/api/generation/{made.pk}/rerun", {}),
    }


def post(api: Client, way: tuple[str, dict], body: dict | None = None, **headers: str) -> Any:
    path, given = way
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.post(path, json.dumps(given | (body or {})), content_type="application/json", headers=named)


def made(answer: Any) -> tuple[dict, Job]:
    assert answer.status_code == 201, answer.content
    return answer.json(), Job.objects.get(pk=answer.json()["id"])


def refusal(api: Client, way: tuple[str, dict], body: dict | None = None, **headers: str) -> str:
    before = rows()
    answer = post(api, way, body, **headers)
    assert answer.status_code == 400, answer.content
    assert rows() == before
    return str(answer.json()["detail"])


def later(**ahead: float) -> str:
    return (datetime.now(UTC) + timedelta(**ahead)).isoformat(timespec="seconds")


def in_api_words(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- deadlines ---


@each_way
def test_a_deadline_in_the_body_counts_from_acceptance(api: Client, ways: dict, way: str) -> None:
    told, job = made(post(api, ways[way], {"deadline_seconds": 1800}))
    assert job.deadline_at == job.created_at + timedelta(minutes=30)
    assert told["deadline_at"] == in_api_words(job.deadline_at)


@each_way
def test_a_deadline_in_the_header_is_the_same(api: Client, ways: dict, way: str) -> None:
    _, job = made(post(api, ways[way], Cancel_After="30m"))
    assert job.deadline_at == job.created_at + timedelta(minutes=30)


@pytest.mark.parametrize(
    ("given", "seconds"),
    list(DURATIONS.items()),
)
def test_a_header_is_read_in_each_of_its_forms(api: Client, ways: dict, given: str, seconds: int) -> None:
    _, job = made(post(api, ways["generate"], Cancel_After=given))
    assert job.deadline_at == job.created_at + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "given",
    NO_DURATIONS,
)
def test_a_header_that_is_no_duration_or_out_of_range_is_refused(api: Client, ways: dict, given: str) -> None:
    assert refusal(api, ways["generate"], Cancel_After=given).startswith("Cancel-After: must be ")


def test_header_and_body_must_agree(api: Client, ways: dict) -> None:
    made(post(api, ways["generate"], {"deadline_seconds": 90}, Cancel_After="1m30s"))
    told = refusal(api, ways["generate"], {"deadline_seconds": 60}, Cancel_After="90")
    assert told == "Cancel-After: says 90 seconds and deadline_seconds says 60: send one of them, or the same."


# --- start times ---


@each_way
def test_a_job_that_starts_later_waits_without_a_place(api: Client, ways: dict, way: str) -> None:
    told, job = made(post(api, ways[way], {"start_after": later(hours=2)}))
    assert job.run_after is not None
    assert told["start_after"] == in_api_words(job.run_after)
    assert told["queue_position"] is None
    assert told["message"].startswith("Starts at ")
    assert told["message"].endswith(" UTC at the earliest")


def test_a_start_in_the_past_is_now_and_stays_told(api: Client, ways: dict) -> None:
    told, job = made(post(api, ways["generate"], {"start_after": "2001-02-03T04:05:06+02:00"}))
    assert (told["start_after"], told["queue_position"]) == ("2001-02-03T02:05:06.000Z", 1)
    assert job.run_after is None


@pytest.mark.parametrize(
    "given",
    NO_TIMES,
)
def test_a_start_that_is_no_time_with_a_zone_is_refused(api: Client, ways: dict, given: object) -> None:
    assert refusal(api, ways["generate"], {"start_after": given}).startswith("start_after: ")


def test_a_start_is_at_most_thirty_days_ahead(api: Client, ways: dict) -> None:
    made(post(api, ways["generate"], {"start_after": later(days=29, hours=23)}))
    told = refusal(api, ways["generate"], {"start_after": later(days=30, minutes=1)})
    assert told == "start_after: must be at most 30 days ahead."


@pytest.mark.parametrize("given", [{"body": {"deadline_seconds": 3600}}, {"Cancel_After": "1h"}])
def test_a_deadline_must_come_after_the_start(api: Client, ways: dict, given: dict) -> None:
    body = given.pop("body", {})
    made(post(api, ways["generate"], body | {"start_after": later(minutes=50)}, **given))
    told = refusal(api, ways["generate"], body | {"start_after": later(minutes=70)}, **given)
    assert told == "start_after: must come before the deadline, which is 3600 seconds from now."


# --- the same request again ---


def test_a_repeated_request_keeps_its_schedule_and_another_one_is_refused(api: Client, ways: dict) -> None:
    sent = {"start_after": later(minutes=5)}
    first = post(api, ways["generate"], sent, Cancel_After="1h", Idempotency_Key="k")
    again = post(api, ways["generate"], sent | {"deadline_seconds": 3600}, Idempotency_Key="k")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["deadline_at"] == again.json()["deadline_at"]
    for other in ({"Cancel_After": "2h"}, {}):
        assert post(api, ways["generate"], sent, Idempotency_Key="k", **other).status_code == 409
    assert post(api, ways["generate"], Cancel_After="1h", Idempotency_Key="k").status_code == 409


def test_requests_without_a_schedule_are_known_as_before_there_were_any() -> None:
    training = TrainingRequest(character_id="char-1").parameters()
    assert sorted(training) == ["base_model", "character_id", "config", "preset_name"]
    generation = GenerationRequest.model_validate(PORTRAIT).parameters()
    assert sorted(generation) == ["config", "count", "preset_name"]


# --- a full queue ---


def fill(settings: Any, *, limit: int = 2) -> None:
    settings.QUEUE_LIMIT = limit
    for kind in ("training", "generation"):
        for number in range(limit):
            Job.objects.create(id=f"{kind}-waits-{number}", kind=kind, order={"count": 1, "loras": []})


@each_way
def test_a_full_queue_answers_503_in_words_and_leaves_nothing(api: Client, ways: dict, way: str, settings) -> None:
    fill(settings)
    before = rows()
    answer = post(api, ways[way], Idempotency_Key="k")
    assert answer.status_code == 503
    noun = kinds.get("training" if ways[way][0].startswith("/api/training") else "generation").title.lower()
    told = f"The queue is full: 2 {noun}s wait already. Try again in 60 seconds."
    assert (answer.json(), answer.headers["Retry-After"]) == ({"detail": told}, "60")
    assert rows() == before
    Job.objects.filter(id__contains="-waits-").update(status=Status.CANCELLED, completed_at=timezone.now())
    made(post(api, ways[way], Idempotency_Key="k"))


def test_a_repeated_request_is_answered_while_the_queue_is_full(api: Client, ways: dict, settings) -> None:
    first = post(api, ways["generate"], Idempotency_Key="k")
    fill(settings)
    again = post(api, ways["generate"], Idempotency_Key="k")
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])


def test_info_tells_how_many_may_wait(api: Client, settings) -> None:
    settings.QUEUE_LIMIT = 7
    assert api.get("/api/info").json()["queue"] == {"limit": 7}
    settings.QUEUE_LIMIT = 0
    assert api.get("/api/info").json()["queue"] == {"limit": None}


# --- the whole ---


@pytest.mark.stack
@pytest.mark.timeout(600)
def test_a_training_starts_at_its_time_and_is_stopped_at_its_deadline(stack: Stack) -> None:
    api = Api(stack.url)
    waiting, ended_job = trained_on_time(api)
    assert waiting["message"].startswith("Starts at ")
    assert (ended_job["status"], ended_job["attempt"]) == ("cancelled", 1)
    assert ended_job["message"].startswith("Cancelled: not finished by its deadline")
    assert ended_job["start_after"] <= ended_job["started_at"] < ended_job["deadline_at"]
    assert ended_job["deadline_at"] <= ended_job["completed_at"]
    job = ended_job["id"]
    wait_until(lambda: not stack.processes("run.py", job), what="the trainer's end")
    (told,) = wait_until(lambda: ended_attempts(api, job), what="the attempt's end")
    assert told["outcome"] == "cancelled"


def trained_on_time(api: Api) -> tuple[dict, dict]:
    """Return what a training told before its start, and how it ended.

    Where the machine stood still, or another training held the GPU, the start or the deadline had passed before there
    was anything to see: then another one gets more time.
    """
    config = {"steps": 10_000, "sample_every_n_steps": 1000, "sample_count": 1}
    body = {"character_id": api.make_character(), "config": config}
    for seconds in (10, 30, 60):
        schedule = {"start_after": later(seconds=seconds / 5), "deadline_seconds": seconds}
        job = api.call("POST", "/api/training", expect=201, json=body | schedule).json()["id"]
        waiting = api.job(job)
        is_in_time = in_api_words(datetime.now(UTC)) < waiting["start_after"]
        ended_job = api.wait_for(job)
        if is_in_time and ended_job["attempt"]:
            break
    return waiting, ended_job


def ended_attempts(api: Api, job: str) -> list[dict]:
    return [told for told in api.get(f"/api/jobs/{job}/attempts")["attempts"] if told["ended_at"]]
