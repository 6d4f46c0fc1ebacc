"""What ComfyUI is given for each parameter."""

from typing import Any

import pytest

from generation.engines.comfyui.catalogue import Catalogue
from generation.engines.comfyui.images import Images
from generation.engines.comfyui.nodes import Graph
from generation.engines.comfyui.workflow import SAMPLER, NotOffered, build_graph
from generation.engines.order import LoraFile
from generation.params import VARIANTS, GenerationParams, LoraChoice
from tests.generation.comfyui_fixtures import order_for, prompt_id
from tests.generation.node_declarations import complaints

# One value for each parameter that is not its default. A parameter that is added has to be added here.
OTHER_VALUES: dict[str, Any] = {
    "prompt": "another photo",
    "negative_prompt": "blurry",
    "width": 768,
    "height": 768,
    "steps": 7,
    "guidance_scale": 5.0,
    "seed": 99,
    "lora_id": "char-1",
    "lora_strength": 0.5,
    "loras": [LoraChoice(lora_id="char-2", strength=0.5)],
    "init_image": "input-1.png",
    "denoise": 0.4,
    "use_controlnet": True,
    "control_image": "input-2.png",
    "control_type": "depth",
    "control_preprocess": False,
    "control_strength": 0.3,
    "control_start": 0.1,
    "control_end": 0.6,
    "use_ipadapter": True,
    "reference_image": "input-3.png",
    "reference_strength": 0.5,
    "use_facedetailer": True,
    "use_upscale": True,
    "upscale_factor": 4,
    "model_variant": "flux-schnell",
}
# It decides what the prompts of each image are before there is a graph: test_pictures.py.
WIRED_ELSEWHERE = {"dynamic_prompts", "workflow"}
# What a parameter needs beside it to act.
LEADERS: dict[str, dict[str, Any]] = {
    "lora_strength": {"lora_id": "char-9"},
    "denoise": {"init_image": "input-1.png"},
    "control_image": {"use_controlnet": True},
    "control_type": {"use_controlnet": True},
    "control_preprocess": {"use_controlnet": True},
    "control_strength": {"use_controlnet": True},
    "control_start": {"use_controlnet": True},
    "control_end": {"use_controlnet": True},
    "reference_image": {"use_ipadapter": True},
    "reference_strength": {"use_ipadapter": True},
    "upscale_factor": {"use_upscale": True},
}
EVERYTHING = {
    "negative_prompt": "blurry",
    "init_image": "input-1.png",
    "use_facedetailer": True,
    "use_upscale": True,
    "lora_id": "char-1",
    "loras": [LoraChoice(lora_id="char-2")],
}
CONTROL = {"use_controlnet": True, "control_image": "input-2.png"}
REFERENCE = {"use_ipadapter": True, "reference_image": "input-3.png"}
POSSIBLE: dict[str, dict[str, Any]] = {
    "flux-dev": CONTROL | REFERENCE,
    "flux-schnell": CONTROL | REFERENCE,
    "sdxl": CONTROL | REFERENCE,
    "qwen-image": CONTROL,
}


def _graph(**asked: Any) -> Graph:
    params = GenerationParams(**{"prompt": "a photo", "seed": 1} | asked)
    loras = [LoraFile(name=f"{params.lora_id}/v1.safetensors", strength=params.lora_strength)] if params.lora_id else []
    loras += [LoraFile(name=f"{lora.lora_id}/v1.safetensors", strength=lora.strength) for lora in params.loras]
    fields = ("init_image", "control_image", "reference_image")
    images = {field: f"isengard/{name}" for field in fields if (name := getattr(params, field))}
    assert params.seed is not None
    return build_graph(params, loras, seed=params.seed, prefix="isengard/gen-1/a1_0", images=images)


def _classes(graph: Graph) -> list[str]:
    return [node["class_type"] for node in graph.values()]


def _only(graph: Graph, class_type: str) -> dict[str, Any]:
    (node,) = [node for node in graph.values() if node["class_type"] == class_type]
    return node["inputs"]


def test_the_table_of_values_names_every_parameter() -> None:
    assert set(OTHER_VALUES) | WIRED_ELSEWHERE == set(GenerationParams.model_fields)


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_every_parameter_changes_what_the_engine_is_given(name: str) -> None:
    base = LEADERS.get(name, {})
    assert _graph(**base) != _graph(**base | {name: OTHER_VALUES[name]})


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    "name",
    ["prompt", "negative_prompt", "width", "height", "steps", "seed", "lora_id", "loras", "init_image", "use_upscale"],
)
def test_what_every_model_can_do_is_wired_for_each(variant: str, name: str) -> None:
    changed = _graph(model_variant=variant, **{name: OTHER_VALUES[name]})
    assert changed != _graph(model_variant=variant)


@pytest.mark.parametrize("variant", ["flux-dev", "z-image", "qwen-image", "sdxl"])
def test_guidance_is_wired_where_the_model_has_any(variant: str) -> None:
    assert _graph(model_variant=variant, guidance_scale=6.0) != _graph(model_variant=variant)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("asked", [{}, EVERYTHING, {"negative_prompt": "blurry"}, {"use_facedetailer": True}])
def test_comfyui_would_take_the_graph_of_each_model(variant: str, asked: dict[str, Any]) -> None:
    graph = _graph(model_variant=variant, **asked)
    assert list(complaints(graph)) == []


@pytest.mark.parametrize("variant", POSSIBLE)
@pytest.mark.parametrize("control_type", ["canny", "depth", "pose"])
def test_comfyui_would_take_everything_at_once(variant: str, control_type: str) -> None:
    graph = _graph(model_variant=variant, **EVERYTHING, **POSSIBLE[variant] | {"control_type": control_type})
    assert list(complaints(graph)) == []


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("asked", [{}, EVERYTHING])
def test_every_node_is_used(variant: str, asked: dict[str, Any]) -> None:
    graph = _graph(model_variant=variant, **asked)
    links = {value[0] for node in graph.values() for value in node["inputs"].values() if isinstance(value, tuple)}
    assert set(graph) - links == {"15"}, "everything but the saving of the image is used"


def test_loras_are_stacked_behind_the_model_in_their_order() -> None:
    graph = _graph(lora_id="a", loras=[LoraChoice(lora_id="b", strength=0.5)])
    assert graph["40"]["inputs"] == {"model": ("1", 0), "lora_name": "a/v1.safetensors", "strength_model": 1.0}
    assert graph["41"]["inputs"] == {"model": ("40", 0), "lora_name": "b/v1.safetensors", "strength_model": 0.5}
    assert graph["10"]["inputs"]["model"] == ("41", 0)


def test_loras_of_sdxl_act_on_the_text_encoder_too() -> None:
    graph = _graph(model_variant="sdxl", lora_id="a", loras=[LoraChoice(lora_id="b")])
    assert graph["41"]["inputs"]["clip"] == ("40", 1)
    assert graph["5"]["inputs"]["clip"] == ("41", 1)


@pytest.mark.parametrize("variant", ["flux-schnell", "z-image-turbo"])
def test_a_distilled_model_samples_without_cfg(variant: str) -> None:
    sampler = _graph(model_variant=variant, guidance_scale=5.0)[SAMPLER]
    assert sampler["class_type"] == "KSampler"
    assert sampler["inputs"]["cfg"] == 1.0


def test_without_a_negative_prompt_flux_evaluates_each_step_once() -> None:
    assert "BasicGuider" in _classes(_graph())
    assert "BasicGuider" in _classes(_graph(negative_prompt=" \n"))


def test_a_negative_prompt_makes_flux_sample_with_cfg() -> None:
    graph = _graph(negative_prompt="blurry", guidance_scale=3.0)
    guider = _only(graph, "CFGGuider")
    assert guider["cfg"] == 2.0
    assert graph["16"]["inputs"]["text"] == "blurry"
    assert graph[guider["negative"][0]]["inputs"] == {"conditioning": ("16", 0), "guidance": 3.0}


def test_a_model_with_cfg_takes_the_guidance_scale_for_it() -> None:
    assert _graph(model_variant="sdxl", guidance_scale=6.5)[SAMPLER]["inputs"]["cfg"] == 6.5


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_image_to_start_from_is_scaled_to_the_size_and_encoded(variant: str) -> None:
    graph = _graph(model_variant=variant, init_image="input-1.png", width=768, height=512)
    assert _only(graph, "LoadImage") == {"image": "isengard/input-1.png"}
    size = _only(graph, "ImageScale")
    assert (size["width"], size["height"], size["crop"]) == (768, 512, "center")
    assert graph[SAMPLER]["inputs"]["latent_image"] == ("22", 0)
    assert graph["22"]["class_type"] == "VAEEncode"


@pytest.mark.parametrize(("variant", "class_type"), [("flux-dev", "BasicScheduler"), ("flux-schnell", "KSampler")])
def test_denoising_in_part_is_asked_for(variant: str, class_type: str) -> None:
    graph = _graph(model_variant=variant, init_image="input-1.png", denoise=0.4)
    assert _only(graph, class_type)["denoise"] == 0.4
    assert _only(_graph(model_variant=variant, denoise=0.4), class_type)["denoise"] == 1.0


@pytest.mark.parametrize(
    ("steps", "denoise"), [(4, 0.6), (4, 0.8), (7, 0.3), (20, 0.95), (20, 0.911), (1, 0.5), (2, 0.66)]
)
def test_flux2_takes_as_many_steps_as_asked_from_the_end_of_a_longer_schedule(steps: int, denoise: float) -> None:
    graph = _graph(model_variant="flux2-klein-4b", init_image="input-1.png", steps=steps, denoise=denoise)
    whole = _only(graph, "Flux2Scheduler")["steps"]
    assert whole > steps
    # As ComfyUI counts the steps that it keeps.
    assert round(whole * denoise) == steps
    assert graph[SAMPLER]["inputs"]["sigmas"] == ("17", 1)


@pytest.mark.parametrize(("factor", "size"), [(2, (1536, 1024)), (4, (3072, 2048))])
def test_an_enlarged_image_has_the_size_that_was_asked_for(factor: int, size: tuple[int, int]) -> None:
    params = GenerationParams(prompt="a", width=768, height=512, use_upscale=True, upscale_factor=factor)
    graph = build_graph(params, (), seed=1, prefix="p")
    last = graph[graph["15"]["inputs"]["images"][0]]["inputs"]
    assert (last["width"], last["height"]) == params.output_size == size


def test_faces_are_painted_before_the_image_is_enlarged() -> None:
    graph = _graph(use_facedetailer=True, use_upscale=True)
    assert graph["81"]["inputs"]["image"] == ("71", 0)
    assert graph["71"]["inputs"]["image"] == ("14", 0)


def test_a_union_control_net_is_told_which_map_it_gets() -> None:
    listed = [["FLUX.1-dev-ControlNet-Union.safetensors"], {}]
    declared = {"ControlNetLoader": {"input": {"required": {"control_net_name": listed}}}}
    params = GenerationParams(prompt="a", **CONTROL | {"control_type": "pose"})
    graph = build_graph(params, (), seed=1, prefix="p", catalogue=Catalogue(declarations=declared))
    assert _only(graph, "ControlNetLoader") == {"control_net_name": "FLUX.1-dev-ControlNet-Union.safetensors"}
    assert _only(graph, "SetUnionControlNetType")["type"] == "openpose"


def test_a_control_net_of_one_kind_is_used_as_it_is() -> None:
    assert "SetUnionControlNetType" not in _classes(_graph(**CONTROL))


def test_a_map_that_is_given_is_not_made_again() -> None:
    assert "Canny" in _classes(_graph(**CONTROL))
    assert "Canny" not in _classes(_graph(**CONTROL, control_preprocess=False))


@pytest.mark.parametrize("variant", ["flux2-klein-4b", "z-image-turbo", "z-image"])
@pytest.mark.parametrize("asked", [CONTROL, REFERENCE])
def test_what_no_server_could_do_with_a_model_is_said(variant: str, asked: dict[str, Any]) -> None:
    with pytest.raises(NotOffered, match=VARIANTS[variant].title):
        _graph(model_variant=variant, **asked)


def test_the_name_under_which_the_server_has_a_file_is_used() -> None:
    declared = {
        "UNETLoader": {"input": {"required": {"unet_name": ["COMBO", {"options": ["flux1-dev-fp8.safetensors"]}]}}}
    }
    params = GenerationParams(prompt="a")
    graph = build_graph(params, (), seed=1, prefix="p", catalogue=Catalogue(declarations=declared))
    assert _only(graph, "UNETLoader")["unet_name"] == "flux1-dev-fp8.safetensors"
    assert _only(_graph(), "UNETLoader")["unet_name"] == "flux1-dev.safetensors"


def test_each_submission_of_an_image_has_a_prompt_and_a_file_name_of_its_own(tmp_path: Any) -> None:
    images = Images(order_for("http://127.0.0.1:1", tmp_path, job_id="gen-7", count=2))
    first = next(iter(images))
    assert (first.prompt_id, images.prefix(first)) == (prompt_id("gen-7", 0), "isengard/gen-7/a1_0")
    images.send_again(first)
    assert (first.prompt_id, images.prefix(first)) == (prompt_id("gen-7", 0, 1), "isengard/gen-7/a1_0_r1")
