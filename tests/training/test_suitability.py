"""What a base model cannot work with is refused before it costs GPU time; what it ignores is said."""

from pathlib import Path

import pytest

from base_models import MODELS
from jobs.errors import EngineFailed
from tests.training.aitoolkit_fixtures import order_in
from tests.training.job_files import process_of
from training.engines.aitoolkit.job_file import explain_choices
from training.params import TrainingParams, resolve
from training.suitability import unusable

NEEDS_MORE_THAN_FP16 = {"z-image", "z-image-turbo", "qwen-image", "sdxl"}


@pytest.mark.parametrize("name", MODELS)
def test_only_models_that_overflow_in_half_precision_refuse_it(name: str, tmp_path: Path) -> None:
    training = MODELS[name].training
    assert training is not None
    assert set(unusable(TrainingParams(precision="fp16"), training)) == (
        {"precision"} if name in NEEDS_MORE_THAN_FP16 else set()
    )
    assert unusable(TrainingParams(precision="fp32"), training) == {}
    assert unusable(TrainingParams(), training) == {}


def test_a_run_that_cannot_work_fails_before_the_trainer_starts(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match=r"precision.*bf16"):
        process_of(order_in(tmp_path, base_model="qwen-image", precision="fp16"))


def test_refused_and_ignored_parameters_exist_and_refused_values_are_among_their_choices() -> None:
    for model in MODELS.values():
        assert model.training is not None
        assert {*model.training.unusable, *model.training.ignored, *model.training.defaults} <= set(
            TrainingParams.model_fields
        )
        for name, reasons in model.training.unusable.items():
            assert all(TrainingParams.model_validate({name: value}) for value in reasons)
            assert TrainingParams.model_fields[name].default not in reasons


@pytest.mark.parametrize(
    ("config", "preset", "alpha"),
    [({}, None, 16), ({}, "quick", 8), ({"lora_rank": 64}, "quick", 64), ({"network_alpha": 1}, "quality", 1)],
)
def test_an_alpha_that_counts_is_the_rank_unless_it_is_asked_for(
    config: dict[str, object], preset: str | None, alpha: int
) -> None:
    training = MODELS["sdxl"].training
    assert training is not None
    assert resolve(config, preset, model_defaults=training.defaults).network_alpha == alpha
    assert resolve(config, preset).network_alpha == config.get("network_alpha", 16)


def test_alpha_reaches_the_trainer_for_sdxl_without_a_remark(tmp_path: Path) -> None:
    order = order_in(tmp_path, base_model="sdxl", network_alpha=4)
    assert process_of(order)["network"] == {"type": "lora", "linear": 16, "linear_alpha": 4}
    assert explain_choices(order) == []
