"""Several processes want the same at the same moment, on either database: exactly one gets it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.postgresql import PostgreSQL
from tests.stack import ROOT

# More than all processes of a race have together to come back (`racing.FINISH_SECONDS`).
pytestmark = pytest.mark.timeout(900)

Hold = Callable[[str], Any]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def hold(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hold]:
    """Hold a race and return what came of it. The database and those who race are there for all races."""
    folder = tmp_path_factory.mktemp("races")
    environment = os.environ | {"ISENGARD_DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "isengard.settings"}
    environment["DATABASE_URL"] = f"sqlite:///{folder / 'races.sqlite3'}"
    if request.param == "postgresql":
        environment["DATABASE_URL"] = request.getfixturevalue("races_server").url()
    argv = [sys.executable, "-m", "tests.jobs.racing"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(argv, cwd=ROOT, env=environment, text=True, stderr=log, **pipes) as course,
    ):

        def hold_race(name: str) -> Any:
            course.stdin.write(f"{name}\n")
            course.stdin.flush()
            answer = course.stdout.readline()
            assert answer, (folder / "log").read_text()[-4000:]
            return json.loads(answer)

        yield hold_race
        course.stdin.close()


@pytest.fixture(scope="module")
def races_server() -> Iterator[PostgreSQL]:
    server = PostgreSQL().start()
    yield server
    server.stop()


def test_six_processes_claim_two_hundred_jobs_exactly_once_each(hold: Hold) -> None:
    came = hold("claiming")
    jobs = [f"fake-{n:03d}" for n in range(200)]
    assert came["claimed"] == jobs
    assert came["attempts"] == [[job, 1] for job in jobs]
    # SQLite's lock is not fair, so that one may come away with nothing; but it was a race.
    assert came["fed"] > 1


def test_a_job_that_is_claimed_and_cancelled_at_once_is_cancelled_and_keeps_its_holder_if_it_has_one(
    hold: Hold,
) -> None:
    came = hold("claim_against_cancel")
    assert {tuple(job) for job in came} <= {("cancelled", True, True), ("cancelled", False, False)}
    assert len(came) == 30


def test_two_reapers_give_each_job_of_a_dead_worker_back_once(hold: Hold) -> None:
    came = hold("two_reapers")
    assert came == {"reaped": 20, "jobs": [["queued", 1, 1, ""]], "attempts": [[1, "crashed"]]}


def test_of_an_end_and_a_cancel_one_wins_and_the_row_says_which(hold: Hold) -> None:
    came = hold("complete_against_cancel")
    assert {tuple(job) for job in came} <= {(True, False, "completed"), (False, True, "cancelled")}
    assert len(came) == 30


def test_of_several_retries_of_a_job_one_makes_a_new_one(hold: Hold) -> None:
    came = hold("retry_of_the_same_job")
    assert [came["made"]] == came["jobs"]
    assert len(came["made"]) == 1


def test_requests_with_the_same_key_get_one_job_which_is_new_to_one_of_them(hold: Hold) -> None:
    came = hold("idempotency_twins")
    assert len(came["jobs"]) == 1
    assert sorted(came["answers"]) == [[came["jobs"][0], False]] * 5 + [[came["jobs"][0], True]]


def test_two_kinds_never_have_a_gpu_at_the_same_time(hold: Hold) -> None:
    assert hold("one_gpu_for_two_kinds") == {"met": [0, 0], "jobs": [["completed", 1]]}


def test_no_version_of_a_lora_is_given_out_twice(hold: Hold) -> None:
    assert hold("versions_of_one_character") == list(range(1, 41))
