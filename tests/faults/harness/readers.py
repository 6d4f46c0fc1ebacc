"""A client that downloads what the jobs make as soon as a row names it, and looks whether each file is whole."""

import threading
from collections.abc import Callable
from contextlib import suppress

import requests

from tests.faults.harness.rows import AWAY, Rows
from tests.faults.harness.wholeness import why_broken

LOOK_EVERY_SECONDS = 0.5
ANSWER_SECONDS = 10.0
# A file that could not be fetched in so many looks is left to the audit at the end.
MOST_TRIES = 20
QUESTIONS = {
    "SELECT job_id, name FROM jobs_artifact WHERE type = 'output'": "/api/outputs/{name}",
    "SELECT job_id, name FROM jobs_artifact WHERE type = 'sample'": "/api/jobs/{job}/artifacts/samples/{name}",
    "SELECT job_id, name FROM jobs_artifact WHERE type = 'checkpoint'": "/api/jobs/{job}/checkpoints/{name}/download",
    "SELECT job_id, 'model.safetensors' FROM characters_lora WHERE character_id IS NOT NULL": (
        "/api/jobs/{job}/artifacts/model"
    ),
}


class Reader:
    """`torn` says which files were served that were not whole; `url` is the API as customers reach it."""

    def __init__(self, url: str, rows: Callable[[], Rows]) -> None:
        self._url = url
        self._rows = rows
        self._tries: dict[str, int] = {}
        self._is_over = threading.Event()
        self.torn: list[str] = []
        self.read = 0
        self._thread = threading.Thread(target=self._read_on, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if not self._thread.is_alive():
            self.torn.append("nobody knows: the reader broke off")
        self._is_over.set()
        self._thread.join(3 * ANSWER_SECONDS)

    def _read_on(self) -> None:
        while not self._is_over.wait(LOOK_EVERY_SECONDS):
            with suppress(*AWAY):
                for path in named_files(self._rows()):
                    if self._is_over.is_set():
                        return
                    if self._tries.get(path, 0) < MOST_TRIES:
                        self._fetch(path)

    def _fetch(self, path: str) -> None:
        self._tries[path] = self._tries.get(path, 0) + 1
        # What breaks off is told by the connection; then a client asks again.
        with suppress(requests.RequestException):
            answer = requests.get(self._url + path, timeout=ANSWER_SECONDS)
            if answer.status_code == requests.codes.ok:
                self._tries[path] = MOST_TRIES
                self.read += 1
                if why := why_torn(path, answer):
                    self.torn.append(f"{path} was served and is not whole: {why}")


def named_files(rows: Rows) -> list[str]:
    """Return the address of each output, sample, checkpoint and LoRA that a row names."""
    return [
        address.format(job=job, name=name)
        for question, address in QUESTIONS.items()
        for job, name in rows.ask(question)
    ]


def why_torn(path: str, answer: requests.Response) -> str:
    """Return what is wrong with a file as it was served; "" if it is whole."""
    promised = answer.headers.get("Content-Length")
    if promised is None or int(promised) != len(answer.content):
        return f"{len(answer.content)} bytes came, and {promised} were promised"
    name = path.removesuffix("/download")
    return why_broken("model.safetensors" if name.endswith("/model") else name, answer.content)
