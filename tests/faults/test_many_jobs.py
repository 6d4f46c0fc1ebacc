"""Fifty jobs at once: all end well, in order of age, none twice."""

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.api_client import Api
from tests.conftest import wait_until
from tests.stack import ROOT, Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

GENERATIONS = 44
TRAININGS = 6


def rows(stack: Stack) -> list[tuple]:
    """Return all jobs in order of age, with the time of their newest claim."""
    query = """
        SELECT jobs_job.id, kind, status, attempt, claimed_at FROM jobs_job
        LEFT JOIN jobs_attempt ON jobs_attempt.job_id = jobs_job.id AND jobs_attempt.number = attempt
        ORDER BY created_at, jobs_job.id
    """
    with sqlite3.connect(f"file:{stack.data_dir / 'isengard.sqlite3'}?mode=ro", uri=True, timeout=10) as database:
        return database.execute(query).fetchall()


def manage(stack: Stack, verb: str) -> None:
    for kind in ("training", "generation"):
        command = [sys.executable, "manage.py", "queue", verb, kind]
        subprocess.run(command, cwd=ROOT, env=stack.environment, check=True, capture_output=True)


def test_fifty_jobs_started_at_once_all_end_well_in_order_and_once(api: Api, stack: Stack) -> None:
    characters = [api.make_character() for _ in range(2)]
    # Held back until all are there: a job cannot be overtaken by one that nobody has heard of yet.
    manage(stack, "pause")
    wanted = [lambda: api.generate(steps=1)] * GENERATIONS
    wanted += [lambda n=n: api.train(characters[n % 2], steps=100, sample_count=1) for n in range(TRAININGS)]
    with ThreadPoolExecutor(16) as pool:
        jobs = set(pool.map(lambda start: start(), wanted))
    assert len(jobs) == GENERATIONS + TRAININGS
    manage(stack, "resume")

    def ours() -> list[tuple]:
        return [row for row in rows(stack) if row[0] in jobs]

    wait_until(lambda: all(row[2] == "completed" for row in ours()), seconds=400, what="the end of all jobs")
    assert {row[3] for row in ours()} == {1}
    for kind in ("training", "generation"):
        claims = [row[4] for row in ours() if row[1] == kind]
        # Claims are in order. Of two that one ComfyUI holds, either may be sent there first.
        assert claims == sorted(claims)
    versions = [api.get(f"/api/characters/{character}")["lora_path"] for character in characters]
    assert [path.rsplit("/", 1)[1] for path in versions] == [f"v{TRAININGS // 2}.safetensors"] * 2
