"""Training on each base model through the API, and what `/info` says of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from base_models import MODELS
from characters.models import Character

pytestmark = pytest.mark.django_db


def start(api: Client, character: Character, **body: Any) -> Any:
    return api.post("/api/training", json.dumps({"character_id": character.pk} | body), content_type="application/json")


def offered(api: Client) -> dict[str, Any]:
    models: dict[str, Any] = api.get("/info").json()["training"]["base_models"]
    return models


@pytest.mark.parametrize("name", MODELS)
def test_a_training_can_be_asked_for_on_each_base_model(api: Client, trainable: Character, name: str) -> None:
    answer = start(api, trainable, base_model=name)
    assert answer.status_code == 201
    assert answer.json()["base_model"] == name


def test_an_unknown_base_model_is_refused_with_the_known_ones(api: Client, trainable: Character) -> None:
    answer = start(api, trainable, base_model="flux-nope")
    assert answer.status_code == 400
    assert "flux2-klein-4b" in answer.json()["detail"]


@pytest.mark.parametrize("name", ["sdxl", "z-image", "z-image-turbo", "qwen-image"])
def test_a_precision_in_which_the_model_overflows_is_refused_at_once(
    api: Client, trainable: Character, name: str
) -> None:
    answer = start(api, trainable, base_model=name, config={"precision": "fp16"})
    assert answer.status_code == 400
    assert "config.precision" in answer.json()["detail"]
    assert "bf16" in answer.json()["detail"]


def test_the_alpha_of_a_model_that_heeds_it_is_answered_as_it_will_be_used(api: Client, trainable: Character) -> None:
    answer = start(api, trainable, base_model="sdxl", preset_name="quality")
    assert answer.json()["config"]["network_alpha"] == 32
    asked = start(api, trainable, base_model="sdxl", preset_name="quality", config={"network_alpha": 7})
    assert asked.json()["config"]["network_alpha"] == 7


def test_info_tells_everything_of_each_base_model(api: Client) -> None:
    flux, sdxl = (offered(api)[name] for name in ("flux-dev", "sdxl"))
    assert flux == {
        "title": "FLUX.1 dev",
        "family": "flux",
        "architecture": "flux-1-dev",
        "hub_id": "black-forest-labs/FLUX.1-dev",
        "other_hub_ids": [],
        "licence": "FLUX.1 [dev] Non-Commercial License; gated: accept it on the model's page and set HF_TOKEN.",
        "gated": True,
        "is_local": False,
        "memory_gb": 24,
        "ignored_parameters": {"network_alpha": "ai-toolkit sets alpha to the rank for FLUX models."},
        "unusable_values": {},
        "defaults": {},
        "samples": {"guidance_scale": 4.0, "steps": 20},
    }
    assert sdxl["ignored_parameters"] == {}
    assert sdxl["unusable_values"] == {"precision": ["fp16"]}
    assert sdxl["defaults"] == {"network_alpha": "lora_rank"}
    assert set(offered(api)) == set(MODELS)


def test_info_sees_a_local_copy(api: Client, settings: Any, tmp_path: Path) -> None:
    settings.MODELS_DIR = tmp_path
    assert not any(model["is_local"] for model in offered(api).values())
    for part in ("transformer", "text_encoder", "tokenizer", "vae"):
        (tmp_path / "z-image" / part).mkdir(parents=True)
    assert [name for name, model in offered(api).items() if model["is_local"]] == ["z-image"]
