"""A client of server-sent events, as plain as the specification."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import requests


@dataclass
class Sent:
    id: str = ""
    event: str = "message"
    text: str = ""

    @property
    def data(self) -> dict:
        return json.loads(self.text)


@dataclass
class EventStream:
    """An open stream; iterate for its events. `retry` and `comments` fill as they come."""

    response: requests.Response
    retry: int | None = None
    comments: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Sent]:
        event = Sent()
        for line in self.response.iter_lines(chunk_size=1, decode_unicode=True):
            if not line:
                if event.text:
                    yield event
                event = Sent()
            elif line.startswith(":"):
                self.comments.append(line[1:].strip())
            else:
                self._take(event, *line.split(": ", 1))

    def _take(self, event: Sent, name: str, value: str) -> None:
        if name == "retry":
            self.retry = int(value)
        elif name == "data":
            event.text += value
        else:
            setattr(event, name, value)

    def __enter__(self) -> "EventStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.response.close()


def open_stream(url: str, *, last_event_id: str | None = None, timeout: float = 60.0, **headers: str) -> EventStream:
    if last_event_id is not None:
        headers["Last-Event-ID"] = last_event_id
    answer = requests.get(url, stream=True, timeout=timeout, headers={"Accept": "text/event-stream", **headers})
    return EventStream(answer)
