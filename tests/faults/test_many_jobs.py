"""A hundred jobs at once: all end well, in order of age, none twice."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.api_client import Api
from tests.conftest import wait_until
from tests.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

GENERATIONS = 90
TRAININGS = 10


def rows(stack: Stack) -> list[tuple]:
    query = "SELECT id, kind, status, attempt, created_at, started_at FROM jobs_job"
    with sqlite3.connect(f"file:{stack.data_dir / 'isengard.sqlite3'}?mode=ro", uri=True, timeout=10) as database:
        return database.execute(query + " ORDER BY created_at").fetchall()


def test_a_hundred_jobs_started_at_once_all_end_well_in_order_and_once(api: Api, stack: Stack) -> None:
    characters = [api.make_character() for _ in range(2)]
    wanted = [lambda: api.generate(steps=1)] * GENERATIONS
    wanted += [lambda n=n: api.train(characters[n % 2], steps=100, sample_count=1) for n in range(TRAININGS)]
    with ThreadPoolExecutor(16) as pool:
        jobs = set(pool.map(lambda start: start(), wanted))
    assert len(jobs) == GENERATIONS + TRAININGS

    def ours() -> list[tuple]:
        return [row for row in rows(stack) if row[0] in jobs]

    wait_until(lambda: all(row[2] == "completed" for row in ours()), seconds=240, what="the end of all jobs")
    assert {row[3] for row in ours()} == {1}
    for kind in ("training", "generation"):
        starts = [row[5] for row in ours() if row[1] == kind]
        assert starts == sorted(starts)
    versions = [api.get(f"/api/characters/{character}")["lora_path"] for character in characters]
    assert [path.rsplit("/", 1)[1] for path in versions] == ["v5.safetensors"] * 2
