"""Whole orders with what goes beyond text to image, through a ComfyUI-compatible server."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from generation.engines.order import GivenImage
from jobs.events import Log
from tests.generation.comfyui_fixtures import (
    StandIn,
    artifacts,
    log_events,
    order_for,
    probed,
    prompt_id,
    run_order,
    running_stand_in,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with running_stand_in(tmp_path_factory.mktemp("workflows")) as running:
        yield running


def _picture(folder: Path) -> GivenImage:
    path = folder / "input-1.png"
    Image.new("RGB", (320, 200), "red").save(path)
    return GivenImage(name=path.name, path=path)


def _inputs(server: StandIn, prompt_id: str, class_type: str) -> dict[str, object]:
    graph = server.graph(prompt_id)
    (node,) = [node for node in graph.values() if node["class_type"] == class_type]
    return node["inputs"]


def test_a_given_image_is_uploaded_and_loaded_by_the_name_that_the_server_gave_it(
    server: StandIn, tmp_path: Path
) -> None:
    asked = order_for(server.url, tmp_path, job_id="gen-i2i", init_image="input-1.png", denoise=0.5)
    order = replace(asked, images={"init_image": _picture(tmp_path)})
    assert len(artifacts(run_order(order))) == 1
    assert _inputs(server, prompt_id("gen-i2i", 0), "LoadImage") == {"image": "isengard/input-1.png"}
    assert _inputs(server, prompt_id("gen-i2i", 0), "BasicScheduler")["denoise"] == 0.5


def test_an_enlarged_picture_is_kept_in_the_size_that_was_asked_for(server: StandIn, tmp_path: Path) -> None:
    server.add_model("upscale_models/RealESRGAN_x4plus.pth")
    (picture,) = artifacts(run_order(order_for(server.url, tmp_path, job_id="gen-up", use_upscale=True)))
    with Image.open(picture.path) as image:
        assert image.size == (1024, 1024)
    assert (picture.details["width"], picture.details["height"]) == (1024, 1024)


def test_a_model_file_is_loaded_under_the_name_that_the_server_has_it_by(tmp_path: Path) -> None:
    with running_stand_in(tmp_path) as server:
        server.remove_model("diffusion_models/flux1-dev.safetensors")
        server.add_model("diffusion_models/flux1-dev-fp8.safetensors")
        assert probed(server.url).variants["flux-dev"].is_available
        assert len(artifacts(run_order(order_for(server.url, tmp_path / "work", job_id="gen-fp8")))) == 1
        assert _inputs(server, prompt_id("gen-fp8", 0), "UNETLoader")["unet_name"] == "flux1-dev-fp8.safetensors"


def test_a_negative_prompt_reaches_the_sampling_and_nothing_is_said_to_have_no_effect(
    server: StandIn, tmp_path: Path
) -> None:
    events = run_order(order_for(server.url, tmp_path, job_id="gen-neg", negative_prompt="blurry"))
    assert "generation.parameter_without_effect" not in log_events(events)
    assert _inputs(server, prompt_id("gen-neg", 0), "CFGGuider")["cfg"] == 2.0


def test_a_parameter_without_effect_is_told_in_the_log(server: StandIn, tmp_path: Path) -> None:
    events = run_order(order_for(server.url, tmp_path, job_id="gen-idle", reference_strength=0.5))
    (told,) = [event for event in events if isinstance(event, Log) and event.event.endswith("without_effect")]
    assert (told.level, told.message) == (
        "WARNING",
        "reference_strength has no effect: it only acts with use_ipadapter.",
    )
