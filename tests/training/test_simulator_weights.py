import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.training.simulator_bench import NAME, Bench, read_header, read_metadata, read_tensors, tensor_hash


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_final_file_holds_the_tensors_of_a_tiny_flux_in_the_rank_asked_for(bench: Bench) -> None:
    bench.process["network"] = {"type": "lora", "linear": 8, "linear_alpha": 2}

    outcome = bench.run()

    header = read_header(bench.weights())
    shapes = {name: tensor["shape"] for name, tensor in header.items() if name != "__metadata__"}
    assert "(rank): 8, alpha: 8" in outcome.out
    assert len(shapes) == 52
    assert shapes["transformer.transformer_blocks.0.attn.to_q.lora_A.weight"] == [8, 32]
    assert shapes["transformer.transformer_blocks.0.norm1.linear.lora_B.weight"] == [192, 8]
    assert shapes["transformer.single_transformer_blocks.1.proj_out.lora_A.weight"] == [8, 160]


@pytest.mark.parametrize(
    ("word", "dtype"), [("bf16", "BF16"), ("float16", "F16"), ("fp32", "F32"), ("8bit", "F8_E4M3"), (None, "F16")]
)
def test_the_tensors_have_the_number_type_asked_for(bench: Bench, word: str | None, dtype: str) -> None:
    bench.process["save"] = {"dtype": word} if word else {}

    assert bench.run().code == 0

    assert {tensor["dtype"] for tensor in read_tensors(bench.weights()).values()} == {dtype}


def test_every_number_in_the_final_file_is_finite(bench: Bench) -> None:
    bench.process["save"]["dtype"] = "float16"

    bench.run()

    numbers = [
        number
        for tensor in read_tensors(bench.weights()).values()
        for (number,) in struct.iter_unpack("<e", tensor["data"])
    ]
    assert all(math.isfinite(number) for number in numbers)
    assert 0 < max(abs(number) for number in numbers) < 1


def test_the_metadata_tell_what_was_trained(bench: Bench) -> None:
    bench.run()

    metadata = read_metadata(bench.weights())
    assert json.loads(metadata["training_info"]) == {"step": 6, "epoch": 1}
    assert json.loads(metadata["ss_tag_frequency"]) == {"1_ada": {"ada": 1}}
    assert json.loads(metadata["software"]).keys() == {"name", "repo", "version"}
    expected = {
        "format": "pt",
        "name": NAME,
        "version": "1.0",
        "ss_output_name": NAME,
        "ss_base_model_version": "flux.1",
    }
    assert expected.items() <= metadata.items()
    assert len(metadata["sshs_model_hash"]) == 64
    assert len(metadata["sshs_legacy_hash"]) == 8


def test_a_lokr_has_its_own_tensor_names(bench: Bench) -> None:
    bench.process["network"]["type"] = "lokr"

    assert bench.run().code == 0

    endings = {name.rsplit(".", maxsplit=1)[1] for name in read_tensors(bench.weights())}
    assert endings == {"alpha", "lokr_w1", "lokr_w2"}


@pytest.mark.parametrize(
    "change",
    [
        {"trigger_word": "eve"},
        {"network": {"linear": 5}},
        {"training_seed": 7},
        {"train": {"steps": 7}},
        {"train": {"lr": 2e-4}},
        {"model": {"name_or_path": "black-forest-labs/FLUX.1-schnell"}},
    ],
    ids=str,
)
def test_another_training_gives_another_lora(bench: Bench, change: dict[str, Any]) -> None:
    bench.run()
    first = tensor_hash(bench.weights())
    bench.weights().unlink()
    for key, value in change.items():
        bench.process[key] = bench.process[key] | value if isinstance(value, dict) else value

    bench.run()

    assert tensor_hash(bench.weights()) != first


def test_an_image_replaced_under_its_name_is_trained_on_as_it_was(bench: Bench) -> None:
    bench.run()
    first = tensor_hash(bench.weights())
    bench.weights().unlink()
    bench.add_image("0.png", "yellow")

    bench.run()

    assert tensor_hash(bench.weights()) == first


def test_an_image_replaced_counts_where_latents_are_not_cached(bench: Bench) -> None:
    bench.process["datasets"][0]["cache_latents_to_disk"] = False
    bench.run()
    first = tensor_hash(bench.weights())
    bench.weights().unlink()
    bench.add_image("0.png", "yellow")

    bench.run()

    assert tensor_hash(bench.weights()) != first
