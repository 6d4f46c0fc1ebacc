import re

import pytest

from base_models import MODELS, Model, Training

KEYS = {
    "flux": "transformer.single_transformer_blocks.7.attn.to_q.lora_A.weight",
    "flux2-klein-4b": "diffusion_model.double_blocks.0.img_attn.qkv.lora_B.weight",
    "flux2-klein-9b": "diffusion_model.single_blocks.3.linear1.lora_A.weight",
    "z-image": "diffusion_model.layers.29.attention.to_out.0.lora_B.weight",
    "qwen-image": "diffusion_model.transformer_blocks.59.attn.add_k_proj.lora_A.weight",
    "sdxl": "lora_unet_mid_block_attentions_0_transformer_blocks_9_attn2_to_k.lora_down.weight",
}
EACH_MODEL = pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))


def training_of(model: Model) -> Training:
    assert model.training is not None
    return model.training


def test_every_model_is_found_by_its_own_name() -> None:
    assert [model.name for model in MODELS.values()] == list(MODELS)


def test_the_contracts_models_come_first() -> None:
    assert list(MODELS)[:2] == ["flux-dev", "flux-schnell"]


def test_only_models_distilled_to_few_steps_need_an_assistant_adapter() -> None:
    assisted = [name for name, model in MODELS.items() if training_of(model).assistant_adapter]
    assert assisted == ["flux-schnell", "z-image-turbo"]
    assert all(training_of(MODELS[name]).sample_steps < 10 for name in assisted)


@EACH_MODEL
def test_a_gated_model_says_how_to_get_at_it(model: Model) -> None:
    assert model.is_gated == ("HF_TOKEN" in model.licence)


@EACH_MODEL
def test_the_names_of_a_familys_loras_fit_its_pattern_and_no_other_familys(model: Model) -> None:
    pattern = re.compile(training_of(model).lora_key)
    fitting = {family for family, key in KEYS.items() if pattern.fullmatch(key)}
    klein = {"flux2-klein-4b", "flux2-klein-9b"}
    assert fitting == (klein if model.family in klein else {model.family})


@EACH_MODEL
def test_a_lora_key_names_its_module_and_a_half_whose_rank_axis_is_known(model: Model) -> None:
    training = training_of(model)
    match = re.fullmatch(training.lora_key, KEYS[model.family])
    assert match is not None
    assert match["half"] in training.rank_axes
    assert match["module"]
    assert sorted(axis for axis in training.rank_axes.values() if axis is not None) == [0, 1]
