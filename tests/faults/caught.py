"""Jobs that are caught half-way: what works on them is stopped, so that no test is too late for what it does."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.api_client import ENDED, Api
from tests.conftest import wait_until
from tests.faults.standing_still import standing_still
from tests.stack import Stack, is_alive

# A job that came to its end before anybody looked is let go, and another one is ordered.
TRIES = 5
STEPS = 400
SAVED_AT = 100
# Past a checkpoint, and far from the end.
FROM_STEP, TO_STEP = 150, 350


@dataclass(frozen=True, slots=True)
class Caught:
    """A job, and the process that works on it."""

    job: str
    process: psutil.Process
    character: str = ""


def trainers(stack: Stack, job: str) -> list[psutil.Process]:
    return stack.processes("run.py", job)


@contextmanager
def caught_training(api: Api, stack: Stack, *, steps: int = STEPS, saved_every: int = SAVED_AT) -> Iterator[Caught]:
    """Give a training of which Isengard knows a part, and its checkpoint. Its trainer stands still in the block."""
    for _ in range(TRIES):
        character = api.make_character()
        job = api.train(character, steps=steps, checkpoint_every_n_steps=saved_every)
        wait_until(lambda: _step(stack, job) >= FROM_STEP or _has_ended(api, job), what=f"step {FROM_STEP}")  # noqa: B023
        for trainer in trainers(stack, job)[:1]:
            with standing_still(trainer, *_databases(stack, job)):
                if is_alive(trainer) and FROM_STEP <= _step(stack, job) < TO_STEP:
                    _wait_for_the_news(api, job, has_checkpoint=saved_every < FROM_STEP)
                    yield Caught(job, trainer, character)
                    return
        api.wait_for(job)
    raise AssertionError(f"{TRIES} trainings ended before they could be caught")


def _wait_for_the_news(api: Api, job: str, *, has_checkpoint: bool) -> None:
    """Isengard's own row is up to a second behind the trainer."""
    wait_until(lambda: api.job(job)["current_step"] >= FROM_STEP, what=f"the news of step {FROM_STEP}")
    if has_checkpoint:
        wait_until(lambda: api.get(f"/api/jobs/{job}/checkpoints")["total_count"], what="a checkpoint")


@contextmanager
def caught_generation(api: Api, stack: Stack) -> Iterator[Caught]:
    """Give one of four images of which the first is made. Its ComfyUI stands still in the block."""
    for _ in range(TRIES):
        job = api.generate(steps=60, count=4, seed=100)
        wait_until(lambda: _images(api, job), what="the first image")  # noqa: B023
        (server,) = stack.processes("generation.engines.simulator")
        with standing_still(server):
            if _images(api, job) <= 2:
                yield Caught(job, server)
                return
        api.wait_for(job)
    raise AssertionError(f"{TRIES} generations ended before they could be caught")


def _images(api: Api, job: str) -> int:
    return len(api.job(job)["output_paths"])


def _has_ended(api: Api, job: str) -> bool:
    return api.job(job)["status"] in ENDED


def _databases(stack: Stack, job: str) -> list[Path]:
    """What the trainer tells where it is, and what it learnt."""
    workspace = stack.data_dir / "workspaces" / job
    return [*workspace.glob("job-*.db"), *workspace.glob("output/*/loss_log.db")]


def _step(stack: Stack, job: str) -> int:
    """Return where the trainer is, from the row in which it tells that; 0 where there is none."""
    for path in (stack.data_dir / "workspaces" / job).glob("job-*.db"):
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
                return int(database.execute("SELECT step FROM Job").fetchone()[0])
        except (sqlite3.Error, TypeError):
            # It is being made, or is gone already.
            return 0
    return 0
