"""One visit of a browser to the page, and what its console had to complain of."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import ConsoleMessage, Page, Request, Response

WAIT_MILLISECONDS = 60_000
LOOK_MILLISECONDS = 50


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    correlation_id: str | None
    total: str | None


@dataclass
class Visit:
    """`complaints` must be empty in the end: a test takes away those that it caused."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    forgiven: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(WAIT_MILLISECONDS)
        self.page.on("console", self._note_console)
        self.page.on("pageerror", lambda error: self._complain(f"exception: {error}"))
        self.page.on("requestfailed", self._note_failure)
        # Playwright puts a mark on what it calls, which a list's own `append` does not allow.
        self.page.on("response", lambda response: self.responses.append(response))

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._complain(f"{message.type}: {message.text}")

    def _note_failure(self, request: Request) -> None:
        # An abort is the browser's own wish: it does not care for the rest of an answer that refuses a stream.
        if request.failure != "net::ERR_ABORTED":
            self._complain(f"{request.failure}: {request.url}")

    def _complain(self, text: str) -> None:
        if not any(word in text for word in self.forgiven):
            self.complaints.append(text)

    def forgive(self, *words: str) -> None:
        """Drop the complaints that have one of the words, also those that come late. There must be one for each."""
        for word in words:
            self.wait_until(lambda word=word: any(word in text for text in self.complaints), what=word)
        self.forgiven += words
        self.complaints = [text for text in self.complaints if not any(word in text for word in words)]

    def wait_until(self, condition: Callable[[], bool], *, what: str) -> None:
        """Let the browser tell its events until the condition is true."""
        deadline = time.monotonic() + WAIT_MILLISECONDS / 1000
        while not condition():
            assert time.monotonic() < deadline, (what, self.complaints, [answer.url for answer in self.responses])
            self.page.wait_for_timeout(LOOK_MILLISECONDS)

    def call(self, method: str, path: str, *, body: object = None, headers: dict[str, str] | None = None) -> Answer:
        sent = {"method": method, "path": path, "body": body, "headers": headers or {}}
        return _answer(self.page.evaluate("sent => call(sent)", sent))

    def make_character(self) -> str:
        made = self.call("POST", "/api/characters", body={"name": "Ann", "trigger_word": "ann_person"})
        assert made.status == 201, made
        return made.body["id"]

    def upload(self, character: str, files: dict[str, bytes]) -> Answer:
        """Choose files of the person's disk in the file input, and send what it holds."""
        chosen = [{"name": name, "mimeType": "image/jpeg", "buffer": content} for name, content in files.items()]
        self.page.set_input_files("#photos", chosen)
        return _answer(self.page.evaluate("path => upload(path)", f"/api/characters/{character}/images"))

    def follow(self, job: str) -> "Followed":
        path = f"/api/jobs/{job}/stream"
        self.page.evaluate("path => follow(path)", path)
        return Followed(self, path)

    def show(self, path: str) -> tuple[int, int]:
        """Return the width and height of the `<img>`, once it is there."""
        width, height = self.page.evaluate("path => show(path)", path)
        return width, height


def _answer(told: dict[str, Any]) -> Answer:
    return Answer(told["status"], told["body"], told["correlationId"], told["total"])


@dataclass(frozen=True)
class Followed:
    """An EventSource in the page."""

    visit: Visit
    path: str

    def events(self) -> list[dict[str, Any]]:
        return self.visit.page.evaluate("path => streams[path].events", self.path)

    def wait_for_step(self, step: int) -> None:
        self._wait(f"({{events}}) => events.some((event) => event.data.current_step >= {step})")

    def wait_for_errors(self, count: int) -> None:
        self._wait(f"({{errors}}) => errors >= {count}")

    def wait_until_closed(self) -> list[dict[str, Any]]:
        """Return all events, once the browser has given up coming back."""
        self._wait("({source}) => source.readyState === EventSource.CLOSED")
        return self.events()

    def _wait(self, condition: str) -> None:
        self.visit.page.wait_for_function(f"path => ({condition})(streams[path])", arg=self.path)

    def answers(self, count: int) -> list[Response]:
        """Return all answers, once there are so many."""
        self.visit.wait_until(lambda: len(self._answers()) >= count, what=f"{count} answers to {self.path}")
        return self._answers()

    def _answers(self) -> list[Response]:
        return [response for response in self.visit.responses if response.url.endswith(self.path)]
