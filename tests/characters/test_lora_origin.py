"""What an uploaded LoRA tells of its base model and its trigger word, and how far that is believed."""

import json
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from characters.lora_facts import family_of
from characters.models import Lora
from tests.characters.lora_making import file_with, lora_bytes, pair, upload_lora

pytestmark = pytest.mark.django_db

SDXL_BLOCK = "down_blocks_1_attentions_0_transformer_blocks_0"
PEFT, KOHYA = (".lora_A.weight", ".lora_B.weight"), (".lora_down.weight", ".lora_up.weight")


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> None:
    settings.RATE_LIMITS = "off"
    settings.MEDIA_ROOT = str(tmp_path)


def a_pair(module: str, inputs: int = 8, outputs: int = 8, *, endings: tuple[str, str] = PEFT) -> dict[str, list[int]]:
    return {module + endings[0]: [4, inputs], module + endings[1]: [outputs, 4]}


def row_of(content: bytes, **fields: Any) -> Lora:
    return Lora.objects.get(pk=upload_lora(content, **fields)["id"])


@pytest.mark.parametrize(
    ("family", "shapes"),
    [
        ("flux", a_pair("transformer.single_transformer_blocks.3.norm.linear")),
        ("flux", a_pair("transformer.transformer_blocks.3.norm1_context.linear", 3072)),
        ("flux", a_pair("lora_unet_double_blocks_0_img_mod_lin", endings=KOHYA)),
        ("flux", a_pair("diffusion_model.single_blocks.7.modulation.lin")),
        ("flux2-klein-4b", a_pair("diffusion_model.single_blocks.0.linear1", 3072, 27_648)),
        ("flux2-klein-9b", a_pair("diffusion_model.single_blocks.0.linear1", 4096, 36_864)),
        ("z-image", a_pair("diffusion_model.layers.0.attention.to_q", 3840, 3840)),
        ("qwen-image", a_pair("diffusion_model.transformer_blocks.0.img_mod.1")),
        ("qwen-image", a_pair("transformer.transformer_blocks.9.txt_mlp.net.0.proj", 3072)),
        ("sdxl", a_pair(f"lora_unet_{SDXL_BLOCK}_attn2_to_k", 2048, endings=KOHYA)),
        ("sdxl", a_pair("lora_unet_input_blocks_4_1_transformer_blocks_1_attn2_to_v", 2048, endings=KOHYA)),
        # An older U-Net, FLUX.1's names without what only FLUX.1 has, a video model, another model's blocks.
        (None, a_pair(f"lora_unet_{SDXL_BLOCK}_attn2_to_k", 768, endings=KOHYA)),
        (None, a_pair("lora_unet_double_blocks_0_img_attn_qkv", 3072, 9216, endings=KOHYA)),
        (None, a_pair("diffusion_model.single_blocks.0.linear1", 3072, 21_504)),
        (None, a_pair("transformer.transformer_blocks.0.attn2.to_k", 2048)),
        (None, a_pair("diffusion_model.layers.0.attention.to_q", 2304, 2304)),
        # Signs of two at once.
        (None, a_pair("x.single_blocks.7.modulation.lin") | a_pair("x.transformer_blocks.0.img_mod.1")),
    ],
)
def test_the_family_is_told_by_the_modules_where_they_leave_no_doubt(
    family: str | None, shapes: dict[str, list[int]]
) -> None:
    lora = row_of(file_with(shapes, "BF16"))
    assert (family_of(lora), lora.base_model) == (family, "")
    assert APIClient().get(f"/api/loras/{lora.pk}").json()["family"] == family


@pytest.mark.parametrize(
    ("metadata", "base_model", "family"),
    [
        ({"modelspec.architecture": "flux-1-dev/lora"}, "flux-dev", "flux"),
        ({"modelspec.architecture": "flux-1-schnell"}, "flux-schnell", "flux"),
        ({"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}, "sdxl", "sdxl"),
        ({"isengard.base_model": "qwen-image"}, "qwen-image", "qwen-image"),
        ({"ss_base_model_version": "flux.1"}, "", "flux"),
        ({"ss_base_model_version": "sdxl_base_v1-0"}, "", "sdxl"),
        ({"ss_base_model_version": "sd_1.5", "modelspec.architecture": "stable-diffusion-v1/lora"}, "", None),
        ({"isengard.base_model": "../../etc/passwd"}, "", None),
    ],
)
def test_the_base_model_is_read_from_the_metadata(
    metadata: dict[str, str], base_model: str, family: str | None
) -> None:
    lora = row_of(lora_bytes(**metadata))
    assert (lora.base_model, family_of(lora)) == (base_model, family)


def test_modules_outweigh_what_the_metadata_say() -> None:
    shapes = a_pair("diffusion_model.single_blocks.7.modulation.lin")
    contradicted = row_of(file_with(shapes, **{"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}))
    assert (contradicted.base_model, family_of(contradicted)) == ("", "flux")
    confirmed = row_of(file_with(shapes, **{"modelspec.architecture": "flux-1-dev/lora"}))
    assert (confirmed.base_model, family_of(confirmed)) == ("flux-dev", "flux")


@pytest.mark.parametrize(
    ("metadata", "word"),
    [
        ({"modelspec.trigger_phrase": " ada person "}, "ada person"),
        ({"isengard.trigger_word": "ada", "modelspec.trigger_phrase": "other"}, "ada"),
        ({"ss_tag_frequency": json.dumps({"1_ada": {"ada": 4}})}, "ada"),
        ({"ss_tag_frequency": json.dumps({"1_ada": {"ada": 4, "hat": 2}})}, None),
        ({"ss_tag_frequency": '{"1": [1]}'}, None),
        ({"ss_tag_frequency": "{" * 400}, None),
        ({"ss_tag_frequency": json.dumps([["ada"]])}, None),
        ({"modelspec.trigger_phrase": "<lora:x:1>"}, None),
        ({"modelspec.trigger_phrase": "a\nb"}, None),
        ({"modelspec.trigger_phrase": "x" * 51}, None),
        ({"modelspec.trigger_phrase": "x" * 501}, None),
    ],
)
def test_a_trigger_word_in_the_file_is_taken_if_a_person_could_have_given_it(
    metadata: dict[str, str], word: str | None
) -> None:
    assert upload_lora(lora_bytes(**metadata))["trigger_word"] == word


def test_the_word_that_was_sent_is_the_one_that_counts() -> None:
    content = lora_bytes(**{"modelspec.trigger_phrase": "file word"})
    assert upload_lora(content, trigger_word="sent word")["trigger_word"] == "sent word"


def test_of_many_texts_those_that_tell_something_are_kept() -> None:
    texts = {f"ss_{number:03}": "x" for number in range(60)} | {"modelspec.title": "Ada", "isengard.version": "1"}
    kept = row_of(lora_bytes(**texts)).details["metadata"]
    assert len(kept) == 50
    assert kept.keys() >= {"modelspec.title", "isengard.version"}


def test_the_library_lists_what_works_with_a_base_model() -> None:
    dev = upload_lora(lora_bytes(0.1, **{"modelspec.architecture": "flux-1-dev/lora"}))
    some_flux = upload_lora(file_with(a_pair("x.single_blocks.7.modulation.lin")))
    sdxl = upload_lora(lora_bytes(0.2, ss_base_model_version="sdxl_1.0"))
    upload_lora(file_with(pair()))

    def listed(base_model: str) -> list[str]:
        response = APIClient().get(f"/api/loras?base_model={base_model}")
        assert response.headers["X-Total-Count"] == str(response.json()["total_count"])
        return [lora["id"] for lora in response.json()["loras"]]

    assert listed("flux-dev") == listed("flux-schnell") == [some_flux["id"], dev["id"]]
    assert listed("sdxl") == [sdxl["id"]]
    assert listed("qwen-image") == []
