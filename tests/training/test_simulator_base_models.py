"""The stand-in trains every base model that is offered, each LoRA with the tensors of its family."""

import json
import struct
from pathlib import Path

import pytest

from base_models import MODELS
from characters.safetensors_files import read_header
from jobs.errors import EngineFailed
from jobs.events import Finished
from tests.training.aitoolkit_fixtures import stand_in
from tests.training.aitoolkit_runs import QUICK, short_order
from training.engines.aitoolkit import train

TRAINABLE = [name for name, model in MODELS.items() if model.training is not None]


@pytest.mark.parametrize("base_model", TRAINABLE)
def test_a_training_of_any_base_model_passes_the_verdict(base_model: str, tmp_path: Path) -> None:
    order = short_order(tmp_path, steps=100, base_model=base_model)
    # The adapter itself refuses a LoRA whose tensors are not those of the base model's family.
    assert isinstance(list(train(order, stand_in(), limits=QUICK))[-1], Finished)


def test_a_lora_of_sdxl_has_the_alpha_that_was_asked_for(tmp_path: Path) -> None:
    order = short_order(tmp_path, steps=100, base_model="sdxl", lora_rank=8, network_alpha=4)
    finished = list(train(order, stand_in(), limits=QUICK))[-1]
    assert isinstance(finished, Finished)
    assert finished.model is not None
    content = finished.model.read_bytes()
    with finished.model.open("rb") as file:
        header = read_header(file)
    alphas = {name: tensor for name, tensor in header.tensors.items() if name.endswith(".alpha")}
    assert len(alphas) == 3 * 10
    assert json.loads(header.metadata["training_info"])["step"] == 100
    raw = json.loads(content[8 : header.body_offset])
    begin, end = raw[next(iter(alphas))]["data_offsets"]
    bfloat16 = content[header.body_offset + begin : header.body_offset + end]
    assert struct.unpack("<f", b"\0\0" + bfloat16)[0] == 4.0


def test_offline_a_hub_model_is_there_only_if_it_is_in_the_cache(tmp_path: Path) -> None:
    order = short_order(tmp_path, steps=100)
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "huggingface")}
    with pytest.raises(EngineFailed, match="HF_HUB_OFFLINE"):
        list(train(order, stand_in(**offline), limits=QUICK))
    (tmp_path / "huggingface" / "hub" / "models--black-forest-labs--FLUX.1-dev").mkdir(parents=True)
    assert isinstance(list(train(order, stand_in(**offline), limits=QUICK))[-1], Finished)
