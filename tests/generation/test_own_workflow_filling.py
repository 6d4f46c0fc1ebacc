"""What a request puts into an operator's workflow: inputs of the graph, and nothing else."""

from typing import Any

import pytest

from generation.engines.order import LoraFile
from generation.params import GenerationParams
from generation.workflows.filling import Filling, fill
from generation.workflows.graph_file import Graph
from generation.workflows.workflow import Workflow, read_workflow
from tests.generation.own_workflow_files import (
    graph,
    graph_from_an_image,
    graph_with_loaders,
    mapping,
    mapping_from_an_image,
)

A, B, C = (
    LoraFile(name=f"{name}.safetensors", strength=strength) for name, strength in (("a", 0.5), ("b", 1), ("c", 2))
)


def film(**change: Any) -> Workflow:
    return read_workflow("film", graph(), mapping() | change)


def filled(workflow: Workflow, *loras: LoraFile, images: dict[str, str] | None = None, **params: Any) -> Graph:
    asked = GenerationParams.model_validate({"prompt": "a fox", "workflow": "film"} | params)
    return fill(workflow, Filling(params=asked, loras=loras, seed=42, prefix="here/1", images=images or {}))


@pytest.mark.parametrize(
    ("params", "node_id", "name", "value"),
    [
        ({"prompt": 'say "hi", {a|b} %width%'}, "20", "text", 'say "hi", {a|b} %width%'),
        ({"negative_prompt": "grain"}, "21", "text", "grain"),
        ({"width": 1024}, "30", "width", 1024),
        ({"height": 640}, "30", "height", 640),
        ({"steps": 3}, "40", "steps", 3),
        ({"guidance_scale": 2.0}, "40", "cfg", 2.0),
    ],
)
def test_a_parameter_goes_where_the_map_says_and_nowhere_else(
    params: dict[str, Any], node_id: str, name: str, value: object
) -> None:
    before, after = filled(film()), filled(film(), **params)
    assert after[node_id]["inputs"][name] == value
    after[node_id]["inputs"][name] = before[node_id]["inputs"][name]
    assert after == before


def test_the_seed_and_the_place_of_the_file_are_always_set() -> None:
    made = filled(film())
    assert made["40"]["inputs"]["seed"] == 42
    assert made["60"]["inputs"]["filename_prefix"] == "here/1"


def test_the_workflow_itself_stays_as_it_was() -> None:
    workflow = film()
    before = workflow.content
    filled(workflow, A, B, steps=3)
    assert workflow.content == before


def test_a_parameter_may_go_to_several_places() -> None:
    wanted = mapping()
    wanted["inputs"]["prompt"] = [{"node": "20", "input": "text"}, {"node": "21", "input": "text"}]
    del wanted["inputs"]["negative_prompt"]
    made = filled(read_workflow("film", graph(), wanted))
    assert made["20"]["inputs"]["text"] == made["21"]["inputs"]["text"] == "a fox"


def test_loras_are_put_in_behind_the_model_in_their_order() -> None:
    made = filled(film(), A, B)
    assert made["lora-1"]["inputs"] == {"model": ("10", 0), "lora_name": "a.safetensors", "strength_model": 0.5}
    assert made["lora-2"]["inputs"] == {"model": ("lora-1", 0), "lora_name": "b.safetensors", "strength_model": 1}
    assert made["40"]["inputs"]["model"] == ("lora-2", 0)


def test_without_loras_nothing_is_put_in() -> None:
    assert filled(film()).keys() == film().graph.keys()


def test_loras_that_have_a_part_for_the_text_encoder_are_put_in_behind_both() -> None:
    made = filled(film(loras={"model": {"node": "10"}, "clip": {"node": "11"}}), A, B)
    assert made["lora-1"]["class_type"] == "LoraLoader"
    assert (made["lora-1"]["inputs"]["clip"], made["lora-1"]["inputs"]["strength_clip"]) == (("11", 0), 0.5)
    assert made["20"]["inputs"]["clip"] == made["21"]["inputs"]["clip"] == ("lora-2", 1)


def test_a_loader_does_not_take_the_id_of_another_node() -> None:
    taken = graph()
    taken["lora-1"] = taken.pop("12")
    taken["50"]["inputs"]["vae"] = ["lora-1", 0]
    made = filled(read_workflow("film", taken, mapping()), A)
    assert made["lora-1"]["class_type"] == "VAELoader"
    assert made[made["40"]["inputs"]["model"][0]]["inputs"]["lora_name"] == "a.safetensors"


@pytest.mark.parametrize(
    ("loras", "chain"),
    [((), []), ((A,), ["a"]), ((A, B), ["a", "b"])],
)
def test_the_workflows_own_loaders_take_as_many_as_there_are(loras: tuple[LoraFile, ...], chain: list[str]) -> None:
    workflow = read_workflow("film", graph_with_loaders(), mapping() | {"loras": ["70", "71"]})
    made = filled(workflow, *loras)
    node_id, found = made["40"]["inputs"]["model"][0], []
    while node_id != "10":
        found.append(made[node_id]["inputs"]["lora_name"].removesuffix(".safetensors"))
        node_id = made[node_id]["inputs"]["model"][0]
    assert found[::-1] == chain
    # A loader that nobody needs would still want its file.
    assert sum(node["class_type"].startswith("Lora") for node in made.values()) == len(chain)


def test_a_loader_that_the_map_does_not_name_stays() -> None:
    made = filled(read_workflow("film", graph_with_loaders(), mapping() | {"loras": ["71"]}), C)
    assert made["70"]["inputs"]["lora_name"] == "first.safetensors"
    assert made["71"]["inputs"] == {"model": ("70", 0), "lora_name": "c.safetensors", "strength_model": 2}


def test_a_given_image_is_loaded_by_the_servers_name() -> None:
    workflow = read_workflow("film", graph_from_an_image(), mapping_from_an_image())
    made = filled(workflow, images={"init_image": "isengard/input-1.png"}, denoise=0.4)
    assert made["80"]["inputs"]["image"] == "isengard/input-1.png"
    assert made["40"]["inputs"]["denoise"] == 0.4
