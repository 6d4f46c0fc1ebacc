import pytest

from training.engines.aitoolkit.failures import explain_failure

FRAME = ["Traceback (most recent call last):", '  File "/opt/ai-toolkit/run.py", line 147, in <module>', "    main()"]
NOISE = ["Failed to load CPU gemm: No module named 'kernels'", "Loading Flux model", "Loading transformer"]


def ended_with(error: str, kind: str = "RuntimeError") -> list[str]:
    """The console of a job that failed, as the trainer prints it."""
    closing = ["=" * 40, "Result:", " - 0 completed jobs", " - 1 failure", "=" * 40]
    return [*NOISE, f"Error running job: {error}", *closing, *FRAME, f"{kind}: {error}"]


@pytest.mark.parametrize(
    ("error", "words", "is_retryable"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB.", "lower resolution", False),
        ("OOM during training step 3 times in a row, aborting training", "lower resolution", False),
        ("Access to model black-forest-labs/FLUX.1-dev is restricted.", "HF_TOKEN", False),
        ("You are trying to access a gated repo.", "HF_TOKEN", False),
        ("401 Client Error. (Request ID: x)", "HF_TOKEN", False),
        ("404 Client Error: Repository Not Found for url", "not found on huggingface.co", False),
        ("We couldn't connect to 'https://huggingface.co' to load this model", "reaches huggingface.co", True),
        ("Cannot send a request, as the client has been closed.", "reaches huggingface.co", True),
        ("[Errno 28] No space left on device", "disk is full", False),
        ("no images found in /srv/ds", "upload", False),
        ("No module named 'controlnet_aux'", "package controlnet_aux", False),
        ("No CUDA GPUs are available", "CUDA_VISIBLE_DEVICES", True),
        ("Error while deserializing header: incomplete metadata, file not fully covered", "damaged", True),
        ("Unknown optimizer type sgdx", "exit code 1: Unknown optimizer type sgdx", False),
    ],
)
def test_an_error_says_what_to_do(error: str, words: str, is_retryable: bool) -> None:
    failure = explain_failure(1, ended_with(error))
    assert words in str(failure)
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
