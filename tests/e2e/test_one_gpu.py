"""One GPU that trainings and generations share by turns: never both at once, each in its turn, and with windows.

What was on the GPU is not taken from Isengard's own rows: trainers are looked for among the processes, and the stand-in
for ComfyUI says when it executed what.
"""

import re
import sqlite3
import threading
import time
from collections.abc import Iterator

import psutil
import pytest
import requests

from tests.api_client import Api
from tests.conftest import wait_until
from tests.stack import Stack

pytestmark = pytest.mark.stack

LOOK_SECONDS = 0.1
# Long enough to be over before the short trainings are, and short enough to wait for.
WINDOW_MINUTES = "0.04"
PAUSED = re.compile(r"Paused for waiting generations; goes on at step (\d+)\. Waiting for the GPU: (gen-\w+) is .*")


@pytest.fixture(scope="module")
def exclusive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("exclusive") / "data"
    settings = {"ISENGARD_GPU_SHARING": "exclusive", "ISENGARD_GENERATION_WINDOW_MINUTES": WINDOW_MINUTES}
    running = Stack(folder, **settings)
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture
def api(exclusive: Stack) -> Api:
    return Api(exclusive.url)


class Watchman:
    """Keeps looking for trainers, and afterwards compares with what ComfyUI executed."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._is_over = threading.Event()
        self._seen: list[float] = []
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Watchman":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._is_over.wait(LOOK_SECONDS):
            before = time.time()
            if any(process.status() != psutil.STATUS_ZOMBIE for process in trainers(self._stack)):
                self._seen.append(before)

    def assert_never_both(self, generations: list[str]) -> None:
        executed = [times for job, times in executions(self._stack).items() if job in generations]
        assert len(executed) == len(generations)
        assert len(self._seen) > 10
        both = [(seen, times) for seen in self._seen for times in executed if times[0] < seen < times[1]]
        assert not both


def trainers(stack: Stack) -> list[psutil.Process]:
    return stack.processes("run.py")


def executions(stack: Stack) -> dict[str, tuple[float, float]]:
    """Return start and end of each generation of one image, by the clock that this test reads too."""
    url = (stack.data_dir / "run" / "comfyui.url").read_text().strip()
    history = requests.get(f"{url}/history", timeout=5).json()
    found = {}
    for entry in history.values():
        times = {event: data["timestamp"] / 1000 for event, data in entry["status"]["messages"]}
        job = entry["prompt"][3]["isengard"]["job"]
        found[job] = times["execution_start"], times["execution_success"]
    return found


def query(stack: Stack, sql: str, *parameters: object) -> list[tuple]:
    with sqlite3.connect(stack.data_dir / "isengard.sqlite3", timeout=10) as database:
        return database.execute(sql, parameters).fetchall()


def test_the_kinds_take_turns_by_age_and_never_meet_on_the_gpu(exclusive: Stack, api: Api) -> None:
    character = api.make_character()
    jobs = []
    with Watchman(exclusive) as watchman:
        for _ in range(2):
            jobs += [api.generate(steps=30), api.generate(steps=30), api.train(character)]
        for job in jobs:
            assert api.wait_for(job)["status"] == "completed"
    watchman.assert_never_both([job for job in jobs if job.startswith("gen-")])
    starts = dict(query(exclusive, "SELECT id, started_at FROM jobs_job"))
    assert starts[jobs[2]] < min(starts[job] for job in jobs[3:]), "the first training waited for younger jobs"


def test_a_long_training_saves_makes_room_and_goes_on_where_it_was(exclusive: Stack, api: Api) -> None:
    with Watchman(exclusive) as watchman:
        training = api.train(api.make_character(), steps=1000, checkpoint_every_n_steps=2000)
        wait_until(lambda: api.job(training)["current_step"] > 10, what="its first steps")
        generation = api.generate(steps=100)
        told = wait_until(lambda: api.job(generation)["message"], what="a reason")
        assert re.fullmatch(rf"Waiting for the GPU: {training} is training \(\d+ %\)", told)
        paused = wait_until(lambda: PAUSED.fullmatch(api.job(training)["message"]), what="the pause", seconds=60)
        assert api.wait_for(generation)["status"] == "completed"
        assert api.job(training)["status"] != "completed"
        ended = api.wait_for(training)
    watchman.assert_never_both([generation])
    assert (ended["status"], ended["attempt"], ended["current_step"]) == ("completed", 2, 1000)
    assert paused[2] == generation
    log = api.call("GET", f"/api/jobs/{training}/logs").text
    for text in ("Makes room for waiting jobs", "gave back 12.0 GiB", f"Going on from step {paused[1]} of 1000"):
        assert text in log
    assert 100 < int(paused[1]) < 1000
    assert query(exclusive, "SELECT crashes FROM jobs_job WHERE id = ?", training) == [(0,)]
    points = api.get(f"/api/training/{training}/loss?points=2000")["points"]
    assert [point["step"] for point in points] == list(range(points[0]["step"], 1001))


def test_a_worker_killed_with_the_gpu_leaves_it_only_when_its_trainer_is_gone(exclusive: Stack, api: Api) -> None:
    with Watchman(exclusive) as watchman:
        training = api.train(api.make_character(), steps=300)
        wait_until(lambda: api.job(training)["current_step"] > 10, what="its first steps")
        generation = api.generate(steps=30)
        # Otherwise the training, which is older, would be the first to go on.
        query(exclusive, "UPDATE jobs_job SET priority = 1 WHERE id = ?", generation)
        (trainer,) = trainers(exclusive)
        exclusive.processes("celery", "worker", "training@")[0].kill()
        psutil.wait_procs([trainer], timeout=10)
        gone_at = time.time()
        assert not trainer.is_running()
        assert [api.wait_for(job)["status"] for job in (generation, training)] == ["completed", "completed"]
    watchman.assert_never_both([generation])
    start, end = executions(exclusive)[generation]
    assert start > gone_at - 0.1
    assert "its worker process died" in api.call("GET", f"/api/jobs/{training}/logs").text
    assert query(exclusive, "SELECT completed_at FROM jobs_job WHERE id = ?", training)[0][0] > utc(end)


def utc(timestamp: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(timestamp))
