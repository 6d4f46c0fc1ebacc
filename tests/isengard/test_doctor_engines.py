"""What the doctor says of ComfyUI, ai-toolkit and GPUs."""

import os
from pathlib import Path
from typing import Any

import pytest

from characters.models import Lora
from isengard.doctor import Level, examine
from jobs.models import Slot
from tests.generation.simulator_process import Simulator
from tests.isengard.doctor_findings import findings, the_finding

pytest_plugins = ("tests.isengard.doctor_fixtures",)
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("healthy_host")]


def program(path: Path, *lines: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(("#!/bin/sh", *lines)))
    path.chmod(0o755)
    return str(path)


def test_a_comfyui_that_is_away_is_a_failure_and_a_warning_where_another_is_up(
    settings: Any, comfyui: Simulator
) -> None:
    settings.COMFYUI_URLS = ("http://127.0.0.1:9#gpu=0",)
    assert the_finding("generation").level == Level.FAILED
    settings.COMFYUI_URLS = ("http://127.0.0.1:9#gpu=0", comfyui.url)
    finding = the_finding("generation")
    assert finding.level == Level.WARNING
    assert "http://127.0.0.1:9 " in finding.text


def test_a_comfyui_without_one_models_files_is_a_warning_that_names_them(comfyui: Simulator) -> None:
    model = comfyui.base / "models" / "diffusion_models" / "flux1-schnell.safetensors"
    kept = model.read_bytes()
    model.unlink()
    try:
        finding = the_finding("generation")
    finally:
        model.write_bytes(kept)
    assert finding.level == Level.WARNING
    assert "flux1-schnell.safetensors in models/diffusion_models" in finding.text


def test_a_comfyui_that_does_not_see_our_loras_is_a_failure(comfyui: Simulator) -> None:
    Lora.objects.create(key="loras/char-1/v1.safetensors", name="v1", size_bytes=1, sha256="0" * 64)
    finding = the_finding("generation")
    assert finding.level == Level.FAILED
    assert "extra_model_paths.yaml" in finding.advice
    file = comfyui.loras / "char-1" / "v1.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    assert findings("generation") == []


# ai-toolkit and its GPU


def test_a_missing_ai_toolkit_is_a_failure_unless_another_host_trains(settings: Any, tmp_path: Path) -> None:
    settings.AI_TOOLKIT_DIR = tmp_path / "nowhere"
    assert findings("training") == []
    Slot.objects.filter(kind="training").delete()
    failed = [finding for finding in findings("training") if finding.area == "ai-toolkit"]
    assert [finding.level for finding in failed] == [Level.FAILED]


def test_an_interpreter_that_does_not_run_is_a_failure(settings: Any, tmp_path: Path) -> None:
    settings.AI_TOOLKIT_PYTHON = str(tmp_path / "no-python")
    assert the_finding("training").area == "ai-toolkit"
    settings.AI_TOOLKIT_PYTHON = program(tmp_path / "broken", "echo cannot open shared object >&2", "exit 3")
    assert "cannot open shared object" in the_finding("training").text


@pytest.mark.parametrize(
    ("answer", "level"),
    [("torch 2.9.1 sees a GPU", Level.OK), ("torch 2.9.1 sees no GPU", Level.FAILED), ("", Level.FAILED)],
)
def test_in_production_the_interpreter_must_have_a_torch_that_sees_a_gpu(
    settings: Any, tmp_path: Path, answer: str, level: Level
) -> None:
    settings.IS_PRODUCTION = True
    settings.AI_TOOLKIT_PYTHON = program(tmp_path / "python", f'echo "{answer}"')
    told = [finding.level for finding in examine("training") if "torch" in finding.text]
    assert told == [level]


def test_in_production_a_missing_token_is_a_warning_and_a_given_one_is_never_shown(settings: Any) -> None:
    settings.IS_PRODUCTION = True
    assert any("HF_TOKEN is not set" in finding.text for finding in findings("training"))
    settings.TRAINER_ENVIRONMENT = {**settings.TRAINER_ENVIRONMENT, "HF_TOKEN": "hf_mellon"}
    assert not any("HF_TOKEN" in finding.text or "hf_mellon" in finding.text for finding in examine("training"))


def test_the_cards_are_told_as_the_driver_names_them(settings: Any, tmp_path: Path) -> None:
    program(tmp_path / "bin" / "nvidia-smi", "echo '0, NVIDIA H100, 3 MiB, 81559 MiB'")
    settings.TRAINER_ENVIRONMENT = {"PATH": f"{tmp_path / 'bin'}:{os.defpath}"}
    (told,) = [finding for finding in examine("training") if finding.area == "gpu"]
    assert "NVIDIA H100" in told.text


def test_a_driver_that_fails_is_a_failure(settings: Any, tmp_path: Path) -> None:
    program(
        tmp_path / "bin" / "nvidia-smi", "echo 'Failed to initialize NVML: Driver/library version mismatch'", "exit 18"
    )
    settings.TRAINER_ENVIRONMENT = {"PATH": f"{tmp_path / 'bin'}:{os.defpath}"}
    finding = the_finding("training")
    assert (finding.level, finding.area) == (Level.FAILED, "gpu")
    assert "version mismatch" in finding.text
