"""The files in the output folder: which one a training goes on from, and what is written at a save."""

import glob
import io
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, deserialize

from .weights import Shapes

OPTIMIZER_FILE = "optimizer.pt"
_STATE_ENTRY = "archive/data.json"
SOFTWARE = {
    "name": "ai-toolkit",
    "repo": "https://github.com/ostris/ai-toolkit",
    "version": "0.12.26+simulator",
}


@dataclass(frozen=True, slots=True)
class OutputFolder:
    root: Path
    name: str

    @property
    def optimizer(self) -> Path:
        return self.root / OPTIMIZER_FILE

    def weights_path(self, step: int | None) -> Path:
        """Return where the LoRA of a step goes; no step stands for the end of the training."""
        return self.root / f"{self.name}{'' if step is None else f'_{step:09d}'}.safetensors"

    def newest_save(self) -> Path | None:
        """Return the save that changed last. The name is used as a glob pattern, so brackets in it find nothing."""
        pattern = os.path.join(self.root, self.name)  # noqa: PTH118
        saves = {path for suffix in ("*.safetensors", "*.pt", "*") for path in glob.glob(pattern + suffix)}  # noqa: PTH207
        return Path(max(saves, key=_changed_at)) if saves else None

    def prune(self, kept: int) -> None:
        """Remove all but the newest saves; the final file is not counted."""
        pattern = os.path.join(self.root, f"{self.name}_*.safetensors")  # noqa: PTH118
        for path in sorted(glob.glob(pattern), key=_changed_at)[:-kept]:  # noqa: PTH207
            print(f"Removing old save: {path}")
            Path(path).unlink()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    shapes: Shapes
    step: int | None


def read_checkpoint(path: Path) -> Checkpoint:
    """Raise SafetensorError for a file that is not whole."""
    raw = path.read_bytes()
    try:
        tensors = deserialize(raw)  # type: ignore[no-untyped-call]
    except SafetensorError as exc:
        # The real program opens the file in another way, which words the same failure a little differently.
        raise SafetensorError(str(exc).replace("deserializing:", "deserializing header:")) from None
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    training = json.loads(header.get("__metadata__", {}).get("training_info", "{}"))
    return Checkpoint({name: tuple(tensor["shape"]) for name, tensor in tensors}, training.get("step"))


def announce_expansion(old: Shapes, new: Shapes) -> None:
    for name in sorted(new.keys() & old.keys()):
        if old[name] != new[name]:
            key = name.removesuffix(".weight").replace("lora_A", "lora_down").replace("lora_B", "lora_up")
            module, part = key.rsplit(".", maxsplit=1)
            sizes = f"from torch.Size({list(old[name])}) to torch.Size({list(new[name])})"
            print(f"Expanding {module.replace('.', '$$')}.{part}.weight {sizes}")


def describe(
    *, name: str, meta: dict[str, Any], step: int, epoch: int, trigger_word: str | None, base_model: str
) -> dict[str, str]:
    """Return the metadata of a LoRA file, in which every value is text. The hashes of the tensors are not in it."""
    tags = {"ss_tag_frequency": json.dumps({f"1_{trigger_word}": {trigger_word: 1}})} if trigger_word else {}
    return {
        "format": "pt",
        **{key: value if isinstance(value, str) else json.dumps(value) for key, value in meta.items()},
        "software": json.dumps(SOFTWARE),
        "training_info": json.dumps({"step": step, "epoch": epoch}),
        "ss_base_model_version": base_model,
        "ss_output_name": name,
        **tags,
    }


def save_optimizer(path: Path, rank: int) -> None:
    """Write the state in place, as the real program does: a process that dies meanwhile leaves half a file.

    A failure is printed and no more: the training can go on without.
    """
    try:
        path.write_bytes(_packed_state(rank))
    except OSError as exc:
        print(exc)
        print("Could not save optimizer")
    else:
        print(f"Saved optimizer to {path}")


def _packed_state(rank: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(_STATE_ENTRY, json.dumps({"rank": rank}))
    return packed.getvalue()


def load_optimizer(path: Path, rank: int) -> None:
    """Print what comes of loading the state. One of another rank is left alone, a broken one is not fatal."""
    if not path.exists():
        return
    try:
        with zipfile.ZipFile(path) as archive:
            is_of_other_rank = json.loads(archive.read(_STATE_ENTRY))["rank"] != rank
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as exc:
        print(f"Loading optimizer state from {path}")
        print(f"Failed to load optimizer state from {path}")
        print(exc)
        return
    if not is_of_other_rank:
        print(f"Loading optimizer state from {path}")


def _changed_at(path: str) -> int:
    return os.stat(path).st_ctime_ns  # noqa: PTH116
