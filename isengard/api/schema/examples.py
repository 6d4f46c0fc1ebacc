"""Examples, from the contract with the frontend."""

from typing import Any

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
GENERATION = {
    "id": "gen-abc123",
    "status": "completed",
    "config": {**GENERATION_CONFIG, "seed": 12345, "model_variant": "flux-dev"},
    "progress": 100,
    "error_message": None,
    "created_at": MOMENT,
    "started_at": LATER,
    "completed_at": DONE,
    "count": 1,
    "output_paths": ["gen-abc123-0.png"],
    "seeds": [12345],
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
    "startGeneration": {"config": GENERATION_CONFIG, "count": 1},
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
