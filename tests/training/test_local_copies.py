"""What lies on the machine wins over the hub, whole copies only."""

from pathlib import Path
from typing import Any

import pytest

from base_models import MODELS, Model, Training
from jobs.errors import EngineFailed
from tests.training.aitoolkit_fixtures import order_in
from tests.training.job_files import process_of
from training.engines.aitoolkit.local_copies import has_local_copy
from training.engines.order import Installation

TRAINABLE = [model for model in MODELS.values() if model.training is not None]
EACH_MODEL = pytest.mark.parametrize("model", TRAINABLE, ids=lambda model: model.name)
ADAPTER_FILES = {
    "flux-schnell": "FLUX.1-schnell-training-adapter.safetensors",
    "z-image-turbo": "zimage_turbo_training_adapter_v2.safetensors",
}


def training_of(model: Model) -> Training:
    assert model.training is not None
    return model.training


def put_copy(models: Path, model: Model) -> Path:
    for part in training_of(model).local_parts:
        (models / model.name / part).mkdir(parents=True)
    return models / model.name


def model_section(root: Path, name: str, models: Path) -> dict[str, Any]:
    installation = Installation(directory=root, python="python3", environment={}, models=models)
    section: dict[str, Any] = process_of(order_in(root, base_model=name), installation=installation)["model"]
    return section


@EACH_MODEL
def test_a_whole_local_copy_is_used_instead_of_the_hub(model: Model, tmp_path: Path) -> None:
    models = tmp_path / "models"
    assert model_section(tmp_path, model.name, models)["name_or_path"] == training_of(model).hub_id
    assert not has_local_copy(models, model)
    folder = put_copy(models, model)
    assert model_section(tmp_path, model.name, models)["name_or_path"] == str(folder)
    assert has_local_copy(models, model)


@EACH_MODEL
def test_a_copy_that_lacks_a_part_fails_at_once_and_names_it(model: Model, tmp_path: Path) -> None:
    folder = put_copy(tmp_path / "models", model)
    missing = training_of(model).local_parts[0]
    (folder / missing).rmdir()
    assert not has_local_copy(tmp_path / "models", model)
    with pytest.raises(EngineFailed, match=f"lacks {missing}"):
        model_section(tmp_path, model.name, tmp_path / "models")


def test_a_file_in_the_place_of_the_folder_is_no_copy(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "flux-dev").write_bytes(b"")
    with pytest.raises(EngineFailed, match="local copy of flux-dev"):
        model_section(tmp_path, "flux-dev", tmp_path / "models")


@pytest.mark.parametrize(("name", "file"), ADAPTER_FILES.items())
def test_a_local_adapter_is_given_as_its_file(name: str, file: str, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    assert model_section(tmp_path, name, models)["assistant_lora_path"].startswith("ostris/")
    (models / file).write_bytes(b"weights")
    assert model_section(tmp_path, name, models)["assistant_lora_path"] == str(models / file)


@pytest.mark.parametrize(("name", "file"), ADAPTER_FILES.items())
def test_a_folder_in_the_place_of_an_adapter_is_never_given(name: str, file: str, tmp_path: Path) -> None:
    (tmp_path / "models" / file).mkdir(parents=True)
    assert model_section(tmp_path, name, tmp_path / "models")["assistant_lora_path"].startswith("ostris/")


@pytest.mark.parametrize(
    ("environment", "is_offline"),
    [
        ({}, False),
        ({"HF_HUB_OFFLINE": "0"}, False),
        ({"HF_HUB_OFFLINE": "1"}, True),
        ({"TRANSFORMERS_OFFLINE": "yes"}, True),
    ],
)
def test_offline_an_adapter_is_fused_in_the_way_that_needs_no_hub(
    environment: dict[str, str], is_offline: bool, tmp_path: Path
) -> None:
    installation = Installation(directory=tmp_path, python="python3", environment=environment)
    schnell, dev = (
        process_of(order_in(tmp_path, base_model=name), installation=installation)["model"]
        for name in ("flux-schnell", "flux-dev")
    )
    assert schnell.get("low_vram", False) is is_offline
    assert "low_vram" not in dev
