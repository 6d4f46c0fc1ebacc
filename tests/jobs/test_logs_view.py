"""A job's log page by page: filters, counts, and the move from rows into the archive."""

import pytest
from django.test import Client

from jobs import log
from jobs.log_search import read_settled
from jobs.models import Job
from tests.jobs.fakes import FakeKind, make_job

pytestmark = pytest.mark.django_db

LINES = [
    ("INFO", "job.accepted", "Training accepted", {}),
    ("INFO", "job.claimed", "Attempt started", {"attempt": 1}),
    ("WARNING", "training.parameter", "network_alpha has no effect", {}),
    ("INFO", "artifact.sample", "Published", {"name": "step_00100.png", "step": 100}),
    ("INFO", "artifact.checkpoint", "Published", {"name": "train_100.safetensors"}),
    ("ERROR", "job.failed", "The GPU ran out of memory: Größe", {}),
]
WAYS = ["rows", "archive", "both"]


@pytest.fixture
def job(fake_kind: FakeKind) -> Job:
    return make_job()


def write(job: Job, lines: list[tuple]) -> None:
    for level, event, message, fields in lines:
        log.write(job.pk, message, event=event, level=level, **fields)


@pytest.fixture(params=WAYS)
def logged(job: Job, request: pytest.FixtureRequest) -> Job:
    """The same six lines as rows, as an archive, and as an archive with newer rows behind it."""
    archived = {"rows": 0, "archive": len(LINES), "both": 4}[request.param]
    write(job, LINES[:archived])
    log.archive(job)
    write(job, LINES[archived:])
    return job


def view(client: Client, job: Job, query: str = "", *, expect: int = 200) -> dict:
    answer = client.get(f"/api/jobs/{job.pk}/logs/view{query}")
    assert answer.status_code == expect, answer.content
    return answer.json()


def events(answer: dict) -> list[str]:
    return [entry["event"] for entry in answer["entries"]]


def test_all_lines_come_oldest_first_with_every_field(client: Client, logged: Job) -> None:
    answer = view(client, logged)
    assert [(e["level"], e["event"], e["message"], e["fields"]) for e in answer["entries"]] == LINES
    assert all(entry["timestamp"].endswith("Z") for entry in answer["entries"])
    del answer["entries"]
    assert answer == {"job_id": logged.pk, "total_lines": 6, "has_more": False}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("level=ERROR", ["job.failed"]),
        ("level=warning", ["training.parameter"]),
        ("event=job.failed", ["job.failed"]),
        ("event=artifact", ["artifact.sample", "artifact.checkpoint"]),
        ("event=artifact.samp", []),
        ("search=published", ["artifact.sample", "artifact.checkpoint"]),
        ("search=STEP_00100", ["artifact.sample"]),
        ("search=gr%C3%B6sse", ["job.failed"]),
        ("search=.*", []),
        ("search=", [event for _, event, _, _ in LINES]),
        ("level=INFO&event=artifact&search=safetensors", ["artifact.checkpoint"]),
        ("level=DEBUG", []),
    ],
)
def test_a_filter_finds_its_lines_and_counts_them(client: Client, logged: Job, query: str, found: list[str]) -> None:
    answer = view(client, logged, f"?{query}")
    assert (events(answer), answer["total_lines"], answer["has_more"]) == (found, len(found), False)


@pytest.mark.parametrize(
    ("query", "found", "has_more"),
    [
        ("limit=2", ["job.accepted", "job.claimed"], True),
        ("limit=2&offset=4", ["artifact.checkpoint", "job.failed"], False),
        ("limit=1&offset=5", ["job.failed"], False),
        ("offset=6", [], False),
        ("offset=2147483647", [], False),
    ],
)
def test_pages_join_without_gaps(client: Client, logged: Job, query: str, found: list[str], has_more: bool) -> None:
    answer = view(client, logged, f"?{query}")
    assert (events(answer), answer["total_lines"], answer["has_more"]) == (found, 6, has_more)


def test_offset_and_limit_count_after_filtering(client: Client, logged: Job) -> None:
    answer = view(client, logged, "?level=INFO&offset=1&limit=2")
    assert (events(answer), answer["total_lines"]) == (["job.claimed", "artifact.sample"], 4)
    assert answer["has_more"]


def test_a_hundred_lines_come_unless_more_are_asked_for(client: Client, job: Job) -> None:
    write(job, [("INFO", "engine.console", f"line {number}", {}) for number in range(101)])
    first = view(client, job)
    assert (len(first["entries"]), first["total_lines"], first["has_more"]) == (100, 101, True)
    assert len(view(client, job, "?limit=1000")["entries"]) == 101


def test_a_job_without_lines_has_an_empty_page(client: Client, job: Job) -> None:
    assert view(client, job) == {"job_id": job.pk, "entries": [], "total_lines": 0, "has_more": False}


BAD_NUMBERS = [
    "limit=0",
    "limit=1001",
    "limit=ten",
    "limit=",
    "limit=-1",
    "offset=-1",
    "offset=2147483648",
    "offset=1.5",
]
BAD_TEXTS = ["level=LOUD", "level=", "level=%00", "event=a%00b", "search=a%00b"]


@pytest.mark.parametrize("query", [*BAD_NUMBERS, *BAD_TEXTS, f"search={'x' * 201}", f"event={'x' * 201}"])
def test_a_bad_query_is_named(client: Client, job: Job, query: str) -> None:
    assert view(client, job, f"?{query}", expect=400)["detail"].startswith(f"{query.split('=')[0]}:")


@pytest.mark.parametrize("job_id", ["train-xxx", "%00", "x" * 300])
def test_an_unknown_job_is_404(client: Client, job_id: str) -> None:
    answer = client.get(f"/api/jobs/{job_id}/logs/view")
    assert answer.status_code == 404
    assert answer.json()["detail"].endswith("not found")


def test_lines_that_are_archived_while_they_are_read_are_read_again(job: Job) -> None:
    write(job, LINES)
    reader = Job.objects.get(pk=job.pk)
    readings = []

    def read() -> list[bytes]:
        if not readings:
            log.archive(job)
        readings.append(list(log.lines(reader)))
        return readings[-1]

    assert len(read_settled(reader, read)) == len(LINES)
    assert [len(lines) for lines in readings] == [0, len(LINES)]


def test_an_archive_that_is_gone_is_404_and_logged(client: Client, job: Job, caplog: pytest.LogCaptureFixture) -> None:
    Job.objects.filter(pk=job.pk).update(log_key="logs/gone.jsonl")
    assert view(client, job, expect=404) == {"detail": "Job logs not found"}
    assert client.get(f"/api/jobs/{job.pk}/logs").status_code == 404
    assert "archived log is missing" in caplog.text


def test_a_get_of_a_page_writes_nothing(client: Client, logged: Job) -> None:
    before = list(logged.log_lines.values_list("pk", flat=True))
    view(client, logged)
    assert list(logged.log_lines.values_list("pk", flat=True)) == before
