"""Trainings that cannot succeed, each made to fail honestly: the stand-in and the real program fail alike."""

from dataclasses import replace
from pathlib import Path

import pytest

from jobs.errors import EngineFailed
from jobs.events import Event, Facts, Finished, Log
from tests.conformance.model_damage import fill_with_nans
from tests.conformance.training_programs import PATIENT, Program, copy_models, small_order
from tests.training.aitoolkit_runs import logged, until
from tests.training.holding import Hold
from training.engines.aitoolkit import train
from training.engines.order import Installation

pytest_plugins = ("tests.conformance.training_fixtures",)
pytestmark = pytest.mark.timeout(900)

FEW = {"steps": 4, "sample_every_n_steps": 1000, "sample_count": 1}


def go(installation: Installation, root: Path, base_model: str = "flux-dev", **params: object) -> list[Event]:
    order = small_order(root, params=FEW | params, base_model=base_model)
    return list(train(order, installation, limits=PATIENT))


def failure(installation: Installation, root: Path, base_model: str = "flux-dev", **params: object) -> EngineFailed:
    with pytest.raises(EngineFailed) as caught:
        go(installation, root, base_model, **params)
    return caught.value


def test_a_model_whose_settings_are_cut_off_is_a_damaged_one(program: Program, tmp_path: Path) -> None:
    models = copy_models(program, tmp_path)
    (models / "flux-dev" / "transformer" / "config.json").write_text('{"_class_name": ')
    damaged = failure(replace(program.installation(), models=models), tmp_path / "a")
    assert (damaged.cause, damaged.is_retryable) == ("model_damaged", False)


def test_weights_that_are_cut_off_are_a_damaged_model(program: Program, tmp_path: Path) -> None:
    models = copy_models(program, tmp_path)
    (models / "flux-dev" / "transformer" / "diffusion_pytorch_model.safetensors").write_bytes(b"\x40" + bytes(9))
    damaged = failure(replace(program.installation(), models=models), tmp_path / "a")
    assert (damaged.cause, damaged.is_retryable) == ("model_damaged", False)


def test_a_model_that_is_not_here_while_downloads_are_off_says_so(program: Program, tmp_path: Path) -> None:
    missing = failure(program.installation(), tmp_path, "qwen-image")
    assert not missing.is_retryable
    assert "HF_HUB_OFFLINE" in str(missing)


def test_an_interpreter_without_the_packages_names_the_first_it_lacks(program: Program, tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{program.python}" -S "$@"\n')
    bare.chmod(0o755)
    lacking = failure(replace(program.installation(), python=str(bare)), tmp_path)
    assert (lacking.cause, lacking.is_retryable) == ("missing_package", False)
    assert "AI_TOOLKIT_PYTHON" in str(lacking)


def test_a_loss_that_is_no_number_ends_the_training(program: Program, tmp_path: Path) -> None:
    models = copy_models(program, tmp_path)
    environment = {}
    if program.is_real:
        fill_with_nans(models / "flux-dev" / "transformer" / "diffusion_pytorch_model.safetensors")
    else:
        environment["ISENGARD_SIMULATOR_FAULT"] = "nan@0"
    diverged = failure(replace(program.installation(**environment), models=models), tmp_path, steps=40)
    assert (diverged.cause, diverged.is_retryable) == ("diverged", False)
    assert "Lower the learning rate" in str(diverged)


def test_pictures_that_cannot_be_read_are_named_and_left_out(program: Program, tmp_path: Path) -> None:
    order = small_order(tmp_path, params=FEW)
    hold = Hold(tmp_path / "held", at="Starting")
    events = train(order, program.installation(hold=hold), limits=PATIENT)
    # The adapter has made its copy and looked at it, the trainer has not come to it: the disk fails in between.
    taken = until(events, lambda event: isinstance(event, Facts))
    damaged = sorted((order.workspace / "dataset").glob("*.png"))[0]
    damaged.write_bytes(b"no picture")
    hold.let_go()
    taken += list(events)
    assert isinstance(taken[-1], Finished)
    warnings = [event.message for event in taken if isinstance(event, Log) and event.event == "training.bad_image"]
    assert len(warnings) == 1
    assert "  -  Found 2 images" in logged(taken)


def test_an_optimizers_state_that_cannot_be_saved_does_not_end_the_training(program: Program, tmp_path: Path) -> None:
    saves = small_order(tmp_path).workspace / "output" / small_order(tmp_path).job_id
    saves.mkdir(parents=True)
    (saves / "optimizer.pt").symlink_to("/dev/full")
    events = go(program.installation(), tmp_path)
    assert isinstance(events[-1], Finished)
    assert "Could not save optimizer" in logged(events)


def test_schnell_is_trained_offline_with_its_adapter(program: Program, tmp_path: Path) -> None:
    events = go(program.installation(), tmp_path, "flux-schnell")
    assert isinstance(events[-1], Finished)
    assert {"Fusing in LoRA", "Loading assistant lora", "Unloading assistant lora"} <= set(logged(events).split("\n"))
