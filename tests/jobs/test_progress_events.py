"""What the stream's events say, how often they come, and that Redis may be away."""

import math
from typing import get_args

import pytest
from django.utils import timezone

from jobs import narrator as narration
from jobs.events import Preview, Stage
from jobs.models import TERMINAL, Job, Slot, Status
from jobs.narrator import Narrator
from jobs.payloads import complete_payload, progress_payload
from jobs.progress import writer
from jobs.progress.event_id import EventId
from jobs.progress.writer import connection, publish, stream_key
from jobs.queue import claim_next
from tests.jobs.fakes import FakeKind, make_job, this_process

KNOWN = {
    "job_id": str,
    "job_type": str,
    "status": str,
    "progress": int,
    "message": str,
    "current_step": int,
    "total_steps": int,
    "step": int,
    "steps_total": int,
    "stage": str,
    "timestamp": str,
    "attempt": int,
    "progress_bar": dict,
}
MEASURED = {"current_loss": ("loss", 0.25), "learning_rate": ("lr", 1e-4), "iteration_speed": ("iteration_speed", 2.5)}


def a_job(**fields) -> Job:
    return Job(**{"id": "fake-1", "kind": "fake", "status": Status.RUNNING, "total_steps": 10, "attempt": 1} | fields)


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(narration.time, "monotonic", lambda: self.now)
        # As real time had it, which this clock would not reach.
        monkeypatch.setattr(writer, "_away_until", 0.0)


def sent(job_id: str = "fake-1") -> list[dict]:
    import orjson

    return [orjson.loads(entry[b"data"]) for _, entry in connection().xrange(stream_key(job_id))]


@pytest.mark.parametrize(("name", "kind"), KNOWN.items())
def test_every_event_has_each_field_with_its_type(fake_kind: FakeKind, name: str, kind: type) -> None:
    assert isinstance(progress_payload(a_job())[name], kind)


@pytest.mark.parametrize(("column", "told"), MEASURED.items())
def test_a_number_is_left_out_until_it_is_known(fake_kind: FakeKind, column: str, told: tuple) -> None:
    name, value = told
    assert name not in progress_payload(a_job())
    assert progress_payload(a_job(**{column: value}))[name] == value


def test_no_event_ever_has_a_null(fake_kind: FakeKind) -> None:
    ended = a_job(status=Status.FAILED, error_message="why", completed_at=timezone.now())
    for payload in (progress_payload(a_job()), progress_payload(a_job(status=Status.PENDING)), complete_payload(ended)):
        assert None not in payload.values()
        assert None not in payload["progress_bar"].values()


@pytest.mark.parametrize("column", [*MEASURED, "eta_seconds"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_json_cannot_say_is_left_out(fake_kind: FakeKind, column: str, value: float) -> None:
    assert progress_payload(a_job(**{column: value})).keys() == progress_payload(a_job()).keys()


def test_the_stages_are_those_that_clients_know() -> None:
    ends = {status.value for status in TERMINAL}
    assert set(get_args(Stage)) | ends == {
        "queued",
        "initializing",
        "loading_model",
        "preparing_dataset",
        "captioning",
        "training",
        "sampling",
        "saving_checkpoint",
        "exporting",
        "completed",
        "failed",
        "cancelled",
    }


def test_a_running_job_that_has_said_nothing_tells_its_step(fake_kind: FakeKind) -> None:
    assert progress_payload(a_job(current_step=3))["message"] == "Step 3/10"


@pytest.mark.django_db
def test_a_job_that_is_claimed_again_says_no_longer_that_it_waits(slot: Slot) -> None:
    job = make_job(message="Waiting to go on: its worker process died", current_step=3)
    claim_next("fake", slot.name, this_process())
    job.refresh_from_db()
    assert progress_payload(job)["message"] == "Step 3/10"


def test_the_progress_bar_has_its_fields_and_counts_where_there_is_something_to_count(fake_kind: FakeKind) -> None:
    known = {"id": "fake-1", "type": "fake", "label": "saving checkpoint", "value": 30}
    counted = a_job(stage="saving_checkpoint", progress=30, current_step=3)
    assert progress_payload(counted)["progress_bar"] == known | {"current": 3, "total": 10}
    counted.total_steps = 0
    assert progress_payload(counted)["progress_bar"] == known


@pytest.mark.parametrize(
    ("status", "words"),
    [("completed", "Fake complete"), ("failed", "Fake failed: no disk"), ("cancelled", "Fake cancelled")],
)
def test_the_last_message_says_how_it_ended(fake_kind: FakeKind, status: str, words: str) -> None:
    assert complete_payload(a_job(status=status, error_message="no disk"))["message"] == words


def test_at_most_four_events_a_second_and_the_latest_state_wins(fake_kind, monkeypatch) -> None:
    clock, job = Clock(monkeypatch), a_job()
    narrator = Narrator(job)
    for step in range(1, 11):
        job.current_step = step
        narrator.progress()
        clock.now += 0.1
    narrator.send_what_is_due()
    steps = [data["step"] for data in sent()]
    assert len(steps) <= 5
    assert steps[0] == 1
    assert steps[-1] == 10


def test_artifacts_add_up_in_the_events_that_were_merged(fake_kind, monkeypatch) -> None:
    clock = Clock(monkeypatch)
    narrator = Narrator(a_job())
    for name in "abc":
        narrator.progress(artifact={"name": name})
    clock.now += 1
    narrator.send_what_is_due()
    told = [artifact["name"] for data in sent() for artifact in data.get("artifacts", [])]
    assert told == ["a", "b", "c"]


def test_what_still_waits_is_sent_at_the_end(fake_kind: FakeKind) -> None:
    job = a_job()
    narrator = Narrator(job)
    narrator.progress()
    job.current_step = 9
    narrator.progress()
    narrator.finish()
    assert [data["step"] for data in sent()] == [0, 9]


def test_previews_are_at_most_two_a_second_and_not_kept(fake_kind, monkeypatch) -> None:
    clock, job = Clock(monkeypatch), a_job()
    narrator = Narrator(job)
    with connection().pubsub() as listener:
        listener.subscribe(writer.CHANNEL)
        assert listener.get_message(timeout=60)["type"] == "subscribe"
        for _ in range(4):
            narrator.preview(Preview(image=b"jpeg", content_type="image/jpeg", image_index=2))
            clock.now += 0.3
        connection().publish(writer.CHANNEL, b"that was all")
        heard = [body.decode() for body in iter(lambda: listener.get_message(timeout=60)["data"], b"that was all")]
    assert len(heard) == 2
    assert all('\\"image_index\\":2' in body for body in heard)
    assert sent() == []


def test_a_lost_run_cannot_write_into_the_stream_behind_a_newer_attempt() -> None:
    publish("fake-1", EventId(2, 1), "progress", {"attempt": 2})
    publish("fake-1", EventId(1, 99), "progress", {"attempt": 1})
    assert [data["attempt"] for data in sent()] == [2]


def test_a_redis_that_is_away_is_no_error_and_is_left_alone_for_a_while(monkeypatch, caplog) -> None:
    attempts = []

    def refuse(*_: object) -> None:
        attempts.append(1)
        raise writer.RedisError("connection refused")

    monkeypatch.setattr(writer, "connection", refuse)
    monkeypatch.setattr(writer, "BACK_OFF_SECONDS", 600.0)
    monkeypatch.setattr(writer, "_away_until", 0.0)
    assert not publish("fake-1", EventId(1, 1), "progress", {})
    assert not publish("fake-1", EventId(1, 2), "progress", {})
    assert len(attempts) == 1
    assert "Redis is away" in caplog.text
    monkeypatch.setattr(writer, "_away_until", 0.0)


@pytest.mark.parametrize(
    "text", ["", "abc", "1", "-1-1", "1-2-3", "1-2.", "1-2.3.4", "1-" + "9" * 40, "٣-٤", "1-2; DROP"]
)
def test_an_id_that_was_never_sent_is_none(text: str) -> None:
    assert EventId.parse(text) is None


def test_ids_are_ordered_by_attempt_and_then_by_number() -> None:
    assert EventId(1, 9) < EventId(1, 10) < EventId.of_return(1) < EventId.of_complete(1) < EventId(2, 1)


def test_what_the_row_says_between_two_events_has_an_id_of_its_own_between_theirs() -> None:
    first = EventId(1, 9).retell()
    assert [str(first), str(first.retell())] == ["1-9.1", "1-9.2"]
    assert EventId.parse("1-9.2") == first.retell()
    assert EventId(1, 9) < first < first.retell() < EventId(1, 10)
    assert first.position == "1-9"
