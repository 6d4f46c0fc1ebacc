"""What the nodes of the switches do to a picture."""

from typing import Any

import pytest
from PIL import Image, ImageChops

from tests.generation.simulator_process import Graph, Simulator, flux_graph, lora_bytes, png_bytes

pytest_plugins = ("tests.generation.simulator_fixtures",)

SIZE = (64, 48)


def node(class_type: str, **inputs: object) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


@pytest.fixture
def base(simulator: Simulator) -> Graph:
    for colour in ("red", "blue"):
        simulator.post("/upload/image", files={"image": (f"{colour}.png", png_bytes(colour, SIZE))})
    graph = flux_graph(seed=7)
    graph["16"] = node("CLIPTextEncode", clip=["2", 0], text="")
    graph["20"] = node("LoadImage", image="red.png")
    return graph


def differs(one: Image.Image, other: Image.Image) -> bool:
    return one.tobytes() != other.tobytes()


def controlled(graph: Graph, *, union_type: str | None = None, vae: bool = True, **inputs: object) -> Graph:
    file = "FLUX.1-dev-ControlNet-Union-Pro-2.0.safetensors" if union_type else "flux-canny-controlnet-v3.safetensors"
    graph = graph | {"30": node("ControlNetLoader", control_net_name=file)}
    if union_type:
        graph["35"] = node("SetUnionControlNetType", control_net=["30", 0], type=union_type)
    strengths = {"strength": 0.7, "start_percent": 0.0, "end_percent": 1.0} | inputs
    graph["34"] = node(
        "ControlNetApplyAdvanced",
        positive=["6", 0],
        negative=["16", 0],
        control_net=["35" if union_type else "30", 0],
        image=["20", 0],
        **({"vae": ["3", 0]} if vae else {}),
        **strengths,
    )
    graph["12"] = node("BasicGuider", model=["1", 0], conditioning=["34", 0])
    return graph


@pytest.mark.parametrize("change", [{"strength": 0.8}, {"start_percent": 0.2}, {"end_percent": 0.5}])
def test_every_strength_of_a_controlnet_counts(simulator: Simulator, base: Graph, change: dict[str, float]) -> None:
    usual = simulator.picture(controlled(base))
    assert differs(usual, simulator.picture(base))
    assert differs(usual, simulator.picture(controlled(base, **change)))


def test_a_controlnet_of_strength_0_changes_nothing(simulator: Simulator, base: Graph) -> None:
    assert not differs(simulator.picture(controlled(base, strength=0)), simulator.picture(base))


def test_another_control_image_gives_another_picture(simulator: Simulator, base: Graph) -> None:
    usual = simulator.picture(controlled(base))
    base["20"] = node("LoadImage", image="blue.png")
    assert differs(usual, simulator.picture(controlled(base)))


def test_a_union_of_controlnets_heeds_its_type_and_needs_a_vae(simulator: Simulator, base: Graph) -> None:
    as_depth = simulator.picture(controlled(base, union_type="depth"))
    assert differs(as_depth, simulator.picture(controlled(base, union_type="openpose")))
    error = simulator.error_of(controlled(base, union_type="depth", vae=False))
    assert (error["node_id"], error["exception_message"].partition(" but")[0]) == ("13", "This Controlnet needs a VAE")


def adapted(graph: Graph, weight: float) -> Graph:
    return graph | {
        "61": node("CLIPVisionLoader", clip_name="CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors"),
        "65": node("IPAdapterModelLoader", ipadapter_file="ip-adapter-plus_sdxl_vit-h.safetensors"),
        "64": node(
            "IPAdapterAdvanced",
            model=["1", 0],
            ipadapter=["65", 0],
            clip_vision=["61", 0],
            image=["20", 0],
            weight=weight,
            weight_type="linear",
            combine_embeds="concat",
            start_at=0.0,
            end_at=1.0,
            embeds_scaling="V only",
        ),
        "12": node("BasicGuider", model=["64", 0], conditioning=["6", 0]),
    }


def test_an_ip_adapter_counts_by_its_weight(simulator: Simulator, base: Graph) -> None:
    usual = simulator.picture(adapted(base, 1.0))
    assert differs(usual, simulator.picture(adapted(base, 0.5)))
    assert not differs(simulator.picture(adapted(base, 0)), simulator.picture(base))


def detailed(graph: Graph, **inputs: object) -> Graph:
    wanted = {
        "model": ["1", 0],
        "clip": ["2", 0],
        "vae": ["3", 0],
        "positive": ["6", 0],
        "negative": ["16", 0],
        "guide_size": 512.0,
        "guide_size_for": True,
        "max_size": 1024.0,
        "seed": 7,
        "steps": 2,
        "cfg": 1.0,
        "sampler_name": "euler",
        "scheduler": "simple",
        "denoise": 0.4,
        "feather": 5,
        "noise_mask": True,
        "force_inpaint": True,
        "bbox_threshold": 0.5,
        "bbox_dilation": 10,
        "bbox_crop_factor": 3.0,
        "sam_detection_hint": "center-1",
        "sam_dilation": 0,
        "sam_threshold": 0.93,
        "sam_bbox_expansion": 0,
        "sam_mask_hint_threshold": 0.7,
        "sam_mask_hint_use_negative": "False",
        "drop_size": 10,
        "wildcard": "",
        "cycle": 1,
    }
    return graph | {
        "70": node("UltralyticsDetectorProvider", model_name="bbox/face_yolov8m.pt"),
        "71": node("FaceDetailer", image=["14", 0], bbox_detector=["70", 0], **(wanted | inputs)),
        "15": node("SaveImage", images=["71", 0], filename_prefix="detailed"),
    }


def test_the_face_detailer_paints_the_face_alone(simulator: Simulator, base: Graph) -> None:
    before, after = simulator.picture(base), simulator.picture(detailed(base))
    changed = ImageChops.difference(before, after).getbbox()
    assert changed is not None
    left, top, right, bottom = changed
    assert left > 0 < top
    assert right - left < SIZE[0] / 2 > bottom - top
    assert differs(after, simulator.picture(detailed(base, seed=8)))


@pytest.mark.parametrize("preprocessor", ["DepthAnythingV2Preprocessor", "DWPreprocessor"])
def test_a_map_has_the_resolution_asked_for_at_its_shorter_side(
    simulator: Simulator, base: Graph, preprocessor: str
) -> None:
    base["33"] = node(preprocessor, image=["20", 0], resolution=96)
    base["15"]["inputs"]["images"] = ["33", 0]
    assert simulator.picture(base).size == (128, 96)


def flux2(graph: Graph, denoise: float, *, part: int = 1) -> Graph:
    graph = graph | {
        "11": node("Flux2Scheduler", steps=4, width=64, height=48),
        "17": node("SplitSigmasDenoise", sigmas=["11", 0], denoise=denoise),
        "7": node("VAEEncode", pixels=["20", 0], vae=["3", 0]),
    }
    graph["13"] = {**graph["13"], "inputs": {**graph["13"]["inputs"], "sigmas": ["17", part]}}
    return graph


def steps_of(simulator: Simulator, graph: Graph) -> int:
    listener = simulator.listen("steps")
    listener.until_end(simulator.submit(graph, client_id="steps"))
    return max(event["data"]["max"] for event in listener.events("progress"))


def test_a_schedule_that_is_split_leaves_the_low_noise_to_its_second_part(simulator: Simulator, base: Graph) -> None:
    assert steps_of(simulator, flux2(base, 0.5)) == 2
    low, high = simulator.picture(flux2(base, 0.25)), simulator.picture(flux2(base, 0.75))
    assert low.resize((1, 1)).getpixel((0, 0))[0] > high.resize((1, 1)).getpixel((0, 0))[0], "more red is left"


def with_two(graph: Graph, first: tuple[str, float], second: tuple[str, float]) -> Graph:
    return graph | {
        "40": node("LoraLoaderModelOnly", model=["1", 0], lora_name=first[0], strength_model=first[1]),
        "41": node("LoraLoaderModelOnly", model=["40", 0], lora_name=second[0], strength_model=second[1]),
        "12": node("BasicGuider", model=["41", 0], conditioning=["6", 0]),
    }


def test_loras_add_up_in_whatever_order(simulator: Simulator, base: Graph) -> None:
    for number, name in enumerate(("one", "two")):
        (simulator.loras / f"{name}.safetensors").write_bytes(lora_bytes(weight=1.0 + number))
    one, two = ("one.safetensors", 0.8), ("two.safetensors", 0.4)
    both = simulator.picture(with_two(base, one, two))
    assert not differs(both, simulator.picture(with_two(base, two, one)))
    assert differs(both, simulator.picture(with_two(base, one, (two[0], 0.5))))
    alone = simulator.picture(with_two(base, one, (two[0], 0)))
    assert differs(both, alone)
    assert not differs(alone, simulator.picture(with_two(base, (two[0], 0), one)))


@pytest.mark.parametrize(
    ("model", "module", "halves"),
    [
        ("z_image_turbo_bf16.safetensors", "diffusion_model.layers.0.attention.qkv", ("lora_A", "lora_B")),
        ("qwen_image_fp8_e4m3fn.safetensors", "diffusion_model.transformer_blocks.0.attn.to_q", ("lora_A", "lora_B")),
        ("sd_xl_base_1.0.safetensors", "lora_unet_down_blocks_1_attentions_0_proj_in", ("lora_down", "lora_up")),
    ],
)
def test_a_lora_acts_on_the_model_whose_modules_it_names(
    simulator: Simulator, base: Graph, model: str, module: str, halves: tuple[str, str]
) -> None:
    (simulator.loras / "own.safetensors").write_bytes(lora_bytes(*(f"{module}.{half}.weight" for half in halves)))
    foreign = lora_bytes(
        "diffusion_model.double_blocks.0.x.lora_A.weight", "diffusion_model.double_blocks.0.x.lora_B.weight"
    )
    (simulator.loras / "foreign.safetensors").write_bytes(foreign)
    if model.startswith("sd_xl"):
        base["1"] = node("CheckpointLoaderSimple", ckpt_name=model)
    else:
        base["1"]["inputs"]["unet_name"] = model
    plain = simulator.picture(with_two(base, ("own.safetensors", 0), ("own.safetensors", 0)))
    assert differs(plain, simulator.picture(with_two(base, ("own.safetensors", 1), ("own.safetensors", 0))))
    assert not differs(plain, simulator.picture(with_two(base, ("foreign.safetensors", 1), ("own.safetensors", 0))))
