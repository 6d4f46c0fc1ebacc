"""How the stand-in refuses graphs that cannot run."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.generation.simulator_process import Graph, Simulator, copy_graph, flux_graph, lora_bytes

pytest_plugins = ("tests.generation.simulator_fixtures",)

VAES = ["ae.safetensors", "flux2-vae.safetensors", "qwen_image_vae.safetensors", "pixel_space"]
Change = Callable[[Graph], object]


def refusal(simulator: Simulator, graph: object) -> dict[str, Any]:
    answer = simulator.post("/prompt", {"prompt": graph})
    assert answer.status_code == 400
    body: dict[str, Any] = answer.json()
    return body


def setting(node_id: str, **inputs: object) -> Change:
    return lambda graph: graph[node_id]["inputs"].update(inputs)


def removing(node_id: str, key: str) -> Change:
    return lambda graph: graph[node_id]["inputs"].pop(key)


def changed(*changes: Change) -> Graph:
    graph = copy.deepcopy(flux_graph())
    for change in changes:
        change(graph)
    return graph


def test_an_unknown_node_class(simulator: Simulator) -> None:
    graph = changed(lambda graph: graph["11"].update(class_type="NoSuchNode"))
    assert refusal(simulator, graph) == {
        "error": {
            "type": "invalid_prompt",
            "message": "Cannot execute because node NoSuchNode does not exist.",
            "details": "Node ID '#11'",
            "extra_info": {},
        },
        "node_errors": {},
    }


def test_a_node_without_a_class(simulator: Simulator) -> None:
    body = refusal(simulator, changed(lambda graph: graph["11"].pop("class_type")))
    assert body["error"]["type"] == "invalid_prompt"
    assert body["error"]["message"] == "Cannot execute because a node is missing the class_type property."


@pytest.mark.parametrize("graph", [{}, [], changed(lambda graph: graph.pop("15"))])
def test_a_graph_without_an_output(simulator: Simulator, graph: object) -> None:
    error = {"type": "prompt_no_outputs", "message": "Prompt has no outputs", "details": "", "extra_info": {}}
    assert refusal(simulator, graph) == {"error": error, "node_errors": {}}


@pytest.mark.parametrize("body", [{"client_id": "me"}, [1, 2]])
def test_a_body_without_a_prompt(simulator: Simulator, body: object) -> None:
    answer = simulator.post("/prompt", body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "no_prompt")


def test_an_input_error_is_filed_under_its_node(simulator: Simulator) -> None:
    body = refusal(simulator, changed(setting("1", unet_name="nope.safetensors")))
    assert body["error"] == {
        "type": "prompt_outputs_failed_validation",
        "message": "Prompt outputs failed validation",
        "details": "",
        "extra_info": {},
    }
    options = simulator.get("/models/diffusion_models").json()
    problem = {
        "type": "value_not_in_list",
        "message": "Value not in list",
        "details": f"unet_name: 'nope.safetensors' not in {options}",
        "extra_info": {
            "input_name": "unet_name",
            "input_config": [options, {}],
            "received_value": "nope.safetensors",
        },
    }
    assert body["node_errors"] == {"1": {"errors": [problem], "dependent_outputs": ["15"], "class_type": "UNETLoader"}}


@pytest.mark.parametrize(
    ("change", "node_id", "problem_type", "details"),
    [
        (
            setting("9", sampler_name="bogus"),
            "9",
            "value_not_in_list",
            "sampler_name: 'bogus' not in (list of length 44)",
        ),
        (
            setting("3", vae_name="x"),
            "3",
            "value_not_in_list",
            f"vae_name: 'x' not in {VAES}",
        ),
        (setting("7", width=8), "7", "value_smaller_than_min", "width"),
        (setting("7", width=100000), "7", "value_bigger_than_max", "width"),
        (setting("8", noise_seed=-1), "8", "value_smaller_than_min", "noise_seed"),
        (setting("8", noise_seed=2**64), "8", "value_bigger_than_max", "noise_seed"),
        (setting("6", guidance=500.0), "6", "value_bigger_than_max", "guidance"),
        (
            setting("7", width="wide"),
            "7",
            "invalid_input_type",
            "width, wide, invalid literal for int() with base 10: 'wide'",
        ),
        (
            setting("7", width=None),
            "7",
            "invalid_input_type",
            "width, None, int() argument must be a string, a bytes-like object or a real number, not 'NoneType'",
        ),
        (removing("13", "noise"), "13", "required_input_missing", "noise"),
        (removing("7", "height"), "7", "required_input_missing", "height"),
        (setting("14", vae=["3"]), "14", "bad_linked_input", "vae"),
        (
            setting("14", vae=["2", 0]),
            "14",
            "return_type_mismatch",
            "vae, received_type(CLIP) mismatch input_type(VAE)",
        ),
        (setting("13", noise=["99", 0]), "13", "exception_during_inner_validation", "'99'"),
        (setting("14", vae=["3", 5]), "14", "exception_during_inner_validation", "tuple index out of range"),
        (lambda graph: graph["7"].pop("inputs"), "7", "exception_during_inner_validation", "'inputs'"),
    ],
)
def test_each_kind_of_input_error(
    simulator: Simulator, change: Change, node_id: str, problem_type: str, details: str
) -> None:
    errors = refusal(simulator, changed(change))["node_errors"]
    assert list(errors) == [node_id]
    (problem,) = errors[node_id]["errors"]
    assert (problem["type"], problem["details"]) == (problem_type, details)


def test_a_long_list_of_options_is_not_sent_back(simulator: Simulator) -> None:
    errors = refusal(simulator, changed(setting("9", sampler_name="bogus")))["node_errors"]
    assert errors["9"]["errors"][0]["extra_info"]["input_config"] is None


def test_an_exception_while_validating_carries_a_traceback(simulator: Simulator) -> None:
    errors = refusal(simulator, changed(setting("13", noise=["99", 0])))["node_errors"]
    info = errors["13"]["errors"][0]["extra_info"]
    assert (info["input_name"], info["linked_node"], info["exception_type"]) == ("samples", ["13", 0], "KeyError")
    assert 'File "' in info["traceback"][0]


def test_new_style_combos_are_spelled_differently(simulator: Simulator) -> None:
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}},
        "2": {"class_type": "UpscaleModelLoader", "inputs": {"model_name": "4x.pth"}},
        "3": {"class_type": "ImageUpscaleWithModel", "inputs": {"upscale_model": ["2", 0], "image": ["1", 0]}},
        "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "up"}},
    }
    (problem,) = refusal(simulator, graph)["node_errors"]["2"]["errors"]
    assert problem["extra_info"]["input_config"] == [
        "COMBO",
        {"multiselect": False, "options": ["RealESRGAN_x4plus.pth"]},
    ]


def test_a_missing_upload(simulator: Simulator) -> None:
    (problem,) = refusal(simulator, copy_graph("nope.png"))["node_errors"]["1"]["errors"]
    assert problem == {
        "type": "custom_validation_failed",
        "message": "Custom validation failed for node",
        "details": "image - Invalid image file: nope.png",
        "extra_info": {"input_name": "image"},
    }


@pytest.mark.parametrize("name", ["face.safetensors", "/users/42/face.safetensors", "users\\42\\face.safetensors"])
def test_a_lora_has_to_be_named_by_its_relative_path(simulator: Simulator, name: str) -> None:
    path = simulator.loras / "users" / "42" / "face.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lora_bytes())
    (problem,) = refusal(simulator, flux_graph(lora=name))["node_errors"]["4"]["errors"]
    assert problem["type"] == "value_not_in_list"


def test_a_cycle_is_refused_without_a_reason(simulator: Simulator) -> None:
    body = refusal(simulator, changed(setting("6", conditioning=["6", 0])))
    assert body["error"]["type"] == "prompt_outputs_failed_validation"
    assert body["node_errors"] == {}


def test_errors_of_several_nodes_come_together(simulator: Simulator) -> None:
    body = refusal(simulator, changed(setting("1", unet_name="x"), setting("3", vae_name="y")))
    assert set(body["node_errors"]) == {"1", "3"}


def test_only_the_output_nodes_own_errors_are_in_the_details(simulator: Simulator) -> None:
    body = refusal(simulator, changed(removing("15", "filename_prefix")))
    assert body["error"]["details"] == "Required input is missing: filename_prefix"


def test_a_good_output_runs_although_another_one_is_invalid(simulator: Simulator) -> None:
    graph = flux_graph()
    graph["16"] = {"class_type": "SaveImage", "inputs": {"images": ["17", 0], "filename_prefix": "bad"}}
    graph["17"] = {"class_type": "LoadImage", "inputs": {"image": "nope.png"}}
    answer = simulator.post("/prompt", {"prompt": graph})
    assert answer.status_code == 200
    assert answer.json()["node_errors"]["17"]["dependent_outputs"] == ["16"]
    entry = simulator.entry(answer.json()["prompt_id"])
    assert entry["prompt"][4] == ["15"]
    assert list(entry["outputs"]) == ["15"]


def test_unknown_inputs_are_ignored_and_number_texts_converted(simulator: Simulator) -> None:
    entry = simulator.run(changed(setting("7", width="72", foo=1, bar=["99", 0])))
    assert entry["status"]["completed"]
    assert entry["prompt"][2]["7"]["inputs"]["width"] == 72


def test_a_refusal_sends_nothing(simulator: Simulator) -> None:
    listener = simulator.listen("me")
    simulator.post("/prompt", {"prompt": {}, "client_id": "me"})
    assert listener.hears_nothing(0.1)


def test_every_node_is_described(simulator: Simulator) -> None:
    nodes = simulator.get("/object_info").json()
    assert len(nodes) == 49
    assert nodes["StyleModelLoader"]["input"]["required"]["style_model_name"] == [["flux1-redux-dev.safetensors"]]
    assert nodes["UpscaleModelLoader"]["input"]["required"]["model_name"] == [
        "COMBO",
        {"multiselect": False, "options": ["RealESRGAN_x4plus.pth"]},
    ]
    assert nodes["SaveImage"]["output_node"] is True
    assert simulator.get("/object_info/VAELoader").json() == {"VAELoader": nodes["VAELoader"]}
    assert simulator.get("/object_info/NoSuchNode").json() == {}
