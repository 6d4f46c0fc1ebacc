"""One GPU that trainings and generations share by turns: never both at once, and each in its turn."""

import sqlite3
from collections.abc import Iterator

import pytest

from tests.api_client import Api
from tests.stack import Stack

pytestmark = pytest.mark.stack


@pytest.fixture
def exclusive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = Stack(tmp_path_factory.mktemp("exclusive") / "data", ISENGARD_GPU_SHARING="exclusive")
    try:
        yield running.start()
    finally:
        running.stop()


def runs(stack: Stack) -> list[tuple[str, str, str]]:
    """Return kind, start and end of each job, the oldest job first."""
    query = "SELECT kind, started_at, completed_at FROM jobs_job ORDER BY created_at"
    with sqlite3.connect(f"file:{stack.data_dir / 'isengard.sqlite3'}?mode=ro", uri=True, timeout=10) as database:
        return database.execute(query).fetchall()


def test_the_kinds_take_turns_by_age_and_never_meet_on_the_gpu(exclusive: Stack) -> None:
    api = Api(exclusive.url)
    character = api.make_character()
    jobs = []
    for _ in range(2):
        jobs += [api.generate(steps=30), api.generate(steps=30), api.train(character)]
    for job in jobs:
        assert api.wait_for(job)["status"] == "completed"
    trainings = [run for run in runs(exclusive) if run[0] == "training"]
    generations = [run for run in runs(exclusive) if run[0] == "generation"]
    for _, start, end in trainings:
        assert not [other for other in generations if other[1] < end and start < other[2]]
    starts = [run[1] for run in runs(exclusive)]
    assert starts[2] < min(starts[3:]), "the first training waited for jobs that came after it"
