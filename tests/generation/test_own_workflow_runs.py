"""Operators' own workflows on a ComfyUI-compatible server: what it can run is told, and what it runs is kept."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from generation.engines.order import GivenImage
from generation.workflows.workflow import Workflow, read_workflow
from jobs.errors import EngineFailed
from tests.generation.comfyui_fixtures import (
    StandIn,
    artifacts,
    order_for,
    probed,
    prompt_id,
    run_order,
    running_stand_in,
)
from tests.generation.network_fixtures import ScriptedServer
from tests.generation.own_workflow_files import graph, graph_from_an_image, mapping, mapping_from_an_image


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with running_stand_in(tmp_path_factory.mktemp("own")) as running:
        yield running


def reason(server: StandIn, workflow: Workflow) -> str | None:
    return probed(server.url, workflow.classes).workflow(workflow).reason


def film(**change: Any) -> Workflow:
    return read_workflow("film", graph(), mapping() | change)


def test_a_workflow_that_the_server_can_run_is_available(server: StandIn) -> None:
    assert reason(server, film()) is None


@pytest.mark.parametrize("name", ["guidance_scale", "denoise"])
def test_a_fraction_in_the_place_of_a_whole_number_is_told(server: StandIn, name: str) -> None:
    inputs = {key: place for key, place in mapping()["inputs"].items() if key not in ("steps", name)}
    wrong = graph()
    wrong["40"]["inputs"]["steps"] = 1
    workflow = read_workflow("film", wrong, mapping() | {"inputs": inputs | {name: {"node": "40", "input": "steps"}}})
    assert f"{name}: the input steps of KSampler is of the type INT" in (reason(server, workflow) or "")


def test_an_input_that_the_server_would_ignore_is_told(server: StandIn) -> None:
    changed = graph()
    changed["40"]["inputs"]["noise_seed"] = 1
    inputs = mapping()["inputs"] | {"seed": {"node": "40", "input": "noise_seed"}}
    workflow = read_workflow("film", changed, mapping() | {"inputs": inputs})
    assert "seed: the node KSampler of the server has no input noise_seed" in (reason(server, workflow) or "")


def test_nodes_that_were_not_asked_for_are_not_said_to_be_missing(server: StandIn) -> None:
    changed = graph()
    changed["51"] = {"class_type": "ImageInvert", "inputs": {"image": ["50", 0]}}
    changed["60"]["inputs"]["images"] = ["51", 0]
    workflow = read_workflow("film", changed, mapping())
    assert probed(server.url).workflow(workflow).reason == "The ComfyUI server cannot be reached."


def test_one_node_that_cannot_describe_itself_does_not_take_the_server_away() -> None:
    def describe(path: str, _: object) -> tuple[int, object]:
        return (500, "") if path.endswith("/Weird") else (200, {})

    answers = {"GET /object_info": describe, "GET /system_stats": (200, {"system": {}}), "GET /models": (200, [])}
    with ScriptedServer(answers).running() as scripted:
        assert probed(scripted.url, ["Weird"]).is_up


def test_a_picture_of_the_workflows_own_size_is_kept_with_it(server: StandIn, tmp_path: Path) -> None:
    given = GivenImage(name="input-1.png", path=tmp_path / "input-1.png")
    Image.new("RGB", (320, 208), "red").save(given.path)
    workflow = read_workflow("film", graph_from_an_image(), mapping_from_an_image())
    asked = order_for(server.url, tmp_path, job_id="gen-own", workflow="film", init_image=given.name, denoise=0.5)
    order = replace(asked, images={"init_image": given}, workflow=workflow)
    (picture,) = artifacts(run_order(order))
    assert (picture.details["width"], picture.details["height"]) == (320, 208)
    with Image.open(picture.path) as image:
        assert image.size == (320, 208)
    ran = server.graph(prompt_id("gen-own", 0))
    assert (ran["80"]["inputs"]["image"], ran["40"]["inputs"]["denoise"]) == ("isengard/input-1.png", 0.5)


def test_each_image_has_its_own_seed_and_each_prompt_its_own_words(server: StandIn, tmp_path: Path) -> None:
    asked = order_for(server.url, tmp_path, job_id="gen-two", count=2, workflow="film", seed=100)
    assert len(artifacts(run_order(replace(asked, workflow=film())))) == 2
    seeds = [server.graph(prompt_id("gen-two", index))["40"]["inputs"]["seed"] for index in range(2)]
    assert seeds == [100, 101]


def test_what_the_server_refuses_is_said(server: StandIn, tmp_path: Path) -> None:
    changed = graph()
    changed["40"]["inputs"]["sampler_name"] = "mine"
    order = order_for(server.url, tmp_path, job_id="gen-no", workflow="film")
    with pytest.raises(EngineFailed, match=r"does not offer 'mine' for KSampler\.sampler_name"):
        run_order(replace(order, workflow=read_workflow("film", changed, mapping())))
