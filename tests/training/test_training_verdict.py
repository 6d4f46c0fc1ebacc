import math
import re
import struct
from pathlib import Path

import pytest

from jobs.errors import EngineFailed
from tests.training.aitoolkit_fixtures import lora_bytes, order_in, write_lora
from training.engines.aitoolkit.verdict import Ending, judge, version_of


def ending(model: Path, *, exit_status: int = 0, tail: tuple[str, ...] = ()) -> Ending:
    return Ending(exit_status=exit_status, console_tail=tail, model=model, earlier=None)


def test_a_new_whole_lora_of_the_last_step_is_success(tmp_path: Path) -> None:
    model = write_lora(tmp_path / "j.safetensors", step=1000, rank=16)
    finished = judge(ending(model), order_in(tmp_path))
    assert finished.model == model
    assert finished.details["tensor_count"] == 2


def test_exit_status_zero_alone_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match="wrote no LoRA"):
        judge(ending(tmp_path / "j.safetensors"), order_in(tmp_path))


def test_a_lora_of_an_earlier_attempt_does_not_count(tmp_path: Path) -> None:
    model = write_lora(tmp_path / "j.safetensors", step=1000)
    earlier = Ending(exit_status=0, console_tail=(), model=model, earlier=version_of(model))
    with pytest.raises(EngineFailed, match="wrote no LoRA"):
        judge(earlier, order_in(tmp_path))


def test_a_stopped_job_is_no_success_though_it_exits_with_zero(tmp_path: Path) -> None:
    model = write_lora(tmp_path / "j.safetensors", step=1000)
    with pytest.raises(EngineFailed, match="interrupted") as caught:
        judge(ending(model, tail=("======", "Job stopped", "======")), order_in(tmp_path))
    assert caught.value.is_retryable


MODULE = "transformer.transformer_blocks.0.attn.to_q"
DOWN, UP = f"{MODULE}.lora_A.weight", f"{MODULE}.lora_B.weight"


def with_number(number: bytes, dtype: str) -> bytes:
    """A LoRA whose very last number is `number`."""
    whole = lora_bytes(dtype=dtype)
    return whole[: -len(number)] + number


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lora_bytes(step=999), "step 999 instead of 1000"),
        (lora_bytes(rank=8), f"'{DOWN}' is not of rank 16: its shape is [8, 32]"),
        (lora_bytes(tensors={DOWN: (32, 16), UP: (16, 32)}), f"'{DOWN}' is not of rank 16: its shape is [32, 16]"),
        (lora_bytes(tensors={DOWN: (16, 32), UP: (32, 8)}), f"'{UP}' is not of rank 16: its shape is [32, 8]"),
        (lora_bytes(tensors={DOWN: (16, 32)}), "'transformer_blocks.0.attn.to_q' is incomplete: its B is missing"),
        (lora_bytes(tensors={UP: (32, 16)}), "'transformer_blocks.0.attn.to_q' is incomplete: its A is missing"),
        (lora_bytes(tensors={}), "has no tensors"),
        (lora_bytes(tensors={"unet.weight": (16, 16)}), "'unet.weight' is none that a LoRA for this base model has"),
        (lora_bytes()[:-1], "cut off; bytes missing at its end: 1"),
        (lora_bytes()[:30], "cut off"),
        (b"", "is empty"),
        (lora_bytes() + b"x", "goes on behind its last tensor"),
        (lora_bytes(number=b"\0\0"), "All its lora_B weights are zero"),
        (lora_bytes(number=b"\0\x80"), "All its lora_B weights are zero"),
    ],
)
def test_a_lora_that_is_not_what_was_asked_for_is_no_success(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "j.safetensors").write_bytes(content)
    with pytest.raises(EngineFailed, match=re.escape(words)) as caught:
        judge(ending(tmp_path / "j.safetensors"), order_in(tmp_path))
    assert not caught.value.is_retryable


@pytest.mark.parametrize(
    ("dtype", "number"),
    [
        ("BF16", b"\xc0\x7f"),
        ("BF16", b"\x80\xff"),
        ("F16", struct.pack("<e", math.nan)),
        ("F16", struct.pack("<e", math.inf)),
        ("F32", struct.pack("<f", math.nan)),
        ("F32", struct.pack("<f", -math.inf)),
    ],
)
def test_a_single_number_that_is_none_is_no_success(dtype: str, number: bytes, tmp_path: Path) -> None:
    (tmp_path / "j.safetensors").write_bytes(with_number(number, dtype))
    with pytest.raises(EngineFailed, match=f"'{UP}' has numbers that are NaN or infinite"):
        judge(ending(tmp_path / "j.safetensors"), order_in(tmp_path))


def test_a_half_that_learned_nothing_beside_one_that_did_is_success(tmp_path: Path) -> None:
    tensors = {
        DOWN: (16, 32),
        UP: (32, 16),
        DOWN.replace("to_q", "to_k"): (16, 32),
        UP.replace("to_q", "to_k"): (32, 16),
    }
    content = lora_bytes(tensors=tensors)
    content = content[: -2 * 16 * 32] + bytes(2 * 16 * 32)
    (tmp_path / "j.safetensors").write_bytes(content)
    assert judge(ending(tmp_path / "j.safetensors"), order_in(tmp_path)).details["tensor_count"] == 4


@pytest.mark.parametrize("number", [b"\x01\x00", b"\x00\x01"])
def test_the_smallest_number_is_not_zero(number: bytes, tmp_path: Path) -> None:
    (tmp_path / "j.safetensors").write_bytes(lora_bytes(number=number))
    assert judge(ending(tmp_path / "j.safetensors"), order_in(tmp_path)).model


def test_the_keys_are_those_of_the_base_model(tmp_path: Path) -> None:
    stem = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
    kohya = {f"{stem}.lora_down.weight": (16, 32), f"{stem}.lora_up.weight": (32, 16), f"{stem}.alpha": (1, 1)}
    (tmp_path / "j.safetensors").write_bytes(lora_bytes(tensors=kohya))
    with pytest.raises(EngineFailed, match="none that a LoRA for this base model has"):
        judge(ending(tmp_path / "j.safetensors"), order_in(tmp_path))
    assert judge(ending(tmp_path / "j.safetensors"), order_in(tmp_path, base_model="sdxl")).model


def test_an_error_is_explained_before_the_files_are_looked_at(tmp_path: Path) -> None:
    model = write_lora(tmp_path / "j.safetensors", step=1000)
    with pytest.raises(EngineFailed, match="exit code 3"):
        judge(ending(model, exit_status=3), order_in(tmp_path))
