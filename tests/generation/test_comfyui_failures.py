"""What people are told when the execution of their image fails: what happened, and nothing of other people's."""

import pytest

from generation.engines.comfyui.answers import ExecutionError
from generation.engines.comfyui.failures import failure_of, is_out_of_memory
from jobs.errors import EngineAtFault, EngineFailed


def _failure(message: str, *, node: str = "VAELoader", kind: str = "RuntimeError") -> EngineFailed:
    error = ExecutionError(node_type=node, exception_type=kind, exception_message=message)
    return failure_of(error, own_files={"ae.safetensors", "v2.safetensors"})


def test_a_failure_names_no_folders_of_the_server() -> None:
    failure = _failure("cannot read /srv/secret/models/vae/ae.safetensors\nmore\n")
    assert str(failure) == "ComfyUI failed in VAELoader: cannot read ae.safetensors."


@pytest.mark.parametrize(
    "message",
    [
        "cannot open /srv/people/anna/nude.png",
        "cannot open '/srv/My Models/anna.safetensors' for reading",
        "name 'anna.safetensors' not in ['anna.safetensors', 'bert.safetensors']",
        "C:\\Users\\anna\\models\\bert.safetensors is gone",
        "open(/home/anna/x)",
        "anna.ckpt",
        "Traceback in file anna.py line 3",
        "/srv/anna bert/with spaces/and more",
    ],
)
def test_files_and_folders_of_other_people_are_not_told(message: str) -> None:
    told = str(_failure(message))
    assert "anna" not in told.replace("anna bert", "anna")
    assert "bert" not in told
    assert told.startswith("ComfyUI failed in VAELoader")
    assert "/" not in told
    assert "\\" not in told


def test_a_message_without_files_is_repeated() -> None:
    assert str(_failure("the tensor is empty")) == "ComfyUI failed in VAELoader: the tensor is empty."


@pytest.mark.parametrize("message", ["", "   \n"])
def test_without_a_message_the_kind_of_error_is_told(message: str) -> None:
    assert str(_failure(message, kind="torch.cuda.CudaError")) == "ComfyUI failed in VAELoader: CudaError."


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("[Errno 28] No space left on device: '/srv/x'", "The disk of the ComfyUI server is full."),
        ("[Errno 13] Permission denied: '/srv/x'", "may not read or write"),
        ("CUDA error: device-side assert triggered", "The GPU of the ComfyUI server failed"),
        ("CUDA error: no kernel image is available for execution on the device", "do not fit together"),
        ("mat1 and mat2 shapes cannot be multiplied (4x3 and 2x1)", "model files on the ComfyUI server do not fit"),
        ("ERROR: Could not detect model type of: /srv/models/anna.safetensors", "damaged or of another kind"),
        ("Error while deserializing header: HeaderTooLarge", "damaged or of another kind"),
    ],
)
def test_a_well_known_failure_has_a_sentence_of_its_own(message: str, sentence: str) -> None:
    failure = _failure(message)
    assert sentence in str(failure)
    assert isinstance(failure, EngineAtFault)
    assert failure.is_broken
    assert "/srv" not in str(failure)


def test_a_damaged_lora_is_nobodys_fault_but_the_files() -> None:
    failure = _failure("/srv/loras/char-1/v2.safetensors: header too large", node="LoraLoaderModelOnly")
    assert "could not load the LoRA file" in str(failure)
    assert not isinstance(failure, EngineAtFault)


def test_a_full_gpu_is_no_fault_of_the_server_and_another_may_have_more_room() -> None:
    failure = _failure("CUDA out of memory", kind="torch.OutOfMemoryError")
    assert isinstance(failure, EngineAtFault)
    assert not failure.is_broken
    assert failure.cause == "out_of_memory"


@pytest.mark.parametrize(
    ("kind", "message", "is_memory"),
    [
        ("torch.OutOfMemoryError", "Allocation on device", True),
        ("RuntimeError", "CUDA out of memory. Tried to allocate 2 GiB", True),
        ("RuntimeError", "shapes do not match", False),
    ],
)
def test_a_full_gpu_is_told_from_other_failures(kind: str, message: str, *, is_memory: bool) -> None:
    error = ExecutionError(exception_type=kind, exception_message=message)
    assert is_out_of_memory(error) == is_memory
