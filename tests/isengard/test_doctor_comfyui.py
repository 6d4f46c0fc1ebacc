"""What the doctor says of the ComfyUI servers themselves: release, card, clock, models and node packs."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from isengard.doctor import Finding, Level, comfyui_vitals
from isengard.doctor.comfyui import check_servers
from isengard.doctor.comfyui_vitals import check_vitals
from tests.generation.simulator_process import Simulator
from tests.http_serving import serving
from tests.isengard.doctor_findings import wait_for_servers

CARD = {"name": "cuda:0 Big", "type": "cuda", "vram_total": 24_000_000_000, "vram_free": 20_000_000_000}
NOW, LONG_AGO = None, "Mon, 01 Jan 2024 00:00:00 GMT"


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for_servers(monkeypatch)


@contextmanager
def server_that_says(
    *, version: str = "0.33.0", card: dict[str, Any] = CARD, features: object = None, date: str | None = NOW
) -> Iterator[str]:
    answers: dict[str, object] = {
        "/system_stats": {"system": {"comfyui_version": version}, "devices": [card]},
        "/features": {"supports_preview_metadata": True} if features is None else features,
        "/prompt": {"exec_info": {"queue_remaining": 0}},
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answers.get(self.path, {})).encode()
            self.send_response_only(200)
            self.send_header("Date", date or self.date_time_string())
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with serving(Handler) as url:
        yield url


def complaints(**said: Any) -> list[Finding]:
    with server_that_says(**said) as url:
        return [finding for finding in check_vitals(url) if finding.level != Level.OK]


def test_a_server_as_tested_with_a_card_that_is_large_enough_is_well() -> None:
    with server_that_says() as url:
        told = [finding.text for finding in check_vitals(url)]
    assert told[0] == f"{url} is ComfyUI 0.33.0: as tested"
    assert told[1] == f"{url} has cuda:0 Big with 24 GB, 20 GB of it free"
    assert "answers in" in told[2]
    assert complaints() == []
    assert complaints(version="0.20.1") == []


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"version": "0.3.64"}, "ComfyUI 0.3.64: neither tested nor between what was"),
        ({"version": "1.0.0"}, "ComfyUI 1.0.0: neither tested nor between what was"),
        ({"version": ""}, "ComfyUI of an unknown version"),
        ({"card": {"name": "cpu", "type": "cpu"}}, "has no GPU"),
        ({"card": CARD | {"vram_total": 8_000_000_000}}, "with 8 GB"),
        ({"features": []}, "does not say which picture a preview belongs to"),
        ({"features": {}}, "does not say which picture a preview belongs to"),
        ({"date": LONG_AGO}, "behind ours"),
    ],
)
def test_each_oddity_is_one_warning_that_says_what_to_do(said: dict[str, Any], words: str) -> None:
    (finding,) = complaints(**said)
    assert finding.level == Level.WARNING
    assert words in finding.text
    assert finding.advice


def test_a_server_that_takes_its_time_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comfyui_vitals, "SLOW_SECONDS", 0.0)
    (finding,) = complaints()
    assert finding.level == Level.WARNING
    assert "ms to answer" in finding.text


def test_a_server_without_a_gpu_is_a_failure_in_production(settings: Any) -> None:
    settings.IS_PRODUCTION = True
    (finding,) = complaints(card={"name": "cpu", "type": "cpu"})
    assert finding.level == Level.FAILED


def test_what_is_no_comfyui_is_a_failure() -> None:
    with server_that_says() as url:
        (finding,) = check_vitals(f"{url}/other")
    assert (finding.level, finding.area) == (Level.FAILED, "comfyui")
    assert "is not ComfyUI" in finding.text


@pytest.fixture
def server_without(tmp_path: Path, settings: Any) -> Iterator[Callable[[str], None]]:
    started: list[Simulator] = []

    def start(absent: str) -> None:
        simulator = Simulator(tmp_path, ISENGARD_SIMULATOR_COMFYUI="0.33.0", ISENGARD_SIMULATOR_WITHOUT=absent)
        started.append(simulator)
        settings.COMFYUI_URLS = (simulator.url.replace("http://", "http://user:secret@") + "#gpu=0",)

    yield start
    for simulator in started:
        simulator.stop()


def found() -> list[Finding]:
    return list(check_servers(has_rows=False))


def test_models_and_switches_that_could_be_added_are_told_with_what_they_lack(
    server_without: Callable[[str], None],
) -> None:
    server_without("checkpoints/*,ComfyUI-Impact-*")
    findings = found()
    assert {finding.level for finding in findings} == {Level.OK}
    optional = [finding for finding in findings if finding.advice]
    assert "does not offer: sdxl (lacks sd_xl_base_1.0.safetensors in models/checkpoints)" in optional[0].text
    assert "cannot do: Face detailer (lacks the node UltralyticsDetectorProvider" in optional[1].text
    assert "ComfyUI-Impact-Pack" in optional[1].text


def test_a_server_without_any_model_is_a_failure_that_names_the_files_and_folders(
    server_without: Callable[[str], None],
) -> None:
    server_without("diffusion_models/*,checkpoints/*")
    failures = [finding for finding in found() if finding.level == Level.FAILED]
    assert ["flux-schnell" in failures[0].text, "flux-dev" in failures[1].text] == [True, True]
    assert "flux1-dev.safetensors in models/diffusion_models" in failures[1].text


def test_a_server_with_everything_says_so_without_its_password(server_without: Callable[[str], None]) -> None:
    server_without("")
    texts = [finding.text for finding in found()]
    assert any("can do ControlNet, IP-Adapter, Face detailer, Upscaling" in text for text in texts)
    assert not any("secret" in text for text in texts)
