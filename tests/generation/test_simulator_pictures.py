"""What decides the pixels of a picture."""

from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image, ImageChops

from tests.generation.simulator_process import (
    KOHYA_MODULE,
    PEFT_MODULE,
    Graph,
    Simulator,
    classic_graph,
    copy_graph,
    flux_graph,
    images_of,
    lora_bytes,
    png_bytes,
)

pytest_plugins = ("tests.generation.simulator_fixtures",)

SEED = 42


def picture(simulator: Simulator, **changes: Any) -> Image.Image:
    return simulator.picture(flux_graph(**{"seed": SEED, **changes}))


def changed_fraction(one: Image.Image, other: Image.Image) -> float:
    """Return which part of the pixels differs."""
    assert one.size == other.size
    red, green, blue = ImageChops.difference(one, other).split()
    largest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    return 1 - largest.histogram()[0] / (one.width * one.height)


def add_lora(simulator: Simulator, name: str, *keys: str, weight: float = 1.0) -> str:
    (simulator.loras / name).write_bytes(lora_bytes(*keys, weight=weight))
    return name


def test_the_same_inputs_give_the_same_pixels_even_after_everything_was_forgotten(simulator: Simulator) -> None:
    first = picture(simulator)
    simulator.post("/free", {"unload_models": True, "free_memory": True})
    simulator.picture(flux_graph())
    assert picture(simulator).tobytes() == first.tobytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": SEED + 1},
        {"text": "a photo of a cat"},
        {"sampler": "heun"},
        {"scheduler": "beta"},
        {"steps": 3},
        {"guidance": 4.0},
        {"unet": "flux1-schnell.safetensors"},
    ],
)
def test_any_other_input_gives_other_pixels(simulator: Simulator, changes: dict[str, Any]) -> None:
    assert changed_fraction(picture(simulator), picture(simulator, **changes)) > 0.9


def test_the_picture_has_the_size_asked_for_in_whole_latent_pixels(simulator: Simulator) -> None:
    assert picture(simulator, size=(136, 250)).size == (136, 248)


def test_the_pictures_of_a_batch_differ(simulator: Simulator) -> None:
    images = images_of(simulator.run(flux_graph(batch_size=2)))
    assert simulator.view(images[0]).content != simulator.view(images[1]).content


@pytest.mark.parametrize(
    "keys",
    [
        (f"{PEFT_MODULE}.lora_A.weight", f"{PEFT_MODULE}.lora_B.weight"),
        (f"{KOHYA_MODULE}.lora_down.weight", f"{KOHYA_MODULE}.lora_up.weight", f"{KOHYA_MODULE}.alpha"),
    ],
)
def test_a_lora_changes_the_picture(simulator: Simulator, keys: tuple[str, ...]) -> None:
    lora = add_lora(simulator, f"changes_{len(keys)}.safetensors", *keys)
    with_lora = picture(simulator, lora=lora)
    assert changed_fraction(picture(simulator), with_lora) > 0.9
    assert changed_fraction(picture(simulator, lora=lora, strength=0.5), with_lora) > 0.9


def test_other_weights_give_another_picture(simulator: Simulator) -> None:
    one = add_lora(simulator, "weights_one.safetensors", weight=1.0)
    two = add_lora(simulator, "weights_two.safetensors", weight=2.0)
    assert changed_fraction(picture(simulator, lora=one), picture(simulator, lora=two)) > 0.9


def test_a_lora_of_strength_0_changes_nothing(simulator: Simulator) -> None:
    lora = add_lora(simulator, "strength_0.safetensors")
    assert picture(simulator, lora=lora, strength=0).tobytes() == picture(simulator).tobytes()


@pytest.mark.parametrize(
    "keys",
    [
        ("unrelated.lora_A.weight", "unrelated.lora_B.weight"),
        (f"{PEFT_MODULE}.lora_A.weight",),
        ("lora_unet_down_blocks_0.lora_down.weight", "lora_unet_down_blocks_0.lora_up.weight"),
    ],
)
def test_a_lora_whose_keys_match_nothing_changes_nothing_and_says_nothing(
    simulator: Simulator, keys: tuple[str, ...]
) -> None:
    lora = add_lora(simulator, "unmatched.safetensors", *keys)
    simulator.post("/free", {"free_memory": True})
    simulator.picture(flux_graph())
    assert picture(simulator, lora=lora).tobytes() == picture(simulator).tobytes()


def test_a_negative_prompt_counts_only_with_a_cfg_scale_above_1(simulator: Simulator) -> None:
    def run(cfg: float, negative: str) -> Image.Image:
        return simulator.picture(classic_graph(cfg=cfg, negative=negative))

    assert changed_fraction(run(4.0, "blurry"), run(4.0, "")) > 0.9
    assert run(1.0, "blurry").tobytes() == run(1.0, "").tobytes()


def from_upload(simulator: Simulator, colour: str, denoise: float) -> Graph:
    simulator.post("/upload/image", files={"image": (f"{colour}.png", png_bytes(colour, (64, 48)))})
    graph = flux_graph(seed=SEED, denoise=denoise)
    graph["20"] = {"class_type": "LoadImage", "inputs": {"image": f"{colour}.png"}}
    graph["7"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["20", 0], "vae": ["3", 0]}}
    return graph


def test_with_less_denoising_more_of_the_first_picture_is_left(simulator: Simulator) -> None:
    def reddish(denoise: float) -> int:
        shown = simulator.picture(from_upload(simulator, "red", denoise)).resize((1, 1), Image.Resampling.BOX)
        red, green, blue = shown.getpixel((0, 0))
        return int(2 * red - green - blue)

    assert reddish(0.0) > reddish(0.3) > reddish(0.8)


def test_another_first_picture_gives_another_result_unless_all_of_it_is_denoised(simulator: Simulator) -> None:
    red, blue = (simulator.picture(from_upload(simulator, colour, 0.6)) for colour in ("red", "blue"))
    assert changed_fraction(red, blue) > 0.9
    red, blue = (simulator.picture(from_upload(simulator, colour, 1.0)) for colour in ("red", "blue"))
    assert red.tobytes() == blue.tobytes()


@pytest.mark.parametrize(
    ("node", "size"),
    [
        ({"class_type": "ImageScale", "inputs": {"width": 20, "height": 30, "crop": "center"}}, (20, 30)),
        ({"class_type": "ImageScale", "inputs": {"width": 80, "height": 0, "crop": "disabled"}}, (80, 48)),
        ({"class_type": "ImageScaleBy", "inputs": {"scale_by": 1.5}}, (60, 36)),
    ],
)
def test_pictures_are_really_scaled(simulator: Simulator, node: dict[str, Any], size: tuple[int, int]) -> None:
    simulator.post("/upload/image", files={"image": ("to_scale.png", png_bytes(size=(40, 24)))})
    graph = copy_graph("to_scale.png")
    inputs = {"image": ["1", 0], "upscale_method": "lanczos", **node["inputs"]}
    graph["3"] = {"class_type": node["class_type"], "inputs": inputs}
    graph["2"]["inputs"]["images"] = ["3", 0]
    assert simulator.picture(graph).size == size


@pytest.fixture
def with_extra_models(simulator: Simulator) -> Simulator:
    """Models of the toggles under names of their own."""
    for place in ("upscale_models/x4.pth", "controlnet/canny.safetensors", "clip_vision/v.safetensors"):
        (simulator.base / "models" / place).write_bytes(lora_bytes())
    (simulator.base / "models" / "style_models" / "redux.safetensors").write_bytes(lora_bytes())
    simulator.post("/upload/image", files={"image": ("looked_at.png", png_bytes(size=(16, 8)))})
    return simulator


def node(class_type: str, **inputs: object) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def add_style(graph: Graph) -> None:
    graph["22"] = node("CLIPVisionLoader", clip_name="v.safetensors")
    graph["23"] = node("CLIPVisionEncode", clip_vision=["22", 0], image=["20", 0], crop="none")
    graph["24"] = node("StyleModelLoader", style_model_name="redux.safetensors")
    style = {"style_model": ["24", 0], "clip_vision_output": ["23", 0], "strength": 1.0, "strength_type": "multiply"}
    graph["25"] = node("StyleModelApply", conditioning=["6", 0], **style)


def add_control(graph: Graph) -> None:
    graph["22"] = node("Canny", image=["20", 0], low_threshold=0.3, high_threshold=0.7)
    graph["23"] = node("ControlNetLoader", control_net_name="canny.safetensors")
    links = {"positive": ["6", 0], "negative": ["5", 0], "control_net": ["23", 0], "image": ["22", 0]}
    graph["25"] = node("ControlNetApplyAdvanced", **links, strength=0.7, start_percent=0.0, end_percent=0.6)


@pytest.mark.parametrize("add", [add_style, add_control])
def test_a_picture_to_go_by_changes_the_result(with_extra_models: Simulator, add: Callable[[Graph], None]) -> None:
    graph = flux_graph(seed=SEED)
    graph["20"] = node("LoadImage", image="looked_at.png")
    add(graph)
    graph["12"]["inputs"]["conditioning"] = ["25", 0]
    assert changed_fraction(with_extra_models.picture(graph), picture(with_extra_models)) > 0.9


def test_an_upscale_model_enlarges_by_the_factor_in_its_name(with_extra_models: Simulator) -> None:
    graph = copy_graph("looked_at.png")
    graph["3"] = node("UpscaleModelLoader", model_name="x4.pth")
    graph["4"] = node("ImageUpscaleWithModel", upscale_model=["3", 0], image=["1", 0])
    graph["2"]["inputs"]["images"] = ["4", 0]
    assert with_extra_models.picture(graph).size == (64, 32)
