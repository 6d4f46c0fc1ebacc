"""Each base model is trained to its end: its job file, its program and its verdict fit together."""

import json
from pathlib import Path

import pytest

from base_models import MODELS
from jobs.events import Finished
from tests.training.aitoolkit_fixtures import order_in, stand_in
from training.engines.aitoolkit import train


def tensor_names(model: Path) -> list[str]:
    with model.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return [name for name in header if name != "__metadata__"]


@pytest.mark.parametrize("base_model", MODELS)
def test_a_training_ends_with_a_lora_of_the_models_own_kind(base_model: str, tmp_path: Path) -> None:
    order = order_in(tmp_path, base_model=base_model, steps=100, sample_count=1, lora_rank=8)
    finished = list(train(order, stand_in()))[-1]
    assert isinstance(finished, Finished)
    assert finished.model is not None
    assert finished.details["rank"] == 8
    assert any(name.endswith(".alpha") for name in tensor_names(finished.model)) == (base_model == "sdxl")
