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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lora_bytes(step=999), "step 999 instead of 1000"),
        (lora_bytes(rank=8), "not of rank 16"),
        (lora_bytes(tensors={}), "empty"),
        (lora_bytes(tensors={"unet.weight": (16, 16)}), "unet.weight"),
        (lora_bytes()[:-1], "incomplete"),
    ],
)
def test_a_lora_that_is_not_what_was_asked_for_is_no_success(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "j.safetensors").write_bytes(content)
    with pytest.raises(EngineFailed, match=words):
        judge(ending(tmp_path / "j.safetensors"), order_in(tmp_path))


def test_an_error_is_explained_before_the_files_are_looked_at(tmp_path: Path) -> None:
    model = write_lora(tmp_path / "j.safetensors", step=1000)
    with pytest.raises(EngineFailed, match="exit code 3"):
        judge(ending(model, exit_status=3), order_in(tmp_path))
