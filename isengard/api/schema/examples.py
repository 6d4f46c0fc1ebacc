"""Examples, from the contract with the frontend."""

from typing import Any

from generation.params import GenerationParams

MOMENT, LATER, DONE = "2025-01-15T10:30:00.000Z", "2025-01-15T10:31:00.000Z", "2025-01-15T11:00:00.000Z"

CHARACTER_INPUT = {"name": "John Smith", "description": "Optional description", "trigger_word": "johnsmith_person"}
CHARACTER = {
    "id": "char-abc123",
    **CHARACTER_INPUT,
    "created_at": MOMENT,
    "updated_at": MOMENT,
    "image_count": 0,
    "lora_path": None,
    "lora_trained_at": None,
}
TRAINING_CONFIG = {
    "method": "lora",
    "steps": 1000,
    "learning_rate": 0.0001,
    "batch_size": 1,
    "resolution": 1024,
    "lora_rank": 16,
    "optimizer": "adamw8bit",
    "scheduler": "cosine",
    "precision": "bf16",
}
TRAINING = {
    "id": "train-abc123",
    "character_id": "char-xyz789",
    "status": "completed",
    "config": {
        **TRAINING_CONFIG,
        "gradient_accumulation": 1,
        "network_alpha": 16,
        "caption_strategy": "trigger_only",
        "sample_every_n_steps": 100,
        "sample_count": 3,
        "sample_prompts": None,
        "checkpoint_every_n_steps": 250,
        "max_checkpoints": 2,
    },
    "progress": 100,
    "current_step": 1000,
    "total_steps": 1000,
    "error_message": None,
    "created_at": MOMENT,
    "started_at": LATER,
    "completed_at": DONE,
    "start_after": None,
    "deadline_at": None,
    "output_path": "/data/loras/char-xyz789/v1.safetensors",
    "base_model": "flux-dev",
    "preset_name": None,
    "iteration_speed": 0.6,
    "eta_seconds": 0.0,
    "elapsed_seconds": 1740.0,
    "current_loss": 0.31,
    "attempt": 1,
    "queue_position": None,
    "message": "Training complete",
    "retry_of": None,
    "extends": None,
    "resume_from": None,
}
GENERATION_CONFIG = {
    "prompt": "A portrait photo of johnsmith_person",
    "negative_prompt": "blurry, distorted",
    "width": 1024,
    "height": 1024,
    "steps": 20,
    "guidance_scale": 3.5,
    "seed": None,
    "lora_id": "char-xyz789",
    "lora_strength": 1.0,
    "use_controlnet": False,
    "use_ipadapter": False,
    "use_facedetailer": False,
    "use_upscale": False,
}
GENERATED_IMAGE = {
    "index": 0,
    "filename": "gen-abc123-0.png",
    "url": "/api/generation/output/gen-abc123-0.png",
    "thumbnail_url": "/api/generation/output/gen-abc123-0.png?size=320",
    "width": 1024,
    "height": 1024,
    "size_bytes": 1400000,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "seed": 12345,
    "prompt": GENERATION_CONFIG["prompt"],
    "negative_prompt": GENERATION_CONFIG["negative_prompt"],
    "loras": [
        {
            "id": "lora-abc123",
            "name": "John Smith v1",
            "version": 1,
            "sha256": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
            "strength": 1.0,
        }
    ],
    "seconds": 14.2,
    "created_at": DONE,
}
GENERATION = {
    "id": "gen-abc123",
    "status": "completed",
    "config": GenerationParams.model_validate({**GENERATION_CONFIG, "seed": 12345}).model_dump(mode="json"),
    "progress": 100,
    "error_message": None,
    "created_at": MOMENT,
    "started_at": LATER,
    "completed_at": DONE,
    "start_after": None,
    "deadline_at": None,
    "count": 1,
    "output_paths": ["gen-abc123-0.png"],
    "seeds": [12345],
    "images": [GENERATED_IMAGE],
    "preset_name": None,
    "rerun_of": None,
    "attempt": 1,
    "queue_position": None,
    "message": "Generation complete",
}
UPLOAD = {
    "uploaded": ["image1.jpg", "image2.png"],
    "rejected": [{"filename": "bad.gif", "reason": "Invalid image type"}],
    "total_images": 2,
}
CLIENT_LOGS = {
    "entries": [
        {
            "timestamp": MOMENT,
            "level": "ERROR",
            "message": "Button click failed",
            "event": "ui.error",
            "context": {"page": "/characters", "button": "create"},
        }
    ]
}
REQUESTS: dict[str, Any] = {
    "createCharacter": CHARACTER_INPUT,
    "updateCharacter": {"name": "Updated Name", "trigger_word": "updated_trigger"},
    "startTraining": {"character_id": "char-xyz789", "config": TRAINING_CONFIG},
    "retryTraining": {"from_checkpoint": None},
    "extendTraining": {"steps": 500},
    "rerunGeneration": {
        "config": {"steps": 30, "loras": [{"lora_id": "uploaded:lora-xyz789", "strength": 0.5}]},
        "index": 0,
    },
    "startGeneration": {
        "config": {**GENERATION_CONFIG, "loras": [{"lora_id": "uploaded:lora-xyz789", "strength": 0.5}]},
        "count": 1,
    },
    "sendClientLogs": CLIENT_LOGS,
    "setImageCaption": {"caption": "johnsmith_person in a red coat"},
}
ANSWERS: dict[tuple[str, str], Any] = {
    ("getHealth", "200"): {"status": "healthy"},
    ("getReady", "200"): {
        "status": "ready",
        "mode": "fast-test",
        "dependencies": {"redis": "ok", "storage": "ok", "database": "ok"},
    },
    ("listCharacters", "200"): [CHARACTER],
    ("createCharacter", "201"): CHARACTER,
    ("getCharacter", "200"): CHARACTER,
    ("updateCharacter", "200"): CHARACTER,
    ("listCharacterImages", "200"): {"images": ["image1.jpg", "image2.png"], "count": 2},
    ("uploadCharacterImages", "201"): UPLOAD,
    ("listTrainings", "200"): [TRAINING],
    ("startTraining", "201"): TRAINING,
    ("getTraining", "200"): TRAINING,
    ("cancelTraining", "200"): {**TRAINING, "status": "cancelled", "message": "Training cancelled"},
    ("listGenerations", "200"): [GENERATION],
    ("startGeneration", "201"): GENERATION,
    ("getGeneration", "200"): GENERATION,
    ("rerunGeneration", "201"): {**GENERATION, "rerun_of": "gen-abc122"},
    ("cancelGeneration", "200"): {**GENERATION, "status": "cancelled", "message": "Generation cancelled"},
}


def add_examples(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Put each example where it belongs; a hook that drf-spectacular calls at the end."""
    for operations in result["paths"].values():
        for operation in operations.values():
            _add(operation, operation["operationId"].removesuffix("AtRoot"))
    return result


def _add(operation: dict[str, Any], name: str) -> None:
    if name in REQUESTS:
        operation["requestBody"]["content"]["application/json"]["example"] = REQUESTS[name]
    for status, response in operation["responses"].items():
        if (name, status) in ANSWERS:
            response["content"]["application/json"]["example"] = ANSWERS[name, status]
