"""Looks from time to time, during the run, whether one job is being worked on twice."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil
import requests

JOB_VARIABLE, ATTEMPT_VARIABLE = "ISENGARD_JOB", "ISENGARD_ATTEMPT"
TAG = "isengard"
PROCESS = "process "
LOOK_EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Work:
    """An attempt at a job that some engine is at work on; `place` is a process or a ComfyUI server."""

    job: str
    attempt: int
    place: str


class Witness:
    """`doubles` says what was seen. Each suspicion is looked at twice: two looks are not one moment."""

    def __init__(self, comfyui_urls: list[str]) -> None:
        self._urls = comfyui_urls
        self._is_over = threading.Event()
        self.doubles: list[str] = []
        self.looks = 0
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if not self._thread.is_alive():
            self.doubles.append("nobody knows: the witness broke off")
        self._is_over.set()
        self._thread.join(10)

    def _look_on(self) -> None:
        while not self._is_over.wait(LOOK_EVERY_SECONDS):
            self.looks += 1
            for first in doubled(self._at_work()):
                still = set(self._at_work())
                if still.issuperset(first):
                    self.doubles.append(f"{first[0].job} was worked on twice at once: {first}")

    def _at_work(self) -> list[Work]:
        return [*trainers(), *(work for url in self._urls for work in prompts(url))]


def doubled(at_work: list[Work]) -> list[list[Work]]:
    """Return the work at jobs of which more than one attempt is at work, or one on more than one server.

    An attempt has one slot, and that is one server; the processes of a trainer are many.
    """
    by_job: dict[str, list[Work]] = defaultdict(list)
    for work in at_work:
        by_job[work.job].append(work)
    return [works for works in by_job.values() if _is_doubled(works)]


def _is_doubled(works: list[Work]) -> bool:
    servers = {work.place for work in works if not work.place.startswith(PROCESS)}
    return len({work.attempt for work in works}) > 1 or len(servers) > 1


def trainers() -> Iterator[Work]:
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError, ValueError):
            environment = process.environ()
            if {JOB_VARIABLE, ATTEMPT_VARIABLE} <= environment.keys() and process.status() != psutil.STATUS_ZOMBIE:
                yield Work(environment[JOB_VARIABLE], int(environment[ATTEMPT_VARIABLE]), f"{PROCESS}{process.pid}")


def prompts(url: str) -> Iterator[Work]:
    """Yield what the server samples now. What merely waits there is taken back when its turn would come."""
    with suppress(requests.RequestException, ValueError):
        running: list[list[Any]] = requests.get(f"{url}/queue", timeout=1).json()["queue_running"]
        for item in running:
            tag = item[3].get(TAG)
            if tag:
                yield Work(tag["job"], int(tag["attempt"]), url)
