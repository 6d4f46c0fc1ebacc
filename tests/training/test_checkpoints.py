import json
from pathlib import Path

import pytest

from tests.training.aitoolkit_fixtures import lora_bytes, write_lora
from training.engines.aitoolkit.checkpoints import (
    Checkpoint,
    IncompleteFileError,
    adopt_checkpoint,
    is_sound,
    list_saves,
    read_checkpoint,
    read_step,
)


def with_header(header: object, body: bytes = b"") -> bytes:
    raw = json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + body


def test_a_whole_file_tells_its_step(tmp_path: Path) -> None:
    path = write_lora(tmp_path / "x.safetensors", step=250)
    assert read_step(path) == 250
    assert read_checkpoint(path) == Checkpoint(path, 250)


@pytest.mark.parametrize("number", [b"\xc0\x7f", b"\x80\x7f", b"\x80\xff"])
def test_a_file_with_a_number_that_is_none_is_whole_but_not_sound(number: bytes, tmp_path: Path) -> None:
    path = write_lora(tmp_path / "x.safetensors", step=250)
    assert is_sound(path)
    path.write_bytes(path.read_bytes()[:-2] + number)
    assert read_step(path) == 250
    assert not is_sound(path)


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 9, 40, -1])
def test_a_truncated_file_is_not_whole(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(lora_bytes()[:kept])
    with pytest.raises(IncompleteFileError):
        read_step(path)
    assert read_checkpoint(path) is None


@pytest.mark.parametrize(
    "content",
    [
        lora_bytes() + b"more",
        b"\xff" * 64,
        (2**40).to_bytes(8, "little") + b"x" * 64,
        with_header([1, 2]),
        with_header({"a": {"dtype": "F16", "shape": [2], "data_offsets": [0, 2]}}, bytes(2)),
        with_header({"a": {"dtype": "F16", "shape": [2]}}, bytes(4)),
        with_header({"a": 7}),
    ],
)
def test_a_file_whose_header_does_not_fit_its_size_is_not_whole(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(IncompleteFileError):
        read_step(path)


@pytest.mark.parametrize("info", ["", "{", "[]", '{"step": "7"}', '{"step": true}', "null"])
def test_a_file_without_a_readable_step_is_no_checkpoint(info: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tensor = {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}
    path.write_bytes(with_header({"__metadata__": {"training_info": info}, "a": tensor}, bytes(2)))
    assert read_step(path) is None
    assert read_checkpoint(path) is None


def test_only_the_saves_of_this_name_are_listed_by_step(tmp_path: Path) -> None:
    for name in ("j_000000500", "j_000000250", "j", "jj_000000100", "j_5", "other_000000100"):
        write_lora(tmp_path / f"{name}.safetensors")
    assert [path.stem for path in list_saves(tmp_path, "j")] == ["j_000000250", "j_000000500"]
    assert list_saves(tmp_path / "nowhere", "j") == []


def test_a_published_checkpoint_gets_the_name_that_ai_toolkit_looks_for(tmp_path: Path) -> None:
    folder = tmp_path / "saves"
    folder.mkdir()
    source = write_lora(tmp_path / "published" / "abc", step=750)
    adopted = adopt_checkpoint(source, folder, "j")
    assert adopted is not None
    assert (adopted.step, [path.name for path in folder.iterdir()]) == (750, ["j_000000750.safetensors"])
    assert adopted.path.read_bytes() == source.read_bytes()


def test_a_published_checkpoint_that_is_broken_or_gone_is_not_adopted(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"short")
    assert adopt_checkpoint(broken, tmp_path, "j") is None
    assert adopt_checkpoint(tmp_path / "gone", tmp_path, "j") is None
    diverged = write_lora(tmp_path / "diverged", step=750)
    diverged.write_bytes(diverged.read_bytes()[:-2] + b"\xc0\x7f")
    assert adopt_checkpoint(diverged, tmp_path, "j") is None
