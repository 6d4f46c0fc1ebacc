"""How each model is loaded and sampled."""

from typing import Any

import pytest

from generation.engines.comfyui.nodes import Graph
from generation.engines.comfyui.workflow import SAMPLER, build_graph
from generation.params import GenerationParams

KLEIN, QWEN = "flux-2-klein-4b.safetensors", "qwen_image_fp8_e4m3fn.safetensors"
PLAIN, FLUX2 = "EmptySD3LatentImage", "EmptyFlux2LatentImage"


def graph_for(**asked: Any) -> Graph:
    return build_graph(GenerationParams(**{"prompt": "a photo"} | asked), (), seed=1, prefix="p")


def only(graph: Graph, class_type: str) -> dict[str, Any]:
    (node,) = [node for node in graph.values() if node["class_type"] == class_type]
    return node["inputs"]


FLUX_TEXTS = {"clip_name1": "t5xxl_fp16.safetensors", "clip_name2": "clip_l.safetensors", "type": "flux"}
QWEN3 = {"clip_name": "qwen_3_4b.safetensors", "type": "lumina2"}
QWEN3_FLUX2 = {"clip_name": "qwen_3_4b.safetensors", "type": "flux2"}
QWEN25 = {"clip_name": "qwen_2.5_vl_7b_fp8_scaled.safetensors", "type": "qwen_image"}


@pytest.mark.parametrize(
    ("variant", "model", "texts", "vae", "latent"),
    [
        ("flux-dev", "flux1-dev.safetensors", FLUX_TEXTS, "ae.safetensors", PLAIN),
        ("flux-schnell", "flux1-schnell.safetensors", FLUX_TEXTS, "ae.safetensors", PLAIN),
        (
            "flux2-klein-4b",
            KLEIN,
            QWEN3_FLUX2,
            "flux2-vae.safetensors",
            FLUX2,
        ),
        ("z-image-turbo", "z_image_turbo_bf16.safetensors", QWEN3, "ae.safetensors", PLAIN),
        ("z-image", "z_image_bf16.safetensors", QWEN3, "ae.safetensors", PLAIN),
        (
            "qwen-image",
            QWEN,
            QWEN25,
            "qwen_image_vae.safetensors",
            PLAIN,
        ),
    ],
)
def test_each_model_is_loaded_with_its_own_text_encoders_and_vae(
    variant: str, model: str, texts: dict[str, str], vae: str, latent: str
) -> None:
    graph = graph_for(model_variant=variant)
    assert graph["1"]["inputs"] == {"unet_name": model, "weight_dtype": "default"}
    assert graph["2"]["inputs"] == texts
    assert graph["3"]["inputs"] == {"vae_name": vae}
    assert graph["7"] == {"class_type": latent, "inputs": {"width": 1024, "height": 1024, "batch_size": 1}}


def test_sdxl_comes_in_one_file() -> None:
    graph = graph_for(model_variant="sdxl")
    assert graph["1"]["inputs"] == {"ckpt_name": "sd_xl_base_1.0.safetensors"}
    assert (graph["5"]["inputs"]["clip"], graph["14"]["inputs"]["vae"]) == (("1", 1), ("1", 2))
    assert graph["7"]["class_type"] == "EmptyLatentImage"


@pytest.mark.parametrize(
    ("variant", "steps", "cfg", "sampler", "scheduler", "shift"),
    [
        ("flux-schnell", 4, 1.0, "euler", "simple", None),
        ("z-image-turbo", 9, 1.0, "res_multistep", "simple", 3.0),
        ("z-image", 28, 4.0, "res_multistep", "simple", 3.0),
        ("qwen-image", 20, 2.5, "euler", "simple", 3.1),
        ("sdxl", 25, 7.0, "dpmpp_2m", "karras", None),
    ],
)
def test_each_model_is_sampled_as_it_is_made_for(
    variant: str, steps: int, cfg: float, sampler: str, scheduler: str, shift: float | None
) -> None:
    graph = graph_for(model_variant=variant)
    settings = graph[SAMPLER]["inputs"]
    assert (settings["steps"], settings["cfg"]) == (steps, cfg)
    assert (settings["sampler_name"], settings["scheduler"]) == (sampler, scheduler)
    shifted = [node["inputs"]["shift"] for node in graph.values() if node["class_type"] == "ModelSamplingAuraFlow"]
    assert shifted == ([shift] if shift else [])


def test_flux_dev_is_sampled_by_the_nodes_made_for_it() -> None:
    graph = graph_for(width=768, height=512)
    assert only(graph, "ModelSamplingFlux") | {"model": None} == {
        "model": None,
        "max_shift": 1.15,
        "base_shift": 0.5,
        "width": 768,
        "height": 512,
    }
    assert only(graph, "FluxGuidance") == {"conditioning": ("5", 0), "guidance": 3.5}
    assert only(graph, "BasicScheduler")["steps"] == 20


def test_flux2_klein_is_sampled_by_the_nodes_made_for_it() -> None:
    graph = graph_for(model_variant="flux2-klein-4b", width=768, height=512)
    assert only(graph, "Flux2Scheduler") == {"steps": 4, "width": 768, "height": 512}
    assert graph[SAMPLER]["class_type"] == "SamplerCustomAdvanced"
