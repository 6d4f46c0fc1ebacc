"""What people ask for in the demo, and what went wrong."""

from dataclasses import dataclass

PROMPTS = (
    "a photo of {word} in a garden, soft morning light",
    "portrait of {word}, 85mm, shallow depth of field",
    "{word} laughing, on a train platform, overcast sky",
    "editorial photo of {word} in a wool coat, muted colours",
    "{word} as a ship's captain, oil painting",
    "close-up of {word}, studio light, plain background",
    "{word} reading at a window, rain outside",
    "a film still of {word} at dusk, city lights, grain",
    "{word} in a greenhouse between ferns",
    "passport photo of {word}, even light",
    "{word} at a market stall with oranges, noon",
    "black-and-white portrait of {word}, 1960s magazine",
)
LANDSCAPES = (
    "a valley in the morning mist, wide angle",
    "hills at dusk, long exposure, calm colours",
    "a lake between mountains, first snow, no people",
)
NEGATIVE = "blurry, extra fingers, watermark"
CAPTIONS = (
    "{word}, looking into the camera, even light",
    "{word}, smiling, outdoors",
    "{word}, three-quarter view, plain background",
    "{word} in a dark sweater, evening light",
    "{word}, head slightly tilted, warm colours",
    "a close-up of {word}, natural light",
)
WORKER_DIED = "Its worker gave no sign of life for a minute"
MADE_ROOM = "Paused for waiting generations"
SERVER_AWAY = "ComfyUI does not answer; the job goes on when it is back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """`part`: how much of the steps was done, from 0 to 1."""

    cause: str
    reason: str
    part: float
    line: str = ""
    """What the engine printed last."""


TRAINING_FAILURES = (
    Failure(
        cause="out_of_memory",
        reason="The GPU ran out of memory in a training step: choose a lower resolution, batch size or LoRA rank, or "
        "free the GPU.",
        part=0.02,
        line="torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.50 GiB.",
    ),
    Failure(
        cause="diverged",
        reason="The loss is no number any more: lower the learning rate, then start a new training.",
        part=0.6,
        line="loss: nan",
    ),
    Failure(
        cause="killed",
        reason="The trainer was killed by SIGKILL, from outside, or because its machine or container ran out of "
        "memory (RAM, not the GPU's).",
        part=0.7,
    ),
)
GENERATION_FAILURES = (
    Failure(
        cause="out_of_memory",
        reason="The GPU ran out of memory, also after it was freed. Ask for a smaller image.",
        part=0.1,
        line="torch.OutOfMemoryError: Allocation on device",
    ),
    Failure(
        cause="lora_not_visible",
        reason="ComfyUI does not see the LoRA: let its extra_model_paths.yaml name the LoRA folder, then try again.",
        part=0.0,
    ),
    Failure(cause="stalled", reason="ComfyUI made no progress for 2 minutes.", part=0.4),
    Failure(cause="disk_full", reason="The disk of the ComfyUI server is full.", part=0.9),
)
