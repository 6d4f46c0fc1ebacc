"""The harness sees what goes wrong during a run, and its faults and orders come again with their seed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from threading import Thread
from typing import cast

import psutil
import pytest
import requests

from tests.conftest import wait_until
from tests.faults.harness import schedule as schedule_module
from tests.faults.harness.audit_gifts import audit_gifts
from tests.faults.harness.audit_processes import audit_queues
from tests.faults.harness.faults import REGISTRY, Fault, Scar, choices
from tests.faults.harness.followers import Followers
from tests.faults.harness.gifts import lora
from tests.faults.harness.ledger import Gift
from tests.faults.harness.orders import planned_orders
from tests.faults.harness.readers import Reader, why_torn
from tests.faults.harness.schedule import Schedule, Strike, planned_strikes
from tests.faults.harness.site import Managed, Site
from tests.faults.harness.specimen import OUTPUT, Place
from tests.faults.harness.witness import Work, doubled
from tests.stack import is_alive


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@contextmanager
def serving(answers: dict[str, tuple[int, bytes]]) -> Iterator[str]:
    """Serve fixed answers; whatever else is asked for is not found."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content = answers.get(self.path, (404, b""))
            self.send_response(status)
            if not self.path.endswith("unmeasured.png"):
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_two_attempts_at_work_at_once_are_seen_and_two_processes_of_one_are_not() -> None:
    twice = [Work("gen-1", 1, "server a"), Work("gen-1", 2, "server b")]
    once = [Work("train-1", 1, "process 1"), Work("train-1", 1, "process 2"), Work("gen-2", 1, "server a")]
    assert doubled(twice + once) == [twice]


def test_one_attempt_at_work_on_two_servers_at_once_is_seen() -> None:
    both = [Work("gen-1", 1, "http://a"), Work("gen-1", 1, "http://b")]
    assert doubled([*both, Work("gen-2", 1, "http://a")]) == [both]


def test_a_prompt_left_on_a_server_at_rest_is_found() -> None:
    busy = {"queue_running": [[0, "left", {}, {}]], "queue_pending": [[1, "waits", {}, {}]]}
    idle = {"queue_running": [], "queue_pending": []}
    with (
        serving({"/queue": (200, json.dumps(busy).encode())}) as left,
        serving({"/queue": (200, json.dumps(idle).encode())}) as empty,
    ):
        assert [finding.kind for finding in audit_queues([left, empty])] == ["orphan process"] * 2


def test_a_file_that_is_served_in_part_is_seen_and_a_whole_one_is_fine(place: Place) -> None:
    whole = (place.data_dir / OUTPUT).read_bytes()
    files = {"/whole.png": whole, "/torn.png": whole[:-20], "/unmeasured.png": whole, "/loras/model": lora(1)[:-1]}
    with serving({path: (200, content) for path, content in files.items()}) as url:
        torn = [path for path in files if why_torn(path, requests.get(url + path, timeout=60))]
    assert torn == ["/torn.png", "/unmeasured.png", "/loras/model"]


def test_a_reader_fetches_what_rows_name_and_keeps_what_was_torn(place: Place) -> None:
    with serving(
        {"/api/outputs/gen-1-0.png": (200, b"half"), "/api/jobs/train-1/artifacts/model": (200, lora(1))}
    ) as url:
        reader = Reader(url, lambda: place.rows)
        reader.start()
        wait_until(lambda: reader.read == 2, what="both files to be read")
        reader.stop()
    assert [torn.split()[0] for torn in reader.torn] == ["/api/outputs/gen-1-0.png"]


def test_a_job_that_waits_to_be_followed_is_waited_for(place: Place) -> None:
    followers = Followers("http://nowhere", how_many=0)
    assert followers.are_idle
    followers.follow(place.promises()[0])
    assert not followers.are_idle


def test_isengard_is_not_up_again_before_what_was_told_to_stop_has_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    told = psutil.Process(process.pid)
    assert is_alive(told)
    process.communicate(b"\n")
    assert not is_alive(told)


def test_an_upload_that_was_taken_and_is_gone_is_found() -> None:
    kept, gone = Gift("character", "char-1"), Gift("photo", "a.jpg", "char-1")
    lost, torn = Gift("LoRA", "lora-1"), Gift("image", "b.png")
    answers = {"/api/characters/char-1": (200, b"{}"), "/api/generation/images/b.png": (200, b"half")}
    with serving(answers) as url:
        assert [finding.kind for finding in audit_gifts(url, [kept, gone, lost, torn])] == ["lost", "lost", "torn file"]


def test_a_fault_that_hits_nothing_is_counted_apart_and_another_strikes_in_its_place(place: Place) -> None:
    miss = Fault("miss", 1, lambda site, chance: Scar("told", is_hit=False))
    hit = Fault("hit", 1, lambda site, chance: Scar("told"))
    schedules = []
    for _ in range(2):
        strikes = [Strike(number, 0, miss, number) for number in range(3)]
        schedule = Schedule(cast(Site, place), strikes, [miss, hit], lambda line: None)
        while not schedule.is_over:
            schedule._last = -1000.0
            schedule.advance(0)
        schedules.append(schedule)
    first, again = schedules
    assert (first.struck, first.missed) == (again.struck, again.missed)
    assert [(strike.number, strike.fault.name) for strike in first.struck] == [(0, "hit"), (1, "hit"), (2, "hit")]
    assert len(first.missed) >= 3


def test_what_cannot_be_healed_yet_does_not_keep_others_from_being_healed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule_module, "HEAL_AGAIN_SECONDS", 0.0)
    healed: list[str] = []

    def resume() -> bool:
        if "stopped" in healed:
            healed.append("paused")
        return "paused" in healed

    def wake() -> None:
        healed.append("stopped")

    paused = Fault("pause", 1, lambda site, chance: Scar("paused", heal=resume))
    stopped = Fault("stop", 1, lambda site, chance: Scar("stopped", heal=wake))
    strikes = [Strike(0, 0, paused, 0), Strike(1, 0, stopped, 1)]
    schedule = Schedule(cast(Site, place), strikes, [paused, stopped], lambda line: None)
    schedule._strike(strikes[0])
    schedule._strike(strikes[1])
    schedule.heal_all()
    assert healed == ["stopped", "paused"]


class Operated:
    """A site whose one command fails."""

    def __init__(self, output: str, *, do_servers_answer: bool) -> None:
        self.complaints: list[str] = []
        self.manage = lambda *words: Managed(1, output)
        self.do_servers_answer = lambda: do_servers_answer
        self.folder = Path()


@pytest.mark.parametrize(
    ("output", "are_servers_up", "is_hit", "complaints"),
    [
        ("OperationalError", True, False, 1),
        ("OperationalError", False, False, 0),
        ("CommandError: Still at work: gen-1. The slots stay drained: ...", True, True, 0),
    ],
)
def test_a_command_that_fails_though_the_servers_answer_is_a_finding(
    output: str, are_servers_up: bool, is_hit: bool, complaints: int
) -> None:
    site = Operated(output, do_servers_answer=are_servers_up)
    scar = REGISTRY["drain"].strike(cast(Site, site), Random(1))
    assert (scar.is_hit, len(site.complaints)) == (is_hit, complaints)


def test_a_seed_gives_the_same_orders_and_strikes_every_time() -> None:
    usable = choices({"redis", "comfyui-a", "comfyui-b"}, with_slow=True)
    first, again, other = (planned_strikes(seed, faults=40, jobs=100, usable=usable) for seed in (1, 1, 2))
    assert first == again != other
    assert planned_orders(1, 50) == planned_orders(1, 50) != planned_orders(2, 50)
    assert [strike.after_ended for strike in first] == sorted(strike.after_ended for strike in first)


def test_faults_of_a_server_that_is_not_there_and_slow_ones_are_left_out() -> None:
    short = {each.name for each in choices({"redis"}, with_slow=False)}
    assert {"kill redis", "kill web", "cut connections to web"} <= short
    assert not {"kill postgresql", "kill comfyui-a", "stop training worker for more than a minute"} & short
