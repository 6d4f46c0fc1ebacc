"""What the adapter relies on in ComfyUI's protocol, held against the stand-in and against a real server."""

import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from generation.engines.simulator.nodes import CATALOGUE
from tests.conformance.generation_servers import TEST_SECONDS, Graph, Server, unique
from tests.generation.simulator_process import copy_graph, flux_graph, png_bytes

pytest_plugins = ("tests.conformance.generation_fixtures",)
pytestmark = [pytest.mark.stack, pytest.mark.timeout(TEST_SECONDS)]

PACK_PREFIX = "custom_nodes."
CORE = sorted(name for name, node in CATALOGUE.items() if not node.module.startswith(PACK_PREFIX))
LINKS_AND_LITERALS = ("default", "min", "max")


def node(class_type: str, **inputs: object) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def upload(server: Server, name: str, content: bytes, **fields: str) -> dict[str, str]:
    answer = server.post("/upload/image", files={"image": (name, content, "image/png")}, data=fields)
    assert answer.status_code == 200
    stored: dict[str, str] = answer.json()
    return stored


def refusal(server: Server, graph: object) -> dict[str, Any]:
    answer = server.post("/prompt", {"prompt": graph})
    assert answer.status_code == 400
    body: dict[str, Any] = answer.json()
    assert set(body["error"]) == {"type", "message", "details", "extra_info"}
    return body


def problem(server: Server, node_id: str, **inputs: object) -> dict[str, Any]:
    graph = flux_graph()
    graph[node_id]["inputs"].update(inputs)
    body = refusal(server, graph)
    assert (body["error"]["type"], body["error"]["details"]) == ("prompt_outputs_failed_validation", "")
    assert set(body["node_errors"]) == {node_id}
    filed = body["node_errors"][node_id]
    assert (filed["dependent_outputs"], filed["class_type"]) == (["15"], graph[node_id]["class_type"])
    (error,) = filed["errors"]
    return dict(error)


# What the server is and has


def test_the_version_and_the_devices_are_told(server: Server) -> None:
    stats = server.get("/system_stats").json()
    assert [part.isdecimal() for part in stats["system"]["comfyui_version"].split(".")] == [True] * 3
    assert {"name", "type", "index", "vram_total", "vram_free", "torch_vram_total", "torch_vram_free"} <= set(
        stats["devices"][0]
    )
    assert server.get("/features").json()["supports_preview_metadata"] is True


def _shape(kind: list[Any]) -> object:
    """What of an input counts: the kind of a link, the range of a number; of a choice only that it is one."""
    if isinstance(kind[0], list) or kind[0] == "COMBO":
        return "COMBO"
    config = kind[1] if len(kind) > 1 else {}
    return kind[0], {name: config[name] for name in LINKS_AND_LITERALS if name in config and kind[0] != "STRING"}


def _inputs(declared: Mapping[str, Any], group: str) -> dict[str, object]:
    return {name: _shape(kind) for name, kind in declared["input"].get(group, {}).items()}


def _stand_ins(server: Server, name: str) -> dict[str, Any]:
    """What the stand-in declares of a node; the folders decide only its choices."""
    del server
    spelled = CATALOGUE[name]
    groups = {"required": spelled.required, "optional": spelled.optional}
    return {
        "input": {
            group: {each: [spec.type, dict(spec.config)] for each, spec in specs.items()}
            for group, specs in groups.items()
        },
        "output": list(spelled.outputs),
        "output_node": spelled.is_output,
    }


@pytest.mark.parametrize("name", CORE)
def test_each_node_is_declared_as_the_stand_in_declares_it(server: Server, name: str) -> None:
    declared, expected = server.get(f"/object_info/{name}").json()[name], _stand_ins(server, name)
    assert _inputs(declared, "required") == _inputs(expected, "required")
    assert _inputs(expected, "optional").items() <= _inputs(declared, "optional").items()
    # Newer releases hand on what they save.
    assert declared["output"][: len(expected["output"])] == expected["output"]
    assert declared["output_node"] == expected["output_node"]


def test_a_node_that_is_not_there_is_an_empty_object(server: Server) -> None:
    answer = server.get("/object_info/NoSuchNode")
    assert (answer.status_code, answer.json()) == (200, {})


def test_a_new_lora_is_listed_at_once_and_an_unfinished_one_is_not(server: Server) -> None:
    folder = server.loras / unique()
    folder.mkdir()
    (folder / "v1.safetensors").write_bytes(b"")
    (folder / "v2.safetensors.tmp").write_bytes(b"")
    names = server.get("/models/loras").json()
    assert f"{folder.name}/v1.safetensors" in names
    assert not any("v2" in name for name in names)
    (folder / "v1.safetensors").unlink()


# Refusals


def test_a_model_file_that_is_missing(server: Server) -> None:
    error = problem(server, "1", unet_name="nope.safetensors")
    assert error["type"] == "value_not_in_list"
    assert error["details"].startswith("unet_name: 'nope.safetensors' not in ")
    assert error["extra_info"]["input_name"] == "unet_name"
    assert error["extra_info"]["received_value"] == "nope.safetensors"


@pytest.mark.parametrize(
    ("node_id", "inputs", "error_type"),
    [
        ("7", {"width": 8}, "value_smaller_than_min"),
        ("7", {"width": 100_000}, "value_bigger_than_max"),
        ("8", {"noise_seed": 2**64}, "value_bigger_than_max"),
        ("7", {"width": "wide"}, "invalid_input_type"),
        ("2", {"type": "bogus"}, "value_not_in_list"),
        ("14", {"vae": ["3"]}, "bad_linked_input"),
        ("14", {"vae": ["2", 0]}, "return_type_mismatch"),
    ],
)
def test_each_kind_of_bad_input(server: Server, node_id: str, inputs: dict[str, Any], error_type: str) -> None:
    assert problem(server, node_id, **inputs)["type"] == error_type


def test_an_unknown_node_and_a_graph_without_outputs(server: Server) -> None:
    unknown = refusal(server, flux_graph() | {"99": node("NoSuchNode")})
    assert unknown["error"]["type"] in ("invalid_prompt", "missing_node_type")
    assert "NoSuchNode" in unknown["error"]["message"]
    assert unknown["node_errors"] == {}
    assert refusal(server, {})["error"]["type"] == "prompt_no_outputs"
    assert server.post("/prompt", {}).json()["error"]["type"] == "no_prompt"


def test_an_image_that_was_not_uploaded(server: Server) -> None:
    (error,) = refusal(server, copy_graph("nope.png"))["node_errors"]["1"]["errors"]
    assert (error["type"], error["details"]) == (
        "custom_validation_failed",
        "image - Invalid image file: nope.png",
    )


def test_a_good_output_beside_a_bad_one_is_taken_with_the_errors_told(server: Server) -> None:
    stored = upload(server, unique(".png"), png_bytes())
    graph = copy_graph(stored["name"], prefix=unique())
    graph["8"] = node("LoadImage", image="nope.png")
    graph["9"] = node("SaveImage", images=["8", 0], filename_prefix="bad")
    answer = server.post("/prompt", {"prompt": graph, "prompt_id": str(uuid.uuid4())})
    assert answer.status_code == 200
    assert set(answer.json()["node_errors"]) == {"8"}
    assert list(server.entry(answer.json()["prompt_id"])["outputs"]) == ["2"]


# Files


def test_an_upload_keeps_its_name_for_the_same_bytes_and_gets_another_for_others(server: Server) -> None:
    name = unique(".png")
    first = upload(server, name, png_bytes("red"), subfolder="isengard", type="input")
    assert first == {"name": name, "subfolder": "isengard", "type": "input"}
    assert upload(server, name, png_bytes("red"), subfolder="isengard") == first
    other = upload(server, name, png_bytes("blue"), subfolder="isengard")
    assert other["name"] == name.replace(".png", " (1).png")
    graph: Graph = copy_graph(f"isengard/{name}", prefix=unique())
    assert server.run(graph)["status"]["completed"]


def test_a_picture_is_viewed_by_its_parts_and_nothing_beyond_its_folder_is(server: Server) -> None:
    name = unique(".png")
    upload(server, name, png_bytes())
    seen = server.get("/view", params={"filename": name, "type": "input", "subfolder": ""})
    assert (seen.status_code, seen.content) == (200, png_bytes())
    assert server.get("/view", params={"filename": "nope.png"}).status_code == 404
    assert server.get("/view", params={"filename": "../x.png"}).status_code == 400
    assert server.get("/view", params={"filename": "x.png", "subfolder": "../.."}).status_code == 403


def test_an_origin_that_is_not_the_servers_own_is_refused(server: Server) -> None:
    answer = server.get("/queue", headers={"Origin": "http://example.com"})
    assert answer.status_code == (403 if "127.0.0.1" in server.url or "localhost" in server.url else 200)
