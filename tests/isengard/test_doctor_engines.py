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
from tests.isengard.doctor_trainer import Trainer

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


@pytest.fixture
def ai_toolkit(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    # However full the disk of whoever runs the tests is.
    monkeypatch.setattr("isengard.doctor.trained_models.DOWNLOAD_BYTES", 0)
    return Trainer(settings, tmp_path / "ai-toolkit")


def told(area: str, level: Level | None = None) -> list[str]:
    return [each.text for each in examine("training") if each.area == area and level in (None, each.level)]


def test_the_release_that_was_tested_is_well_and_another_a_warning(ai_toolkit: Trainer) -> None:
    assert any("as tested" in text for text in told("ai-toolkit", Level.OK))
    ai_toolkit.set_version("9.9.9")
    (other,) = told("ai-toolkit", Level.WARNING)
    assert "9.9.9" in other


def test_packages_that_cannot_be_imported_are_named(ai_toolkit: Trainer) -> None:
    ai_toolkit.answer(broken={"torch": "ModuleNotFoundError: No module named 'torch'", "peft": "ImportError: x"})
    (broken,) = told("ai-toolkit", Level.FAILED)
    assert "cannot import torch, peft (ModuleNotFoundError: No module named 'torch')" in broken


def test_a_trainer_without_our_kind_of_job_is_a_failure(ai_toolkit: Trainer) -> None:
    ai_toolkit.answer(trainers=["sd_trainer"])
    assert any("diffusion_trainer" in text for text in told("ai-toolkit", Level.FAILED))


def test_an_answer_that_is_none_is_a_failure(ai_toolkit: Trainer) -> None:
    ai_toolkit.say("hello")
    assert any("does not answer as a Python does" in text for text in told("ai-toolkit", Level.FAILED))


def test_a_torch_without_a_gpu_is_a_warning_and_in_production_a_failure(ai_toolkit: Trainer, settings: Any) -> None:
    ai_toolkit.answer(gpus=[])
    assert "torch sees no GPU: only tiny models can be trained" in told("gpu", Level.WARNING)
    settings.IS_PRODUCTION = True
    assert "torch sees no GPU" in told("gpu", Level.FAILED)


def test_a_card_is_held_against_what_the_models_need(ai_toolkit: Trainer) -> None:
    ai_toolkit.answer(gpus=[["NVIDIA H100", 85_000_000_000]])
    assert "torch sees NVIDIA H100 with 85 GB, enough for every base model" in told("gpu", Level.OK)
    ai_toolkit.answer(gpus=[["NVIDIA RTX 4090", 25_390_000_000]])
    (small,) = told("gpu", Level.WARNING)
    assert "flux-dev" not in small
    assert "qwen-image (32 GB)" in small


def test_base_models_are_here_or_downloaded_or_out_of_reach(ai_toolkit: Trainer, settings: Any) -> None:
    settings.TRAINER_ENVIRONMENT |= {"HF_TOKEN": "hf_mellon"}
    assert not told("base models", Level.WARNING)
    (settings.MODELS_DIR / "sdxl").mkdir(parents=True)
    (half,) = told("base models", Level.FAILED)
    assert "local copy of sdxl lacks unet" in half
    for part in ("unet", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "vae", "scheduler"):
        (settings.MODELS_DIR / "sdxl" / part).mkdir()
    (ai_toolkit.hub_cache / "models--Qwen--Qwen-Image" / "snapshots" / "0").mkdir(parents=True)
    assert "on this machine: qwen-image, sdxl" in told("base models", Level.OK)
    settings.TRAINER_ENVIRONMENT |= {"HF_HUB_OFFLINE": "1"}
    (away,) = told("base models", Level.WARNING)
    assert "downloads are turned off: flux-dev" in away


def test_a_missing_token_is_a_warning_and_a_given_one_is_never_shown(ai_toolkit: Trainer, settings: Any) -> None:
    (missing,) = told("base models", Level.WARNING)
    assert "HF_TOKEN is not set: the gated flux-dev, flux-schnell" in missing
    settings.TRAINER_ENVIRONMENT |= {"HF_TOKEN": "hf_mellon"}
    assert not any("HF_TOKEN" in finding.text or "hf_mellon" in finding.text for finding in examine("training"))


def test_a_disk_too_small_for_a_download_is_a_warning(ai_toolkit: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isengard.doctor.trained_models.DOWNLOAD_BYTES", 10**18)
    assert any("a download may take" in text for text in told("base models", Level.WARNING))


def test_a_data_directory_whose_path_ai_toolkit_stumbles_over_is_a_failure(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / "my_LoRAs"
    settings.DATA_DIR.mkdir()
    (hazard,) = told("data", Level.FAILED)
    assert "contains _LoRA" in hazard


def test_loras_that_others_cannot_read_are_a_warning(settings: Any) -> None:
    file = settings.DATA_DIR / "loras" / "char-1" / "v1.safetensors"
    file.parent.mkdir(parents=True)
    file.touch(0o600)
    (closed,) = told("data", Level.WARNING)
    assert "1 LoRAs cannot be read by the group" in closed


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
