"""What a training does from its start to its LoRA: the stand-in and the real ai-toolkit do the same."""

import json
import stat
from pathlib import Path

import pytest
from PIL import Image

from characters.safetensors_files import Header, read_header
from jobs.events import Finished, Holding, Log, Losses, Progress
from tests.conformance.training_programs import Run
from tests.training.aitoolkit_runs import names_in, steps_in
from training.engines.aitoolkit import is_running
from training.engines.aitoolkit.checkpoints import read_checkpoint

pytest_plugins = ("tests.conformance.training_fixtures",)
# The first of them makes the models of the real program and runs it.
pytestmark = pytest.mark.timeout(900)

LOADING = (
    "Starting",
    "Loading model",
    "Loading Flux model",
    "Loading transformer",
    "Quantizing transformer",
    "Loading VAE",
    "Loading T5",
    "Quantizing T5",
    "Loading CLIP",
    "Making pipe",
    "Preparing Model",
    "Loading dataset",
)
SAMPLING = tuple(f"Generating images - {done}/2" for done in range(3))
LANDMARKS = (
    "Running 1 job",
    "Running  1 process",
    "Loading transformer",
    "create LoRA network. base dim (rank): 4, alpha: 4",
    "create LoRA for U-Net: 26 modules.",
    "  -  Found 3 images",
    " - Saving latents to disk",
    "Generating baseline samples before training",
    "Saving at step 8",
    "Saving at step 16",
)
TENSORS = 52


def lora(path: Path) -> Header:
    with path.open("rb") as content:
        return read_header(content)


def test_it_ends_with_the_lora_and_leaves_no_process(whole_run: Run) -> None:
    finished = whole_run.events[-1]
    assert isinstance(finished, Finished)
    assert finished.model == whole_run.workspace.model
    holding = next(event for event in whole_run.events if isinstance(event, Holding))
    assert not is_running(holding.identity)


def test_its_row_goes_through_every_phase_in_this_order(whole_run: Run) -> None:
    rounds = ("Training", *SAMPLING, "Training")
    saves = ("Saving model", "Training")
    training = (*rounds, *saves, *SAMPLING, "Training", *saves, *SAMPLING, "Training", *saves, *SAMPLING, "Training")
    assert whole_run.phases == [
        *(("running", info) for info in (*LOADING, *training)),
        ("completed", "Training completed"),
    ]


def test_progress_counts_every_step_once_and_ends_with_the_last(whole_run: Run) -> None:
    steps = steps_in(whole_run.events)
    assert steps == sorted(steps)
    assert steps[-1] == whole_run.order.params.steps
    stages = [event.stage for event in whole_run.events if isinstance(event, Progress)]
    assert {"loading_model", "sampling", "training"} <= set(stages)


def test_the_speed_is_known_after_ten_steps(whole_run: Run) -> None:
    late = [event for event in whole_run.events if isinstance(event, Progress) and (event.step or 0) > 12]
    assert late
    assert all(event.iteration_speed and event.iteration_speed > 0 for event in late)


def test_losses_come_once_for_every_step_but_the_first(whole_run: Run) -> None:
    points = [point for event in whole_run.events if isinstance(event, Losses) for point in event.points]
    assert [point.step for point in points] == list(range(2, 25))
    assert all(point.loss is not None and point.loss > 0 for point in points)
    rates = [point.learning_rate for point in points]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == pytest.approx(9.83e-5, rel=1e-3)
    assert rates[-1] == pytest.approx(0, abs=1e-12)


def test_samples_are_made_before_between_and_after(whole_run: Run) -> None:
    rounds = (f"step_{step:05d}" for step in (0, 10, 20, 24))
    assert names_in(whole_run.events, "sample") == [f"{name}{suffix}.png" for name in rounds for suffix in ("", "_1")]
    for path in whole_run.workspace.samples.glob("*.png"):
        with Image.open(path) as picture:
            assert picture.size == (64, 64)


def test_checkpoints_say_of_which_step_they_are(whole_run: Run) -> None:
    name = whole_run.workspace.name
    assert names_in(whole_run.events, "checkpoint") == [f"{name}_{step:09d}.safetensors" for step in (8, 16)]
    for step in (8, 16):
        checkpoint = read_checkpoint(whole_run.workspace.saves / f"{name}_{step:09d}.safetensors")
        assert checkpoint is not None
        assert checkpoint.step == step


def test_files_lie_where_they_are_looked_for_and_loras_are_its_owners_alone(whole_run: Run) -> None:
    saves, name = whole_run.workspace.saves, whole_run.workspace.name
    names = {path.name for path in saves.iterdir()} - {f"loss_log.db-{part}" for part in ("wal", "shm")}
    loras = {f"{name}.safetensors", f"{name}_000000008.safetensors", f"{name}_000000016.safetensors"}
    assert names == {"config.yaml", "loss_log.db", "optimizer.pt", "samples", *loras}
    assert {stat.S_IMODE((saves / lora).stat().st_mode) for lora in loras} == {0o600}


def test_the_lora_has_the_modules_the_rank_and_the_numbers_that_were_asked_for(whole_run: Run) -> None:
    tensors = lora(whole_run.workspace.model).tensors
    assert len(tensors) == TENSORS
    assert {tensor.dtype for tensor in tensors.values()} == {"BF16"}
    stem = "transformer.single_transformer_blocks.1.proj_out"
    assert tuple(tensors[f"{stem}.lora_A.weight"].shape) == (4, 160)
    assert tuple(tensors[f"{stem}.lora_B.weight"].shape) == (32, 4)


def test_the_loras_metadata_tells_where_it_comes_from(whole_run: Run) -> None:
    told = lora(whole_run.workspace.model).metadata
    assert json.loads(told["training_info"]) == {"step": 24, "epoch": 7}
    assert json.loads(told["ss_tag_frequency"]) == {"1_sks person": {"sks person": 1}}
    assert json.loads(told["software"])["name"] == "ai-toolkit"
    assert (told["ss_base_model_version"], told["ss_output_name"]) == ("flux.1", whole_run.workspace.name)
    assert told.keys() >= {"format", "name", "version", "sshs_model_hash", "sshs_legacy_hash"}


def test_the_console_is_told_line_by_line_and_in_order(whole_run: Run) -> None:
    lines = [event.message for event in whole_run.events if isinstance(event, Log)]
    found = [line for line in lines if line in LANDMARKS]
    assert tuple(found) == LANDMARKS
    saved = [line for line in lines if line.startswith("Saved checkpoint to ")]
    assert len(saved) == 3
    assert not [line for line in lines if line.startswith(("Timer ", "{", '    "'))]


def test_the_caches_of_the_dataset_are_found_by_the_images_names(whole_run: Run) -> None:
    dataset = whole_run.workspace.dataset
    images = {path.stem for path in dataset.glob("*.png")}
    assert len(images) == 3
    assert {path.name.partition("_")[0] for path in (dataset / "_latent_cache").iterdir()} == images
    sizes = json.loads((dataset / ".aitk_size.json").read_text())
    for path in dataset.glob("*.png"):
        status = path.stat()
        assert sizes[f"/{path.name}"] == [64, 64, f"{status.st_size}:{int(status.st_mtime)}"]
