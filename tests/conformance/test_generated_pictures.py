"""Every workflow and switch through the API, with the stand-in and a real ComfyUI: what counts shows in the pixels.

Whatever a server cannot do, `/info` has to say so, and a request for it has to be refused with those words.
"""

from typing import Any

import pytest
from PIL import Image

from generation.params import VARIANTS
from tests.conformance.generation_servers import TEST_SECONDS
from tests.conformance.generation_site import SIDE, GenerationSite, changed_fraction

pytest_plugins = ("tests.conformance.generation_fixtures",)
pytestmark = [pytest.mark.stack, pytest.mark.timeout(TEST_SECONDS)]

VISIBLE = 0.02
"""Which part of the pixels has to change at least, where something is said to count."""


def refusal(site: GenerationSite, **config: Any) -> str:
    body = {"config": {"prompt": "a portrait", **config}}
    detail: str = site.api.call("POST", "/api/generation", expect=400, json=body).json()["detail"]
    return detail


@pytest.mark.parametrize("model", VARIANTS)
def test_each_model_paints_or_says_why_not(site: GenerationSite, model: str) -> None:
    told = site.info()["models"][model]
    if told["available"]:
        picture = site.picture(model_variant=model)
        assert picture.size == (SIDE, SIDE)
        assert changed_fraction(picture, Image.new("RGB", picture.size)) > VISIBLE, "black is no picture"
    else:
        assert told["reason"] in refusal(site, model_variant=model)


@pytest.mark.parametrize("model", ["flux-dev", "flux-schnell", "sdxl", "z-image-turbo", "qwen-image"])
def test_a_negative_prompt_counts(site: GenerationSite, model: str) -> None:
    config = {"model_variant": model} if model != "flux-dev" else {}
    assert changed_fraction(site.picture(**config), site.picture(**config, negative_prompt="blurry")) > VISIBLE


def test_a_prompt_and_a_seed_count_and_the_same_ones_give_the_same_pixels(site: GenerationSite) -> None:
    usual = site.picture()
    assert site.fresh_pictures()[0].tobytes() == usual.tobytes()
    assert changed_fraction(usual, site.picture(prompt="a house")) > VISIBLE
    assert changed_fraction(usual, site.picture(seed=43)) > VISIBLE
    assert changed_fraction(usual, site.picture(guidance_scale=8.0)) > VISIBLE


def test_each_image_of_a_job_has_the_seed_after_the_one_before(site: GenerationSite) -> None:
    first, second = site.fresh_pictures(count=2, seed=42)
    assert first.tobytes() == site.picture().tobytes()
    assert second.tobytes() == site.picture(seed=43).tobytes()


def test_two_loras_are_stacked_and_one_of_strength_0_is_none(site: GenerationSite) -> None:
    one, two = site.add_lora(1), site.add_lora(2)

    def stacked(first: float, second: float) -> Image.Image:
        return site.picture(loras=[{"lora_id": one, "strength": first}, {"lora_id": two, "strength": second}])

    both = stacked(1.0, 0.8)
    alone = site.picture(lora_id=one)
    assert changed_fraction(alone, site.picture()) > VISIBLE
    assert changed_fraction(both, alone) > VISIBLE
    assert changed_fraction(both, stacked(1.0, 0.4)) > VISIBLE
    assert stacked(1.0, 0.0).tobytes() == alone.tobytes()
    assert stacked(0.0, 0.0).tobytes() == site.picture().tobytes()


def test_less_denoising_leaves_more_of_the_first_image(site: GenerationSite) -> None:
    first = {"init_image": site.upload("red"), "steps": 10}
    little = site.picture(**first, denoise=0.2)
    assert changed_fraction(little, site.picture(**first, denoise=0.8)) > VISIBLE
    other = {**first, "init_image": site.upload("blue")}
    assert changed_fraction(little, site.picture(**other, denoise=0.2)) > VISIBLE


def test_a_control_image_counts_by_its_strength(site: GenerationSite) -> None:
    control = {"use_controlnet": True, "control_image": site.upload("red")}
    usual = site.picture(**control)
    assert changed_fraction(usual, site.picture()) > VISIBLE
    assert changed_fraction(usual, site.picture(**control, control_strength=1.5)) > VISIBLE
    assert site.picture(**control, control_strength=0.0).tobytes() == site.picture().tobytes()


def test_a_reference_image_counts_by_its_strength(site: GenerationSite) -> None:
    reference = {"use_ipadapter": True, "reference_image": site.upload("red")}
    usual = site.picture(**reference)
    assert changed_fraction(usual, site.picture()) > VISIBLE
    assert changed_fraction(usual, site.picture(**reference, reference_strength=0.5)) > VISIBLE
    assert changed_fraction(usual, site.picture(use_ipadapter=True, reference_image=site.upload("blue"))) > 0


def test_an_enlarged_picture_has_the_size_asked_for_and_is_the_same_picture(site: GenerationSite) -> None:
    large = site.picture(use_upscale=True, upscale_factor=2)
    assert large.size == (2 * SIDE, 2 * SIDE)


def test_faces_are_painted_anew_where_the_node_pack_is_installed(site: GenerationSite) -> None:
    told = site.info()["toggles"]["use_facedetailer"]
    if told["supported"]:
        assert changed_fraction(site.picture(), site.picture(use_facedetailer=True)) > VISIBLE
    else:
        assert "ComfyUI-Impact-Pack" in told["reason"]
        assert told["reason"] in refusal(site, use_facedetailer=True)


def test_everything_at_once_makes_one_picture(site: GenerationSite) -> None:
    everything = site.picture(
        prompt="a portrait of a sailor",
        negative_prompt="blurry",
        lora_id=site.add_lora(1),
        loras=[{"lora_id": site.add_lora(2), "strength": 0.5}],
        init_image=site.upload("blue"),
        denoise=0.5,
        use_controlnet=True,
        control_image=site.upload("red"),
        use_ipadapter=True,
        reference_image=site.upload("green"),
        use_upscale=True,
        upscale_factor=2,
    )
    assert everything.size == (2 * SIDE, 2 * SIDE)
