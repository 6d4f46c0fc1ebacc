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

from tests.api_client import ENDED, Api
from tests.conftest import wait_until
from tests.stack import Stack, is_alive
from tests.training.holding import Hold

pytestmark = pytest.mark.stack

LOOK_SECONDS = 0.1
# Long enough to be over before the short trainings are, and short enough to wait for.
WINDOW_MINUTES = "0.04"
# Held while others wait, a training is asked for nothing: only the clock's messages make it give way.
CLOCK = ("celery", "beat", "--pidfile=")
PAUSED = re.compile(r"Paused for waiting generations; goes on at step (\d+)\. Waiting for the GPU: (gen-\w+) is .*")


@pytest.fixture(scope="module")
def hold(tmp_path_factory: pytest.TempPathFactory) -> Hold:
    """Holds the trainers of `exclusive` at a step."""
    hold = Hold(tmp_path_factory.mktemp("hold"), at=0)
    hold.let_go()
    return hold


@pytest.fixture(scope="module")
def exclusive(tmp_path_factory: pytest.TempPathFactory, hold: Hold) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("exclusive") / "data"
    settings = {"ISENGARD_GPU_SHARING": "exclusive", "ISENGARD_GENERATION_WINDOW_MINUTES": WINDOW_MINUTES}
    running = Stack(folder, AI_TOOLKIT_PYTHON=hold.python, **settings)
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture
def api(exclusive: Stack) -> Api:
    return Api(exclusive.url)


@pytest.fixture(autouse=True)
def _nothing_is_left(exclusive: Stack, api: Api, hold: Hold) -> Iterator[None]:
    """A test that failed half-way leaves nothing that would hold up the next one."""
    yield
    hold.let_go()
    exclusive.spoil_comfyui()
    for job in api.get("/api/training") + api.get("/api/generation"):
        if job["status"] not in ENDED:
            api.cancel(job["id"])


class Watchman:
    """Keeps looking for trainers, and afterwards compares with what ComfyUI executed."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._is_over = threading.Event()
        # Between which two times there was a trainer: when exactly, a look cannot tell.
        self._seen: list[tuple[float, float]] = []
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
            if any(map(is_alive, trainers(self._stack))):
                self._seen.append((before, time.time()))

    def assert_never_both(self, generations: list[str]) -> None:
        executed = [times for job, times in executions(self._stack).items() if job in generations]
        assert len(executed) == len(generations)
        assert self._seen, "no trainer was seen"
        both = [(seen, run) for seen in self._seen for run in executed if run[0] < seen[0] and seen[1] < run[1]]
        assert not both


def trainers(stack: Stack) -> list[psutil.Process]:
    return stack.processes("run.py")


def last_sign_of(process: psutil.Process) -> float:
    """Wait for the end of the process; return the last time at which it was certainly there."""
    seen = [0.0]

    def is_gone() -> bool:
        before = time.time()
        if is_alive(process):
            seen.append(before)
            return False
        return True

    wait_until(is_gone, what="the end of the trainer")
    return seen[-1]


def executions(stack: Stack) -> dict[str, tuple[float, float]]:
    """Return start and end of each generation of one image, by the clock that this test reads too."""
    history = requests.get(f"{stack.comfyui_url}/history", timeout=60).json()
    found = {}
    for entry in history.values():
        times = {event: data["timestamp"] / 1000 for event, data in entry["status"]["messages"]}
        job = entry["prompt"][3]["isengard"]["job"]
        found[job] = times["execution_start"], times.get("execution_success") or times["execution_interrupted"]
    return found


def query(stack: Stack, sql: str, *parameters: object) -> list[tuple]:
    with sqlite3.connect(stack.data_dir / "isengard.sqlite3", timeout=60) as database:
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


def test_a_long_training_saves_makes_room_and_goes_on_where_it_was(exclusive: Stack, api: Api, hold: Hold) -> None:
    exclusive.spoil_comfyui("hang")
    hold.at(50)
    with Watchman(exclusive) as watchman:
        training = api.train(api.make_character(), steps=1000, checkpoint_every_n_steps=2000)
        wait_until(lambda: api.job(training)["current_step"] > 10, what="its first steps")
        with exclusive.held(*CLOCK):
            first = api.generate(steps=100)
            told = wait_until(lambda: api.job(first)["message"], what="a reason")
            assert re.fullmatch(rf"Waiting for the GPU: {training} is training \(\d+ %\)", told)
            hold.let_go()
        paused = wait_until(lambda: PAUSED.fullmatch(api.job(training)["message"]), what="the pause")
        assert paused[2] == first
        # There it hangs until it is cancelled, so that nobody is too late for the pause.
        exclusive.wait_for_faults()
        second = api.generate(steps=30)
        api.cancel(first)
        assert api.wait_for(second)["status"] == "completed"
        ended = api.wait_for(training)
    watchman.assert_never_both([first, second])
    assert (ended["status"], ended["attempt"], ended["current_step"]) == ("completed", 2, 1000)
    ends = dict(query(exclusive, "SELECT id, completed_at FROM jobs_job"))
    assert ends[first] < ends[second] < ends[training]
    log = " ".join(line["message"] for line in api.whole_log(training))
    for text in ("Makes room for waiting jobs", "gave back 12.0 GiB", f"Going on from step {paused[1]} of 1000"):
        assert text in log
    # By then it had been told that others wait.
    assert 50 <= int(paused[1]) < 1000
    assert query(exclusive, "SELECT crashes FROM jobs_job WHERE id = ?", training) == [(0,)]
    points = api.get(f"/api/training/{training}/loss?points=2000")["points"]
    assert [point["step"] for point in points] == list(range(points[0]["step"], 1001))


def test_a_worker_killed_with_the_gpu_leaves_it_only_when_its_trainer_is_gone(
    exclusive: Stack, api: Api, hold: Hold
) -> None:
    hold.at(50)
    with Watchman(exclusive) as watchman:
        training = api.train(api.make_character(), steps=300)
        wait_until(lambda: api.job(training)["current_step"] > 10, what="its first steps")
        (trainer,) = trainers(exclusive)
        with exclusive.held(*CLOCK):
            generation = api.generate(steps=30)
            # Otherwise the training, which is older, would be the first to go on.
            query(exclusive, "UPDATE jobs_job SET priority = 1 WHERE id = ?", generation)
            exclusive.processes("celery", "worker", "training@")[0].kill()
        last_sign = last_sign_of(trainer)
        hold.let_go()
        assert [api.wait_for(job)["status"] for job in (generation, training)] == ["completed", "completed"]
    watchman.assert_never_both([generation])
    start, end = executions(exclusive)[generation]
    assert start > last_sign
    assert any("its worker process died" in line["message"] for line in api.whole_log(training))
    assert query(exclusive, "SELECT completed_at FROM jobs_job WHERE id = ?", training)[0][0] > utc(end)


def utc(timestamp: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(timestamp))
