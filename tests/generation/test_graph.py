"""What ComfyUI is given for each parameter."""

from typing import Any

import pytest

from generation.engines.comfyui.graph import SAMPLER, build_graph
from generation.engines.comfyui.images import Images
from generation.engines.comfyui.nodes import Graph
from generation.engines.order import LoraFile
from generation.params import GenerationParams
from tests.generation.comfyui_fixtures import order_for

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
    "use_controlnet": True,
    "use_ipadapter": True,
    "use_facedetailer": True,
    "use_upscale": True,
    "model_variant": "flux-schnell",
}


def _graph(**asked: Any) -> Graph:
    params = GenerationParams(**{"prompt": "a photo", "seed": 1} | asked)
    strength = params.lora_strength
    loras = (LoraFile(name=f"{params.lora_id}/v1.safetensors", strength=strength),) if params.lora_id else ()
    assert params.seed is not None
    return build_graph(params, loras, seed=params.seed, prefix="isengard/gen-1/a1_0")


def test_the_table_of_values_names_every_parameter() -> None:
    assert set(OTHER_VALUES) == set(GenerationParams.model_fields)


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_every_wired_parameter_changes_what_the_engine_is_given(name: str) -> None:
    extra = GenerationParams.model_fields[name].json_schema_extra
    assert isinstance(extra, dict)
    base = {"lora_id": "char-9"} if name == "lora_strength" else {}
    changes = _graph(**base) != _graph(**base, **{name: OTHER_VALUES[name]})
    assert changes == extra["wired"]


@pytest.mark.parametrize("name", ["prompt", "width", "height", "steps", "seed", "lora_id"])
def test_flux_schnell_is_wired_as_well(name: str) -> None:
    changed = _graph(model_variant="flux-schnell", **{name: OTHER_VALUES[name]})
    assert changed != _graph(model_variant="flux-schnell")


@pytest.mark.parametrize("variant", ["flux-dev", "flux-schnell"])
def test_every_link_leads_to_a_node(variant: str) -> None:
    graph = _graph(model_variant=variant, lora_id="char-1")
    links = {value[0] for node in graph.values() for value in node["inputs"].values() if isinstance(value, tuple)}
    assert links <= set(graph)
    assert set(graph) - links == {"15"}, "everything but the saving of the image is used"


def test_loras_are_stacked_behind_the_model_in_their_order() -> None:
    loras = (LoraFile(name="a.safetensors", strength=1.0), LoraFile(name="b.safetensors", strength=0.5))
    graph = build_graph(GenerationParams(prompt="a photo"), loras, seed=1, prefix="p")
    assert graph["40"]["inputs"] == {"model": ("1", 0), "lora_name": "a.safetensors", "strength_model": 1.0}
    assert graph["41"]["inputs"] == {"model": ("40", 0), "lora_name": "b.safetensors", "strength_model": 0.5}
    assert graph["10"]["inputs"]["model"] == ("41", 0)


def test_flux_schnell_samples_without_cfg() -> None:
    sampler = _graph(model_variant="flux-schnell", guidance_scale=5.0)[SAMPLER]
    assert sampler["class_type"] == "KSampler"
    assert sampler["inputs"]["cfg"] == 1.0


def test_each_submission_of_an_image_has_a_prompt_and_a_file_name_of_its_own(tmp_path: Any) -> None:
    images = Images(order_for("http://127.0.0.1:1", tmp_path, job_id="gen-7", count=2))
    first = next(iter(images))
    images.name_prompt(first)
    assert (first.prompt_id, images.prefix(first)) == ("gen-7-a1-0", "isengard/gen-7/a1_0")
    images.send_again(first)
    assert (first.prompt_id, images.prefix(first)) == ("gen-7-a1-0-r1", "isengard/gen-7/a1_0_r1")
