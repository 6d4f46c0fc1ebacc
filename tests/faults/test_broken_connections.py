"""Connections that break or fall silent, between a worker and ComfyUI and between a client and the API."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from generation.engines.comfyui import Limits, generate
from jobs.events import Event, Finished
from tests.api_client import Api, photo
from tests.conftest import wait_until
from tests.faults.proxy import Proxy
from tests.generation.comfyui_fixtures import StandIn, artifacts, is_sampling, order_for, read_until, running_stand_in
from tests.stack import Stack

LIMITS = Limits(
    connect_seconds=60.0,
    poll_seconds=0.2,
    hinted_poll_seconds=0.05,
    absent_seconds=0.3,
    read_seconds=1.0,
    refused_seconds=30.0,
    settle_seconds=0.2,
    silence_seconds=1.0,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with running_stand_in(tmp_path_factory.mktemp("stand-in")) as stand_in:
        yield stand_in


@pytest.fixture
def line(server: StandIn) -> Iterator[Proxy]:
    with Proxy(("127.0.0.1", server.port)) as proxy:
        yield proxy


FAULTS: dict[str, Callable[[Proxy], object]] = {
    "cut": Proxy.cut,
    "half-open": lambda line: line.freeze(only_open=True),
    "silent": Proxy.freeze,
    "refused": Proxy.refuse,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_picture_is_made_once_whatever_happens_to_the_line_to_comfyui(
    server: StandIn, line: Proxy, tmp_path: Path, fault: str
) -> None:
    order = order_for(f"http://{line.address}", tmp_path, job_id=f"gen-{fault}", count=2, steps=25)
    events = generate(order, limits=LIMITS)
    read_until(events, is_sampling)
    FAULTS[fault](line)
    told: list[Event] = []
    for event in events:
        told.append(event)
        if fault in ("silent", "refused") and any(getattr(event, "event", "") == "engine.away" for event in told):
            line.heal()
    assert sorted(artifact.details["index"] for artifact in artifacts(told)) == [0, 1]
    assert isinstance(told[-1], Finished)
    assert server.queued_ids() == set()


@pytest.mark.stack
@pytest.mark.timeout(400)
def test_an_upload_whose_client_is_cut_off_half_way_leaves_nothing(api: Api, stack: Stack) -> None:
    character = api.make_character()
    sent = as_sent(
        requests.Request(
            "POST",
            f"{api.url}/api/characters/{character}/images",
            files={"files": ("a.jpg", photo(1) + bytes(2_000_000), "image/jpeg")},
        )
    )

    def temporary_files() -> list[Path]:
        return [path for path in (stack.data_dir / "tmp").glob("*") if path.is_file()]

    # The copy of an upload that was answered goes a moment after its answer.
    wait_until(lambda: not temporary_files(), what="the end of the uploads before")
    with connected(api) as (line, client):
        client.sendall(sent[: len(sent) // 2])
        wait_until(temporary_files, what="the half of the upload")
        line.cut()
    wait_until(lambda: not temporary_files(), what="the end of the temporary file")
    assert len(list((stack.data_dir / "uploads" / character).iterdir())) == 1
    assert api.get(f"/api/characters/{character}")["image_count"] == 1


@pytest.mark.stack
@pytest.mark.timeout(400)
def test_a_request_whose_answer_was_lost_can_be_sent_again_and_starts_one_job(api: Api, stack: Stack) -> None:
    before = newest(api)
    body = {"config": {"prompt": "a portrait", "width": 512, "height": 512, "steps": 4}}
    headers = {"Idempotency-Key": "lost-answer"}
    with connected(api) as (line, client):
        client.sendall(as_sent(requests.Request("POST", f"{api.url}/api/generation", json=body, headers=headers)))
        started = wait_until(lambda: newest(api) != before and newest(api), what="the job that nobody was told of")
        # The client has read nothing up to here.
        line.cut()
    # An answer of 200 and not 201: there is such a job already.
    assert api.call("POST", "/api/generation", json=body, headers=headers).json()["id"] == started
    assert api.wait_for(started)["status"] == "completed"


@contextmanager
def connected(api: Api) -> Iterator[tuple[Proxy, socket.socket]]:
    where = urlsplit(api.url)
    with (
        Proxy((where.hostname or "", where.port or 0)) as line,
        socket.create_connection((line.host, line.port)) as client,
    ):
        yield line, client


def as_sent(request: requests.Request) -> bytes:
    prepared = request.prepare()
    headers = {"Host": urlsplit(prepared.url).netloc, **prepared.headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{prepared.method} {prepared.path_url} HTTP/1.1\r\n{head}\r\n".encode() + prepared.body


def newest(api: Api) -> str:
    jobs = api.call("GET", "/api/generation").json()
    return str(jobs[0]["id"]) if jobs else ""
