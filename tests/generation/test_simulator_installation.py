"""What the stand-in has installed, and which release of ComfyUI it is."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from generation.params import TOGGLES, VARIANTS
from tests.generation.comfyui_fixtures import probed
from tests.generation.simulator_process import (
    DEADLINE_SECONDS,
    PROJECT,
    Simulator,
    StartSimulator,
    flux_graph,
    wait_for,
)

pytest_plugins = ("tests.generation.simulator_fixtures",)

NEW_RELEASE = "0.33.0"
# On an idle machine it is 150.
MEGAPIXEL_MS_MAX = 1500
KLEIN = "flux-2-klein-4b.safetensors"


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    simulator = Simulator(tmp_path_factory.mktemp("newest"), ISENGARD_SIMULATOR_COMFYUI=NEW_RELEASE)
    yield simulator
    simulator.stop()


def test_everything_that_is_offered_anywhere_is_there_from_the_start(newest: Simulator) -> None:
    server = probed(newest.url)
    assert [name for name in VARIANTS if not server.model(name).is_available] == []
    possible = {toggle: {name for name in VARIANTS if server.toggle(toggle, name).is_available} for toggle in TOGGLES}
    assert possible["use_upscale"] == possible["use_facedetailer"] == set(VARIANTS)
    assert {"flux-dev", "sdxl"} <= possible["use_controlnet"]
    assert {"flux-dev", "sdxl"} <= possible["use_ipadapter"]


def test_nodes_packs_and_files_can_be_left_out(start_simulator: StartSimulator) -> None:
    left_out = "ComfyUI-Impact-*,Canny,upscale_models/*,vae/flux2-vae.safetensors"
    simulator = start_simulator(ISENGARD_SIMULATOR_COMFYUI=NEW_RELEASE, ISENGARD_SIMULATOR_WITHOUT=left_out)
    server = probed(simulator.url)
    assert server.model("flux2-klein-4b").missing == ("flux2-vae.safetensors in models/vae",)
    assert server.toggle("use_upscale", "flux-dev").missing == ("RealESRGAN_x4plus.pth in models/upscale_models",)
    assert server.toggle("use_controlnet", "flux-dev").missing == ("the node Canny",)
    assert [reason.partition(" (")[0] for reason in server.toggle("use_facedetailer", "flux-dev").missing] == [
        "the node UltralyticsDetectorProvider",
        "the node FaceDetailer",
    ]
    assert simulator.get("/object_info/Canny").json() == {}


def test_a_release_that_is_none_stops_the_start(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "generation.engines.simulator", "--port", "0", "--base-directory", tmp_path],
        cwd=PROJECT,
        env=os.environ | {"ISENGARD_SIMULATOR_COMFYUI": "newest"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert ended.returncode == 1
    assert "ISENGARD_SIMULATOR_COMFYUI has to be a version" in ended.stderr


def klein_graph() -> dict[str, Any]:
    graph = flux_graph(unet=KLEIN)
    graph["2"] = {"class_type": "CLIPLoader", "inputs": {"clip_name": "qwen_3_4b.safetensors", "type": "flux2"}}
    return graph


def test_klein_fails_in_the_sampler_of_an_old_release_only(simulator: Simulator, newest: Simulator) -> None:
    assert simulator.error_of(klein_graph())["exception_message"].startswith("mat1 and mat2 shapes")
    assert newest.run(klein_graph())["status"]["completed"]


def refusal(simulator: Simulator, **body: object) -> dict[str, Any]:
    answer = simulator.post("/prompt", {"prompt": flux_graph(), **body})
    assert answer.status_code == 400
    error: dict[str, Any] = answer.json()["error"]
    return error


A_UUID = "2c1f6d2e-9f0b-4c7c-8a4e-3b5d7e9f1a2b"


@pytest.mark.parametrize("given", ["job-1", 12345, "", A_UUID.upper(), A_UUID.replace("-", "")])
def test_the_newest_release_takes_only_uuids_as_ids(newest: Simulator, given: object) -> None:
    assert refusal(newest, prompt_id=given)["type"] == "invalid_prompt_id"


def test_the_newest_release_takes_a_uuid_and_makes_one_where_none_is_given(newest: Simulator) -> None:
    given = str(uuid.uuid4())
    assert newest.submit(flux_graph(), prompt_id=given) == given
    made = newest.submit(flux_graph(), prompt_id=None)
    assert str(uuid.UUID(made)) == made


def test_the_newest_release_says_which_node_class_is_missing(newest: Simulator) -> None:
    graph = flux_graph() | {"30": {"class_type": "NoSuchNode", "inputs": {}}}
    assert refusal(newest, prompt=graph) == {
        "type": "missing_node_type",
        "message": "Node 'NoSuchNode' not found. The custom node may not be installed.",
        "details": "Node ID '#30'",
        "extra_info": {"node_id": "30", "class_type": "NoSuchNode", "node_title": "NoSuchNode"},
    }
    unclassed = refusal(newest, prompt=flux_graph() | {"30": {"inputs": {}}})
    assert unclassed["message"].startswith("Node 'ID #30' has no class_type.")


@pytest.mark.parametrize(("release", "status"), [("0.7.0", "failed"), (NEW_RELEASE, "cancelled")])
def test_releases_differ_in_what_they_call_an_interrupted_prompt(
    start_simulator: StartSimulator, release: str, status: str
) -> None:
    simulator = start_simulator(ISENGARD_SIMULATOR_COMFYUI=release)
    prompt_id = simulator.start_endless()
    simulator.post("/interrupt", {"prompt_id": prompt_id})
    simulator.entry(prompt_id)
    job = simulator.get(f"/api/jobs/{prompt_id}").json()
    assert job["status"] == status
    assert ("previewable_outputs_count" in job) == (release == NEW_RELEASE)
    assert [each["id"] for each in simulator.get(f"/api/jobs?status={status}").json()["jobs"]] == [prompt_id]


def test_the_oldest_release_finds_a_bad_choice_in_the_new_spelling_only_when_it_runs(
    start_simulator: StartSimulator,
) -> None:
    oldest = start_simulator(ISENGARD_SIMULATOR_COMFYUI="0.7.0")
    error = oldest.error_of(flux_graph(sampler="bogus"))
    assert (error["node_type"], error["exception_type"]) == ("KSamplerSelect", "AttributeError")
    unlisted = {"20": {"class_type": "UpscaleModelLoader", "inputs": {"model_name": "nope.pth"}}}
    unlisted["21"] = {"class_type": "ImageUpscaleWithModel", "inputs": {"upscale_model": ["20", 0], "image": ["14", 0]}}
    graph = flux_graph() | unlisted
    graph["15"]["inputs"]["images"] = ["21", 0]
    assert oldest.error_of(graph)["exception_type"] == "FileNotFoundError"


@pytest.mark.parametrize(("release", "shows_cached"), [("0.18.1", False), ("0.19.0", True)])
def test_an_old_release_lists_cached_outputs_only_for_a_client(
    start_simulator: StartSimulator, release: str, *, shows_cached: bool
) -> None:
    simulator = start_simulator(ISENGARD_SIMULATOR_COMFYUI=release)
    graph = flux_graph()
    made = simulator.run(graph)["outputs"]
    assert simulator.run(graph, client_id="me")["outputs"] == made
    assert simulator.run(graph)["outputs"] == (made if shows_cached else {})


def test_a_picture_of_a_megapixel_takes_a_fraction_of_a_second(start_simulator: StartSimulator) -> None:
    simulator = start_simulator(ISENGARD_SIMULATOR_STEP_SECONDS="0")

    def milliseconds() -> int:
        messages = simulator.run(flux_graph(size=(1024, 1024)))["status"]["messages"]
        taken: int = messages[-1][1]["timestamp"] - messages[0][1]["timestamp"]
        return taken

    # Of several, because others may be at work on the machine too.
    wait_for(lambda: milliseconds() < MEGAPIXEL_MS_MAX, "a picture that was quick")
