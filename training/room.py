"""How much of a disk a training takes, about, so that it starts only where it can end."""

from collections.abc import Mapping

from django.conf import settings

from base_models import find
from jobs.models import Job
from training.params import TrainingParams

# Numbers that a LoRA has for each unit of its rank: the sum of the sides of the matrices that it adapts.
NUMBERS_PER_RANK: Mapping[str, int] = {
    "flux": 5_400_000,
    "flux2-klein-4b": 2_500_000,
    "flux2-klein-9b": 4_000_000,
    "z-image": 3_000_000,
    "qwen-image": 9_300_000,
    "sdxl": 3_000_000,
}
NUMBER_BYTES: Mapping[str, int] = {"bf16": 2, "fp16": 2, "fp32": 4}
# What is saved to go on from, for each number that is trained: two averages, or four in Prodigy.
OPTIMIZER_BYTES: Mapping[str, int] = {"adamw8bit": 2, "adamw": 8, "prodigy": 16}
# Beside the checkpoints: one that is being written, the finished LoRA, and the copy that gets its metadata; what is
# published is the same again but for that copy.
FILES_BESIDE_CHECKPOINTS = 5
SAMPLE_BYTES_PER_PIXEL = 3
# Some tens of photos, and what they are encoded to. To look for each job would cost a list of jobs a query for each.
DATASET_BYTES = 300_000_000
# The stand-in's files are small, and it must run on any laptop.
STAND_IN_BYTES = 50_000_000


def disk_bytes(job: Job) -> int:
    """Return how much the job's workspace and its published files take at their most."""
    if settings.AI_TOOLKIT_DIR == settings.STAND_IN_TRAINER:
        return STAND_IN_BYTES
    params = TrainingParams.model_validate(job.config)
    return _weights_bytes(params, job.order["base_model"]) + _samples_bytes(params) + DATASET_BYTES


def _weights_bytes(params: TrainingParams, base_model: str) -> int:
    numbers = NUMBERS_PER_RANK.get(find(base_model).family, max(NUMBERS_PER_RANK.values())) * params.lora_rank
    count = 2 * params.max_checkpoints + FILES_BESIDE_CHECKPOINTS
    return numbers * (count * NUMBER_BYTES[params.precision] + OPTIMIZER_BYTES[params.optimizer])


def _samples_bytes(params: TrainingParams) -> int:
    rounds = params.steps // params.sample_every_n_steps + 2
    # Each lies in the workspace, and is published.
    return 2 * rounds * params.sample_count * params.resolution**2 * SAMPLE_BYTES_PER_PIXEL
