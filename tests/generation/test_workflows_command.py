"""`manage.py workflows`: what is in the operator's folders, and what is wrong with it."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from generation import offers
from generation.engines.comfyui import capabilities
from isengard.doctor.finding import Level
from isengard.doctor.own_files import check_own_files
from tests.generation.declaring_server import Declared, declaring_server
from tests.generation.own_workflow_files import graph, write_workflow


@pytest.fixture
def server(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Declared]:
    monkeypatch.setattr(offers, "_asked", None)
    monkeypatch.setattr(capabilities, "PROBE_READ_SECONDS", 60.0)
    with declaring_server() as declared:
        settings.COMFYUI_URLS = [declared.url]
        yield declared


@pytest.fixture
def data(settings: LazySettings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


def said(*arguments: str) -> str:
    out = io.StringIO()
    call_command("workflows", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def complained(*arguments: str) -> tuple[str, str]:
    out = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("workflows", *arguments, stdout=out, no_color=True)
    return out.getvalue(), str(caught.value)


def test_an_empty_data_directory_is_told(data: Path) -> None:
    assert said() == f"There is nothing in {data / 'workflows'} nor in {data / 'presets'}.\n"


def test_the_list_tells_what_each_takes_and_asks_no_server(data: Path, settings: LazySettings) -> None:
    settings.COMFYUI_URLS = ["http://127.0.0.1:9"]
    write_workflow(data / "workflows")
    assert said("list").startswith("workflow film: Film look; takes prompt, negative_prompt, seed, width")


def test_a_check_that_finds_nothing_wrong_ends_well(data: Path, server: Declared) -> None:
    write_workflow(data / "workflows")
    (data / "presets").mkdir()
    (data / "presets" / "mine.json").write_text('{"config": {"steps": 5}}')
    assert "preset mine: sets steps" in said("check")


def test_a_check_names_what_the_servers_lack(data: Path, server: Declared) -> None:
    write_workflow(data / "workflows")
    server.remove("flux1-schnell.safetensors")
    out, end = complained("check")
    assert "workflow film: The ComfyUI server lacks flux1-schnell.safetensors in models/diffusion_models." in out
    assert end == "1 of 1 cannot be used."


def test_a_check_names_what_is_wrong_with_the_files(data: Path, server: Declared) -> None:
    write_workflow(data / "workflows", graph={key: node for key, node in graph().items() if key != "60"})
    (data / "presets").mkdir()
    (data / "presets" / "mine.json").write_text("{")
    out, end = complained("check")
    assert "workflow film: It must have one node SaveImage, and has 0." in out
    assert "preset mine: mine.json is not JSON" in out
    assert end == "2 of 2 cannot be used."


def test_the_doctor_warns_of_broken_files(data: Path) -> None:
    write_workflow(data / "workflows")
    write_workflow(data / "workflows", "bad", graph={})
    levels = {finding.text.split(" ")[1]: finding.level for finding in check_own_files()}
    assert levels == {"film": Level.OK, "bad": Level.WARNING}
