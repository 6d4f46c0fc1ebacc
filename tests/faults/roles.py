"""What a forked process can be: a worker, a reaper, whoever comes after them, or the web server."""

import gc
import json
import signal
from pathlib import Path
from typing import Any

from celery import current_app
from django.conf import settings
from PIL import Image
from rest_framework.test import APIClient

from jobs import kinds, lease, narrator, reaper, runner, tasks, worker
from tests.faults import effects
from tests.faults.short_kinds import ShortGeneration, ShortTraining

NO_BEAT_SECONDS = 60.0
QUICK_BEAT_SECONDS = 0.02
ELSEWHERE = "elsewhere"


def prepare() -> None:
    """Make the number of effects of a role the same each time: none of them depends on a clock."""
    for kind in (ShortTraining(), ShortGeneration()):
        kinds.register(kind)
    narrator.MIN_GAP_SECONDS = 0.0
    runner.RETRY_CRASHED_SECONDS = (0, 0)
    lease.BEAT_SECONDS = NO_BEAT_SECONDS
    effects.install()
    # What each fork would have to do for itself otherwise, at its first message and its first picture.
    current_app.finalize()
    Image.init()
    # What was made up to here is not touched any more, so the forks share it.
    gc.freeze()


def play(wish: dict[str, Any], trace: int) -> None:
    if wish["kind"] in kinds.names():
        _serve(wish["kind"])
    effects.arm(wish["at"], by=signal.Signals(wish["by"]), trace=trace)
    ROLES[wish["role"]](wish["kind"])


def _serve(kind_name: str) -> None:
    kind = kinds.get(kind_name)
    worker._served[kind_name] = kind.slots()
    for spec in kind.slots():
        worker.register_slot(kind, spec)


def _work(kind: str) -> None:
    tasks.work(kind)


def _work_with_a_heart(kind: str) -> None:
    lease.BEAT_SECONDS = QUICK_BEAT_SECONDS
    _take_over(kind)


def _work_elsewhere(kind: str) -> None:
    """On another machine: nobody there takes its workspace away."""
    settings.DATA_DIR = Path(settings.DATA_DIR) / ELSEWHERE
    tasks.work(kind)


def _reap(_: str) -> None:
    tasks.reap()


def _take_over(kind: str) -> None:
    """Do what the living do when one of them died."""
    tasks.reap()
    tasks.work(kind)


def _take_over_from_the_silent(kind: str) -> None:
    reaper.SILENCE_SECONDS = 0.0
    _take_over(kind)


def _reap_the_silent(_: str) -> None:
    reaper.SILENCE_SECONDS = 0.0
    tasks.reap()


def _request(described: str) -> None:
    asked = json.loads(described)
    APIClient(SERVER_NAME="localhost").post(asked["path"], asked["body"], format="json", headers=asked["headers"])


ROLES = {
    "work": _work,
    "work with a heart": _work_with_a_heart,
    "work elsewhere": _work_elsewhere,
    "reap": _reap,
    "reap the silent": _reap_the_silent,
    "take over": _take_over,
    "take over from the silent": _take_over_from_the_silent,
    "request": _request,
}
