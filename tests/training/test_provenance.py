"""What is written into a LoRA's file, from the facts alone."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from base_models import MODELS
from training.params import TrainingParams
from training.provenance import Provenance

BEGIN, END = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2026, 1, 2, 4, 4, 5, 678_000, tzinfo=UTC)
RELEASE = {"name": "ai-toolkit", "version": "0.12.26", "commit": "a" * 40}


def attempt(number: int, **facts: Any) -> dict[str, Any]:
    dataset = {"hash": f"hash-{number}", "image_count": 5, "caption_strategy": "tags", "image_ids": [1, 2]}
    return {"attempt": number, "dataset": dataset, "trainer": RELEASE, "seed": 7, "start_step": 0, **facts}


def provenance(model: str = "flux-dev", **params: Any) -> Provenance:
    return Provenance(
        job_id="train-1",
        title="Ann v2",
        character_name="Ann",
        trigger_word="ann_person",
        model=MODELS[model],
        params=TrainingParams.model_validate(params).model_dump(mode="json"),
        attempts=(attempt(1), attempt(2, start_step=250)),
        continues={"job_id": "train-0", "step": 1000},
        isengard_version="0.1.0",
        started_at=BEGIN,
        ended_at=END,
    )


def metadata_of(made: Provenance, **written: str) -> dict[str, str]:
    return made.as_metadata(written, tensors_sha256="b" * 64)


def test_the_last_attempt_is_the_one_that_made_the_file_and_all_are_told() -> None:
    told = metadata_of(provenance())
    assert told["isengard.dataset_hash"] == "hash-2"
    assert json.loads(told["isengard.attempts"]) == [
        {"attempt": 1, "start_step": 0, "dataset_hash": "hash-1"},
        {"attempt": 2, "start_step": 250, "dataset_hash": "hash-2"},
    ]
    assert json.loads(told["isengard.continues"]) == {"job_id": "train-0", "step": 1000}
    assert (told["isengard.started_at"], told["isengard.ended_at"]) == (
        "2026-01-02T03:04:05.000Z",
        "2026-01-02T04:04:05.678Z",
    )


def test_every_text_is_a_text() -> None:
    told = metadata_of(provenance(), format="pt")
    assert all(isinstance(value, str) for value in told.values())
    assert told["format"] == "pt"


@pytest.mark.parametrize("model", list(MODELS))
def test_each_model_has_an_architecture_an_implementation_and_a_licence(model: str) -> None:
    told = metadata_of(provenance(model))
    training = MODELS[model].training
    assert training is not None
    assert told["modelspec.architecture"] == told["ss_base_model_version"] + "/lora" == f"{training.architecture}/lora"
    assert told["modelspec.implementation"]
    assert "HF_TOKEN" not in told["modelspec.license"]
    assert told["isengard.base_model"] == model


def test_alpha_is_the_rank_where_the_trainer_ignores_it_and_the_asked_one_elsewhere() -> None:
    params = {"lora_rank": 32, "network_alpha": 8}
    assert metadata_of(provenance("flux-dev", **params))["ss_network_alpha"] == "32"
    assert metadata_of(provenance("sdxl", **params))["ss_network_alpha"] == "8"
    assert provenance("sdxl", **params).as_details()["alpha"] == 8


def test_the_rate_is_the_one_that_the_trainer_was_given() -> None:
    made = provenance(optimizer="prodigy")
    assert metadata_of(made)["ss_learning_rate"] == "0.0001"
    told = metadata_of(replace(made, attempts=(attempt(1, learning_rate=1.0),)))
    assert told["ss_learning_rate"] == "1.0"
    assert json.loads(told["isengard.parameters"])["learning_rate"] == 0.0001


def test_the_trainers_word_stays_where_both_name_the_same_and_ours_replaces_what_was_left() -> None:
    left = {"isengard.job_id": "train-0", "ss_steps": "3", "modelspec.title": "old"}
    own = {"ss_output_name": "train-1", "ss_base_model_version": "flux.1", "ss_tag_frequency": "{}"}
    told = metadata_of(provenance(steps=500), **left, **own)
    assert own.items() <= told.items()
    assert (told["isengard.job_id"], told["ss_steps"], told["modelspec.title"]) == ("train-1", "500", "Ann v2")


def test_the_row_and_the_file_tell_the_same() -> None:
    made = provenance(caption_strategy="tags")
    told, training = metadata_of(made), made.as_details()["training"]
    assert json.loads(told["isengard.parameters"]) == training["params"]
    assert json.loads(told["isengard.attempts"]) == training["attempts"]
    assert json.loads(told["isengard.continues"]) == training["continues"]
    assert {name: told[f"isengard.trainer_{name}"] for name in RELEASE} == training["trainer"] == RELEASE
    assert (told["isengard.dataset_hash"], told["isengard.seed"]) == (training["dataset_hash"], str(training["seed"]))
