"""Orders, pictures and LoRA files for the tests of the ai-toolkit adapter."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from jobs.events import Controls
from tests.training.holding import Hold
from training.engines.order import Installation, SourceImage, TrainingOrder
from training.params import TrainingParams

PROJECT = Path(__file__).resolve().parents[2]
# Of this test process and its children alone: an adapter ends other trainers of its job, wherever they run.
JOB_ID = os.environ.setdefault("ISENGARD_TEST_JOB_ID", f"train-{os.getpid():012x}")
STAND_IN = PROJECT / "training" / "engines" / "simulator"


def paint(path: Path, *, shade: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 64), (shade % 256, 80, 120)).save(path)
    return path


def order_in(
    root: Path,
    *,
    job_id: str = JOB_ID,
    attempt: int = 1,
    trigger_word: str = "sks person",
    base_model: str = "flux-dev",
    captions: tuple[str | None, ...] = (None, None, None),
    checkpoint: Path | None = None,
    **params: object,
) -> TrainingOrder:
    images = tuple(
        SourceImage(path=paint(root / "uploads" / f"{index}.png", shade=index), caption=caption)
        for index, caption in enumerate(captions)
    )
    return TrainingOrder(
        job_id=job_id,
        attempt=attempt,
        params=TrainingParams.model_validate(params),
        base_model=base_model,
        trigger_word=trigger_word,
        images=images,
        workspace=root / "workspace",
        controls=Controls(),
        checkpoint=checkpoint,
    )


def stand_in(*, hold: Hold | None = None, **environment: str) -> Installation:
    return Installation(
        directory=STAND_IN,
        python=hold.python if hold else sys.executable,
        environment={"ISENGARD_SIMULATOR_STEP_SECONDS": "0", **environment},
    )


# 0.0078125, and what each takes in a file.
_NUMBERS = {"BF16": b"\x00\x3c", "F16": b"\x00\x20", "F32": b"\x00\x00\x00\x3c"}


def lora_bytes(
    *,
    step: int = 1000,
    rank: int = 16,
    tensors: Mapping[str, tuple[int, int]] | None = None,
    dtype: str = "BF16",
    number: bytes = b"",
) -> bytes:
    """A safetensors file as ai-toolkit writes it; all its numbers are the same, small and finite if not given."""
    stem = "transformer.transformer_blocks.0.attn.to_q"
    shapes = (
        tensors if tensors is not None else {f"{stem}.lora_A.weight": (rank, 32), f"{stem}.lora_B.weight": (32, rank)}
    )
    filling = number or _NUMBERS[dtype]
    header: dict[str, object] = {"__metadata__": {"training_info": json.dumps({"step": step, "epoch": 1})}}
    end = 0
    for key, (rows, columns) in shapes.items():
        begin, end = end, end + len(filling) * rows * columns
        header[key] = {"dtype": dtype, "shape": [rows, columns], "data_offsets": [begin, end]}
    raw = json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + filling * (end // len(filling))


def write_lora(path: Path, *, step: int = 1000, rank: int = 16) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lora_bytes(step=step, rank=rank))
    return path
