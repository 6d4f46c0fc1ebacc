"""What the trainer's last words mean for the person who waits for the LoRA."""

import errno

import pytest

from training.engines.aitoolkit.failures import explain_failure, explain_os_error, picture_in

FRAME = ["Traceback (most recent call last):", '  File "/opt/ai-toolkit/run.py", line 147, in <module>', "    main()"]
NOISE = ["Failed to load CPU gemm: No module named 'kernels'", "Loading Flux model", "Loading transformer"]


def ended_with(error: str, kind: str = "RuntimeError") -> list[str]:
    """The console of a job that failed, as the trainer prints it."""
    closing = ["=" * 40, "Result:", " - 0 completed jobs", " - 1 failure", "=" * 40]
    reported, python = f"Error running job: {error}".split("\n"), f"{kind}: {error}".split("\n")
    return [*NOISE, *reported, *closing, *FRAME, *python]


OFFLINE = (
    "Cannot find an appropriate cached snapshot folder for the specified revision on the local disk and outgoing "
    "traffic has been disabled."
)
LOCAL_ONLY = (
    "An error happened while trying to locate the file on the Hub and we cannot find the requested files in the local "
    "cache."
)
# What the trainer says, what the person has to read, the word for programs, and whether it is tried again by itself.
SAID = [
    ("CUDA out of memory. Tried to allocate 2.00 GiB.", "GPU ran out of memory", "out_of_memory", False),
    ("CUDA error: out of memory", "GPU ran out of memory", "out_of_memory", False),
    ("OOM during training step 3 times in a row, aborting training", "lower resolution", "out_of_memory", False),
    ("CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "lower resolution", "out_of_memory", False),
    ("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory", "RAM", "machine_memory_full", False),
    ("DataLoader worker (pid 77) is killed by signal: Killed.", "RAM", "machine_memory_full", False),
    ("DataLoader worker (pid(s) 7) is killed by signal: Bus error. out of shared memory", "shm-size", "shared", False),
    ("Access to model black-forest-labs/FLUX.1-dev is restricted.", "accept its licence", "gated_model", False),
    ("You are trying to access a gated repo.", "HF_TOKEN", "gated_model", False),
    ("401 Client Error. (Request ID: x)", "HF_TOKEN", "bad_token", False),
    ("403 Client Error. (Request ID: x)\n\nCannot access gated repo for url x.", "licence", "gated_model", False),
    ("401 Client Error.\n\nRepository Not Found for url: x.", "not found on", "model_not_found", False),
    ("404 Client Error.\n\nEntry Not Found for url: x.", "not found on", "model_not_found", False),
    ("We couldn't connect to 'https://huggingface.co' to load this model", "reaches", "no_network", True),
    ("Cannot send a request, as the client has been closed.", "reaches huggingface.co", "no_network", True),
    ("[Errno -2] Name or service not known", "reaches huggingface.co", "no_network", True),
    ("503 Server Error: Service Unavailable for url: x", "reaches huggingface.co", "no_network", True),
    (LOCAL_ONLY, "reaches huggingface.co", "no_network", True),
    (OFFLINE, "HF_HUB_OFFLINE", "model_not_cached", False),
    ("Cannot reach https://huggingface.co/x: offline mode is enabled.", "HF_HUB_OFFLINE", "model_not_cached", False),
    ("org/x does not appear to have a file named config.json.", "missing or damaged", "model_damaged", False),
    ("When using the offline mode, you must specify a `weight_name`.", "HF_HUB_OFFLINE", "model_not_cached", False),
    ("[Errno 28] No space left on device", "disk is full", "disk_full", False),
    ("database or disk is full", "disk is full", "disk_full", False),
    ("no images found in /srv/ds", "upload", "no_images", False),
    ("No module named 'controlnet_aux'", "package controlnet_aux", "missing_package", False),
    ("config file is invalid. Unknown process type: diffusion_trainer", "diffusion_trainer", "wrong_version", False),
    ("no such column: save_now", "no such column: save_now", "wrong_version", False),
    ("operator torchvision::nms does not exist", "torchvision::nms", "mismatched_packages", False),
    ("cannot import name 'Flux2Pipeline' from 'diffusers'", "Flux2Pipeline", "mismatched_packages", False),
    ("/lib/x.so: undefined symbol: _ZN3c10", "undefined symbol", "mismatched_packages", False),
    ("No CUDA GPUs are available", "CUDA_VISIBLE_DEVICES", "gpu", True),
    ("CUDA error: an illegal memory access was encountered", "nvidia-smi", "gpu", True),
    ("CUDA error: no kernel image is available for execution on the device", "not built", "no_kernel_image", False),
    ("CUDA error: device-side assert triggered", "device-side assert", "device_assert", False),
    ("The NVIDIA driver on your system is too old (found version 11040).", "update", "driver_too_old", False),
    ("Torch not compiled with CUDA enabled", "with CUDA", "no_cuda_build", False),
    ("The installed version of bitsandbytes was compiled without GPU support.", "adamw", "bitsandbytes", False),
    ("Error while deserializing header: incomplete metadata, file not fully covered", "damaged", "damaged", True),
    ("Unknown optimizer type sgdx", "exit code 1: Unknown optimizer type sgdx", "engine_error", False),
]


@pytest.mark.parametrize(("error", "words", "cause", "is_retryable"), SAID)
def test_an_error_says_what_to_do(error: str, words: str, cause: str, is_retryable: bool) -> None:
    failure = explain_failure(1, ended_with(error))
    assert words in str(failure)
    assert failure.cause.startswith(cause)
    assert failure.is_retryable is is_retryable


def test_a_crash_before_the_job_is_explained_by_its_traceback() -> None:
    tail = [*NOISE, *FRAME, "ModuleNotFoundError: No module named 'oyaml'"]
    assert "package oyaml" in str(explain_failure(1, tail))


def test_what_was_survived_earlier_is_not_blamed() -> None:
    tail = ["# OOM during training step, skipping batch 1/3 #", *ended_with("Unknown optimizer type sgdx")]
    assert "Unknown optimizer" in str(explain_failure(1, tail))


def test_a_library_that_misses_an_optional_package_is_not_blamed() -> None:
    assert "kernels" not in str(explain_failure(1, ended_with("it broke") + NOISE))


def test_without_any_error_the_last_line_has_to_do() -> None:
    assert str(explain_failure(7, ["Loading VAE", "Giving up"])) == "ai-toolkit failed with exit code 7: Giving up"


def test_silence_is_said_to_be_silence() -> None:
    assert "printed nothing" in str(explain_failure(1, []))


def test_a_kill_is_explained_by_the_signal_alone() -> None:
    failure = explain_failure(-9, ["# OOM during training step, skipping batch 1/3 #"])
    assert "SIGKILL" in str(failure)
    assert failure.is_retryable


def test_an_unusual_signal_is_still_explained() -> None:
    assert "signal 77" in str(explain_failure(-77, []))


OUT_OF_MEMORY = "CUDA out of memory. Tried to allocate 36.00 MiB."


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("load_model", "while it loaded the base model"),
        ("generate_images", "while it made sample pictures"),
        ("sample", "while it made sample pictures"),
        ("cache_latents_all_latents", "while it prepared the images"),
        ("hook_train_loop", "in a training step"),
    ],
)
def test_out_of_memory_says_in_which_part(function: str, words: str) -> None:
    frame = f'  File "/opt/ai-toolkit/toolkit/some.py", line 7, in {function}'
    tail = [f"Error running job: {OUT_OF_MEMORY}", "=" * 40, *FRAME, frame, "    x()", f"RuntimeError: {OUT_OF_MEMORY}"]
    assert words in str(explain_failure(1, tail))


def test_a_bad_image_is_named_as_its_owner_knows_it() -> None:
    tail = ["Error processing image: /data/ws/dataset/0a1b.png", *ended_with("image file is truncated (7 bytes)")]
    failure = explain_failure(1, tail, picture_names={"0a1b.png": "beach at dusk.jpg"})
    assert "the training image beach at dusk.jpg" in str(failure)
    assert "0a1b" not in str(failure)
    assert (failure.cause, failure.is_retryable) == ("bad_image", False)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("Error processing image: /data/ws/dataset/0a1b.png", "0a1b.png"),
        ("Error loading image: /data/my pictures/0a1b.jpeg", "0a1b.jpeg"),
        ("Error loading image, skipping and loading a different one: /d/0a1b.webp (cannot identify)", "0a1b.webp"),
        ("Error loading size database: /d/.aitk_size.json", None),
        ("Loading image", None),
    ],
)
def test_the_lines_that_name_an_unreadable_picture_are_known(line: str, name: str | None) -> None:
    assert picture_in(line) == name


def test_a_kill_by_the_kernel_is_said_for_sure_where_it_counted_one() -> None:
    sure, perhaps = explain_failure(-9, [], did_memory_run_out=True), explain_failure(-9, [])
    assert (sure.cause, perhaps.cause) == ("machine_memory_full", "killed")
    assert "because the machine ran out of memory" in str(sure)
    assert "from outside, or because" in str(perhaps)
    assert sure.is_retryable
    assert perhaps.is_retryable


@pytest.mark.parametrize(("status", "words"), [(-15, "asked it to end"), (-11, "native code"), (-7, "shared memory")])
def test_each_signal_says_where_to_look_and_is_tried_again(status: int, words: str) -> None:
    failure = explain_failure(status, [])
    assert words in str(failure)
    assert failure.is_retryable


def test_what_is_not_known_shows_no_folders_of_the_machine() -> None:
    text = "cannot open '/home/anna/.cache/huggingface/model.bin' (see https://example.org/a/b)"
    failure = str(explain_failure(1, ended_with(text)))
    assert "anna" not in failure
    assert "cannot open 'model.bin' (see https://example.org/a/b)" in failure


def test_what_is_not_known_is_not_told_at_any_length() -> None:
    assert len(str(explain_failure(1, ended_with("x" * 5000)))) < 400


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_file_that_finds_no_room_means_a_full_disk(number: int) -> None:
    assert "disk is full" in str(explain_os_error(OSError(number, "no room")))


def test_another_file_error_is_no_full_disk() -> None:
    assert explain_os_error(PermissionError(errno.EACCES, "no")) is None
