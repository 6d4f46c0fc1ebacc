"""The lists of completed and of unfinished trainings."""

import pytest
from django.test import Client
from django.utils import timezone

from characters.models import Character
from jobs.models import LIVE, TERMINAL, Job, Status

pytestmark = pytest.mark.django_db

SUCCESSFUL, ONGOING = "/api/training/successful", "/api/training/ongoing"
ORDER = {"base_model": "flux-dev", "preset_name": None, "trigger_word": "ann", "character_name": "Ann", "count": 1}


def made(status: str, *, number: int = 0, kind: str = "training", character_id: str = "char-ann") -> Job:
    token = "t" * 32 if status == Status.RUNNING else ""
    return Job.objects.create(
        id=f"{kind}-{character_id}-{status}-{number}",
        kind=kind,
        character_id=character_id,
        status=status,
        token=token,
        order=ORDER,
        completed_at=timezone.now() if status in TERMINAL else None,
    )


@pytest.fixture
def one_of_each(db: None) -> None:
    for status in Status.values:
        made(status)
        made(status, kind="generation")


@pytest.mark.parametrize(("path", "states"), [(SUCCESSFUL, ["completed"]), (ONGOING, [str(s) for s in LIVE])])
def test_a_list_has_the_trainings_in_its_states_and_nothing_else(api, one_of_each, path: str, states: list) -> None:
    answer = api.get(path)
    assert answer.status_code == 200
    assert sorted(job["status"] for job in answer.json()) == sorted(states)
    assert all(job["id"].startswith("training-") for job in answer.json())
    assert answer.headers["X-Total-Count"] == str(len(states))


@pytest.mark.parametrize(("path", "status"), [(SUCCESSFUL, "completed"), (ONGOING, "queued")])
def test_the_newest_come_first_page_by_page(api: Client, path: str, status: str) -> None:
    ids = [made(status, number=number).pk for number in range(3)]
    assert [job["id"] for job in api.get(path).json()] == ids[::-1]
    page = api.get(f"{path}?limit=1&offset=1")
    assert [job["id"] for job in page.json()] == [ids[1]]
    assert page.headers["X-Total-Count"] == "3"


@pytest.mark.parametrize(("path", "status"), [(SUCCESSFUL, "completed"), (ONGOING, "running")])
def test_a_list_can_be_of_one_character(api: Client, path: str, status: str) -> None:
    mine = made(status, character_id="char-ann").pk
    made(status, character_id="char-bob")
    assert [job["id"] for job in api.get(f"{path}?character_id=char-ann").json()] == [mine]
    assert api.get(f"{path}?character_id=char-nobody").json() == []


@pytest.mark.parametrize("path", [SUCCESSFUL, ONGOING])
def test_the_lists_have_the_jobs_as_the_other_endpoints_do(api: Client, trainable: Character, path: str) -> None:
    started = api.post("/api/training", {"character_id": trainable.pk}, content_type="application/json").json()["id"]
    if path == SUCCESSFUL:
        Job.objects.update(status=Status.COMPLETED, completed_at=timezone.now())
    (listed,) = api.get(path).json()
    assert listed == api.get(f"/api/training/{started}").json()


@pytest.mark.parametrize("path", [SUCCESSFUL, ONGOING])
@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "offset=-1", "character_id=a%00b"])
def test_a_bad_query_is_named(api: Client, path: str, query: str) -> None:
    answer = api.get(f"{path}?{query}")
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(query.split("=")[0])


@pytest.mark.parametrize("path", [SUCCESSFUL, ONGOING])
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_the_lists_are_only_read(api: Client, path: str, method: str) -> None:
    assert getattr(api, method)(path).status_code == 405


@pytest.mark.parametrize("word", ["successful", "ongoing"])
def test_the_words_are_no_job_ids(api: Client, word: str) -> None:
    answer = api.post(f"/api/training/{word}/cancel")
    assert (answer.status_code, answer.json()) == (404, {"detail": f"Job {word} not found"})
