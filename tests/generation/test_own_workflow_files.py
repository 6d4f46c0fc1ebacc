"""Operators' own workflows as files: what is taken, and what is refused in words."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from generation.presets import Preset
from generation.workflows.errors import FileBroken
from generation.workflows.folder import MAX_GRAPH_BYTES, MAX_WORKFLOWS, Broken, find_workflows
from generation.workflows.graph_file import MAX_NODES
from generation.workflows.mapping import MapFile
from generation.workflows.workflow import Workflow, read_workflow
from tests.generation.own_workflow_files import (
    graph,
    graph_from_an_image,
    graph_with_loaders,
    mapping,
    mapping_from_an_image,
    write_workflow,
)


def reason_of(given: Any, wanted: Any) -> str:
    with pytest.raises(FileBroken) as caught:
        read_workflow("film", given, wanted)
    return str(caught.value)


def broken(folder: Path, name: str = "film") -> str:
    found = find_workflows(folder)[name]
    assert isinstance(found, Broken)
    return found.reason


def test_a_whole_workflow_is_read(tmp_path: Path) -> None:
    write_workflow(tmp_path)
    found = find_workflows(tmp_path)["film"]
    assert isinstance(found, Workflow)
    assert (found.title, found.mapping.base_model) == ("Film look", "flux-schnell")
    assert found.own_values == {
        "negative_prompt": "blurry",
        "width": 768,
        "height": 512,
        "steps": 6,
        "guidance_scale": 1.5,
    }


def test_only_what_the_saved_image_depends_on_is_kept() -> None:
    assert "61" not in read_workflow("film", graph(), mapping()).graph


def test_a_number_may_stand_for_a_node_and_a_list_for_several_places() -> None:
    wanted = mapping()
    wanted["inputs"]["prompt"] = [{"node": 20, "input": "text"}, {"node": 21, "input": "text"}]
    del wanted["inputs"]["negative_prompt"]
    places = read_workflow("film", graph(), wanted).mapping.inputs["prompt"]
    assert [place.node for place in places] == ["20", "21"]


def test_the_same_content_has_the_same_sha256_and_any_change_another(tmp_path: Path) -> None:
    first = read_workflow("film", graph(), mapping())
    reordered = dict(reversed(graph().items()))
    assert read_workflow("film", reordered, mapping()).sha256 == first.sha256
    changed, remapped = graph(), mapping()
    changed["40"]["inputs"]["scheduler"] = "karras"
    remapped["inputs"]["seed"] = [remapped["inputs"]["seed"]] * 2
    assert read_workflow("film", changed, mapping()).sha256 != first.sha256
    assert read_workflow("film", graph(), remapped).sha256 != first.sha256


def test_what_is_kept_reads_as_the_same_workflow_again() -> None:
    first = read_workflow("film", graph_with_loaders(), mapping() | {"loras": ["70", "71"]})
    content = json.loads(first.content)
    assert read_workflow("film", content["graph"], content["map"]) == first


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"60": None}, "must have one node SaveImage, and has 0"),
        ({"62": graph()["60"]}, "must have one node SaveImage, and has 2"),
        ({"60": {"class_type": "SaveImage", "inputs": {}}}, "Nothing is linked to its SaveImage"),
        ({"12": None}, "Node 50 is linked to node 12, which is not there"),
        ({"20": "text"}, "Node 20 must be an object with class_type and inputs"),
        ({"20": {"class_type": 5, "inputs": {}}}, "The class_type of node 20 must be 1 to 200 printable"),
        ({"20": {"class_type": "..", "inputs": {}}}, "The class_type of node 20 must be 1 to 200 printable"),
        ({"20": {"class_type": "X", "inputs": {"list": [1, 2, 3]}}}, "Node 20 has a list that is no link"),
        ({"20": {"class_type": "X", "inputs": {"clip": ["11", -1]}}}, "Node 20 has a list that is no link"),
        ({"11": {"class_type": "X", "inputs": {"back": ["60", 0]}}}, "Its links go round in a circle"),
        ({"nodes": [], "links": []}, "export it with `Export (API)`"),
    ],
)
def test_a_graph_that_comfyui_could_not_run_is_refused(change: dict[str, Any], words: str) -> None:
    changed = {key: value for key, value in (graph() | change).items() if value is not None}
    assert words in reason_of(changed, mapping())


def test_a_graph_of_too_many_nodes_is_refused() -> None:
    many = {str(number): {"class_type": "X", "inputs": {}} for number in range(MAX_NODES + 1)}
    assert f"at most {MAX_NODES}" in reason_of(many, mapping())


@pytest.mark.parametrize(
    ("name", "place", "words"),
    [
        ("steps", {"node": "99", "input": "steps"}, "the image does not depend on a node 99"),
        ("steps", {"node": "61", "input": "images"}, "the image does not depend on a node 61"),
        ("steps", {"node": "40", "input": "stepz"}, "there is no input stepz of node 40 (KSampler)"),
        ("steps", {"node": "40", "input": "model"}, "is linked to node 10"),
        ("steps", {"node": "40", "input": "cfg"}, "is not a whole number"),
        ("steps", {"node": "40", "input": "scheduler"}, "is not a whole number"),
        ("guidance_scale", {"node": "40", "input": "scheduler"}, "is not a number"),
        ("negative_prompt", {"node": "40", "input": "steps"}, "is not a text"),
        ("negative_prompt", {"node": "20", "input": "text"}, "prompt goes there already"),
        ("colour", {"node": "20", "input": "text"}, "inputs.colour"),
        ("steps", {"node": "40"}, "inputs.steps.0.input: Field required"),
        ("steps", {"node": "40", "input": "steps", "out": 1}, "inputs.steps.0.out: there is no such key"),
        ("steps", [], "inputs.steps"),
    ],
)
def test_a_place_that_does_not_fit_is_refused(name: str, place: object, words: str) -> None:
    wanted = mapping()
    wanted["inputs"][name] = place
    assert words in reason_of(graph(), wanted)


@pytest.mark.parametrize("required", ["prompt", "seed"])
def test_prompt_and_seed_must_go_somewhere(required: str) -> None:
    wanted = mapping()
    del wanted["inputs"][required]
    assert f"inputs.{required} is missing" in reason_of(graph(), wanted)


@pytest.mark.parametrize(
    ("loras", "words"),
    [
        (["20"], "node 20 is no LoraLoader or LoraLoaderModelOnly"),
        (["70", "70"], "each loader can be named once"),
        ({"model": {"node": "12", "output": 1}}, "nothing is linked to output 1 of node 12"),
        ({"model": {"node": "99"}}, "nothing is linked to output 0 of node 99"),
        ({"node": "10"}, "loras.point.model: Field required"),
        ([], "loras"),
    ],
)
def test_a_place_for_loras_that_is_none_is_refused(loras: object, words: str) -> None:
    assert words in reason_of(graph_with_loaders(), mapping() | {"loras": loras})


def test_a_value_that_nobody_could_ask_for_is_refused() -> None:
    changed = graph()
    changed["30"]["inputs"]["width"] = 256
    assert "A value in the graph cannot be asked for. width: " in reason_of(changed, mapping())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"base_model": "flux-pro"}, "base_model: must be one of flux-dev"),
        ({"extra": 1}, "extra: there is no such key"),
        ({"title": "x" * 101}, "title: "),
        ({"inputs": []}, "inputs: "),
    ],
)
def test_a_map_file_with_something_wrong_names_the_key(change: dict[str, Any], words: str) -> None:
    assert f"The map file is wrong. {words}" in reason_of(graph(), mapping() | change)


def test_a_workflow_that_begins_with_a_picture_says_that_it_needs_one() -> None:
    assert read_workflow("film", graph_from_an_image(), mapping_from_an_image()).mapping.images == ("init_image",)


def test_without_a_folder_there_are_none(tmp_path: Path) -> None:
    assert find_workflows(tmp_path / "none") == {}


def test_a_broken_file_leaves_the_others_alone(tmp_path: Path) -> None:
    write_workflow(tmp_path)
    write_workflow(tmp_path, "other", graph={})
    assert isinstance(find_workflows(tmp_path)["film"], Workflow)
    assert "SaveImage" in broken(tmp_path, "other")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "film.json is not JSON: "),
        (b"[1]", "film.json must be a JSON object"),
        (b"", "film.json is not JSON"),
        (b"\xff\xfe", "film.json is not JSON"),
        (b'{"a": ' + b"[" * 100_000, "film.json is not JSON"),
        (b'{"a": NaN}', "film.json is not JSON"),
        (b'{"1": {"class_type": "\\u0000"}}', "must not contain the character U+0000"),
        (b'"' + b"x" * MAX_GRAPH_BYTES, "film.json is larger than 1024 KiB"),
    ],
)
def test_a_file_that_is_no_such_json_is_told(tmp_path: Path, content: bytes, words: str) -> None:
    write_workflow(tmp_path)
    (tmp_path / "film.json").write_bytes(content)
    assert words in broken(tmp_path)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    write_workflow(tmp_path)
    path = tmp_path / "film.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert isinstance(find_workflows(tmp_path)["film"], Workflow)


@pytest.mark.parametrize("kept", ["film.json", "film.map.json"])
def test_one_file_without_the_other_is_told(tmp_path: Path, kept: str) -> None:
    write_workflow(tmp_path)
    (missing,) = {"film.json", "film.map.json"} - {kept}
    (tmp_path / missing).unlink()
    assert broken(tmp_path) == f"There is no file {missing}."


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    write_workflow(tmp_path)
    (tmp_path / "film.json").unlink()
    os.mkfifo(tmp_path / "film.json")
    assert broken(tmp_path) == "There is no file film.json."


@pytest.mark.parametrize("name", ["my film", "größe", ".hidden", "x" * 65])
def test_a_name_that_no_request_should_have_to_spell_is_told(tmp_path: Path, name: str) -> None:
    write_workflow(tmp_path, name)
    ((_, found),) = find_workflows(tmp_path).items()
    assert isinstance(found, Broken)
    assert "rename it" in found.reason


def test_a_name_of_any_bytes_can_be_shown(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.json")).write_text("{}")
    ((name, _),) = find_workflows(tmp_path).items()
    assert name.encode("utf-8")


def test_more_workflows_than_anybody_needs_are_not_read(tmp_path: Path) -> None:
    for number in range(MAX_WORKFLOWS + 1):
        (tmp_path / f"w{number:03}.json").write_text("{}")
    assert broken(tmp_path, f"w{MAX_WORKFLOWS:03}") == f"At most {MAX_WORKFLOWS} workflows are read."


def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "workflows"
    folder.write_text("a file")
    assert "cannot be read" in broken(folder, "workflows")


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    write_workflow(tmp_path)
    before = find_workflows(tmp_path)["film"]
    assert find_workflows(tmp_path)["film"] is before
    write_workflow(tmp_path, mapping=mapping() | {"title": "Another look"})
    assert find_workflows(tmp_path)["film"].title == "Another look"


def test_the_examples_of_the_page_are_right() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "workflows.md"
    preset, wanted = re.findall(r"```json\n(.+?)```", page.read_text(), re.DOTALL)
    assert Preset.model_validate_json(preset).models["sdxl"]["steps"] == 45
    assert MapFile.model_validate_json(wanted).parameters == (
        "prompt",
        "seed",
        "width",
        "height",
        "steps",
        "lora_id",
        "lora_strength",
        "loras",
    )
