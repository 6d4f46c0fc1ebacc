"""A deploy under load: drain, prepare, replace every process, resume. No job is lost, and hardly a request."""

import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from urllib.request import Request, urlopen

import psutil
import pytest
import requests

from tests.api_client import Api
from tests.conftest import wait_until
from tests.faults.caught import caught_training
from tests.faults.test_dead_processes import wait_for_log
from tests.stack import ROOT, Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

PATIENCE_SECONDS = 120
PROBE_SECONDS = 0.1
STATE = ("id", "status", "attempt", "holder", "gpu_id", "token")


def manage(stack: Stack, *arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    ended = subprocess.run(command, cwd=ROOT, env=stack.environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def ask(stack: Stack, query: str, *values: str) -> list[tuple]:
    with sqlite3.connect(f"file:{stack.data_dir / 'isengard.sqlite3'}?mode=ro", uri=True, timeout=10) as database:
        return database.execute(query, values).fetchall()


def rows(stack: Stack, jobs: list[str], *columns: str) -> list[tuple]:
    marks = ", ".join("?" * len(jobs))
    return ask(stack, f"SELECT {', '.join(columns)} FROM jobs_job WHERE id IN ({marks}) ORDER BY id", *jobs)


def all_drained(stack: Stack) -> bool:
    return ask(stack, "SELECT count(*) FROM jobs_slot WHERE drained_since IS NULL") == [(0,)]


def replace(stack: Stack, *words: str) -> None:
    """Stop processes in order, and wait until those are up that the supervisor starts in their place."""
    old = [process for word in words for process in stack.processes(word)]
    assert len(old) == len(words)
    ready = stack.log.count(" ready.") + sum("@" in word for word in words)
    for process in old:
        process.terminate()
    psutil.wait_procs(old, timeout=PATIENCE_SECONDS)
    wait_until(lambda: all(stack.processes(word) for word in words), seconds=PATIENCE_SECONDS, what=f"new {words}")
    wait_until(lambda: stack.log.count(" ready.") >= ready, seconds=PATIENCE_SECONDS, what=f"{words} ready")


class Visitor:
    """Asks again and again, and remembers when it got no proper answer."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask_on)
        self.answered = 0
        self.failed: list[tuple[float, float]] = []

    def __enter__(self) -> "Visitor":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def failures_outside(self, begin: float, end: float) -> list[tuple[float, float]]:
        """Return the failed requests, from when to when, no moment of which was between the two."""
        return [(asked, failed) for asked, failed in self.failed if failed < begin or asked > end]

    def _ask_on(self) -> None:
        while not self._stop.wait(PROBE_SECONDS):
            began = time.monotonic()
            try:
                requests.get(f"{self._url}/api/training?limit=5", timeout=60).raise_for_status()
                self.answered += 1
            except requests.RequestException:
                self.failed.append((began, time.monotonic()))


class Listener:
    """Follows a job's stream to its end, coming back whenever it breaks off, as a browser does."""

    def __init__(self, stack: Stack, job: str) -> None:
        self._url = f"{stack.url}/api/jobs/{job}/stream"
        self._ids: list[str] = []
        self._fields: dict[str, str] = {}
        self._is_complete = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def wait(self) -> list[tuple[int, ...]]:
        """Return the ids of all events, the last of which was `complete`."""
        self._thread.join(PATIENCE_SECONDS)
        assert self._is_complete
        return [tuple(map(int, re.split("[-.]", sent))) for sent in self._ids]

    def _listen(self) -> None:
        while not self._is_complete:
            last = {"Last-Event-ID": self._ids[-1]} if self._ids else {}
            self._fields = {}
            with suppress(OSError, HTTPException), urlopen(Request(self._url, headers=last), timeout=60) as stream:
                for line in stream:
                    self._take(line.decode().strip())
            # A browser, too, waits before it comes back.
            time.sleep(PROBE_SECONDS)

    def _take(self, line: str) -> None:
        """An event counts once its last line has come, and that is empty."""
        name, _, value = line.partition(": ")
        if name:
            self._fields[name] = value
        elif "id" in self._fields:
            self._ids.append(self._fields["id"])
            self._is_complete |= self._fields.get("event") == "complete"
            self._fields = {}


@contextmanager
def drained(stack: Stack, trainer: psutil.Process) -> Iterator[None]:
    """Drain all slots, with the trainer held still until it is known: no machine is so busy that it ends before."""
    command = [sys.executable, "manage.py", "drain", "--wait", str(PATIENCE_SECONDS)]
    process = subprocess.Popen(command, cwd=ROOT, env=stack.environment, stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: all_drained(stack), seconds=PATIENCE_SECONDS, what="the slots to be drained")
        trainer.resume()
        said, _ = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0, said
        assert "Nothing is at work there" in said
        yield
    finally:
        process.kill()
        process.communicate()
        manage(stack, "resume")


def test_a_deploy_under_load_loses_no_job_and_no_request(api: Api, stack: Stack) -> None:
    generation = api.generate(steps=80, count=6)
    with Visitor(stack.url) as visitor, caught_training(api, stack, steps=500, saved_every=500) as caught:
        training = caught.job
        jobs = [training, generation, api.train(caught.character), api.generate()]
        listeners = [Listener(stack, job) for job in jobs]
        with drained(stack, caught.process):
            jobs.append(api.generate())
            at_rest = rows(stack, jobs, *STATE)
            assert {(holder, gpu, token) for *_, holder, gpu, token in at_rest} == {(None, None, "")}
            manage(stack, "prepare")
            replace(stack, "training@", " beat ")
            replace(stack, "generation@", "maintenance@")
            assert api.job(jobs[-1])["message"] == "Generation is drained for maintenance"
            web_stopped = time.monotonic()
            replace(stack, "isengard.server")
            wait_until(stack.is_healthy, seconds=PATIENCE_SECONDS, what="the web server")
            web_back = time.monotonic()
            assert rows(stack, jobs, *STATE) == at_rest
        for job in jobs:
            assert api.wait_for(job, seconds=PATIENCE_SECONDS)["status"] == "completed"
    assert visitor.answered > 10
    assert visitor.failures_outside(web_stopped, web_back) == []
    assert max(rows(stack, jobs, "attempt")) == (2,)
    assert set(rows(stack, jobs, "crashes")) == {(0,)}
    assert len(api.job(generation)["output_paths"]) == 6
    wait_for_log(api, training, "its slot is being drained", "RESUMING")
    for listener in listeners:
        ids = listener.wait()
        assert ids == sorted(set(ids))
