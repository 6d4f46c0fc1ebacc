"""Where a LoRA comes from: the facts that its file and its row both tell. Framework-free.

In the file they stand under the names that other programs read (modelspec.*, ss_*), and whole below isengard.*; what
the trainer wrote itself stays. No path and no name of a machine is among them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from base_models import Model

PREFIX = "isengard."
_SPECIFICATION = "1.0.1"
# Here the trainer's own word stays; anything else of ours in its file could only be left from an earlier run.
_TRAINERS_WORD = ("ss_output_name", "ss_base_model_version")
# The trainer names its modules as diffusers does, or as the model's own code does.
_OWN_CODE: Mapping[str, str] = {
    "flux2-klein-4b": "https://github.com/black-forest-labs/flux2",
    "flux2-klein-9b": "https://github.com/black-forest-labs/flux2",
    "qwen-image": "https://github.com/QwenLM/Qwen-Image",
    "sdxl": "https://github.com/Stability-AI/generative-models",
    "z-image": "https://github.com/Tongyi-MAI/Z-Image",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """`params` are as the API answers them; `attempts` are the runs' own facts, the last of which made the file.

    `continues` is the earlier training, and its step, that this one went on from; None if it began at the beginning.
    """

    job_id: str
    title: str
    character_name: str
    trigger_word: str
    model: Model
    params: Mapping[str, Any]
    attempts: tuple[Mapping[str, Any], ...]
    continues: Mapping[str, Any] | None
    isengard_version: str
    started_at: datetime
    ended_at: datetime

    @property
    def last(self) -> Mapping[str, Any]:
        return self.attempts[-1] if self.attempts else {}

    @property
    def dataset(self) -> Mapping[str, Any]:
        return dict(self.last.get("dataset", {}))

    @property
    def trainer(self) -> Mapping[str, str]:
        return dict(self.last.get("trainer", {}))

    @property
    def alpha(self) -> int:
        """The alpha in effect: where the trainer ignores the parameter, the LoRA is scaled by its rank."""
        training = self.model.training
        is_ignored = training is not None and "network_alpha" in training.ignored
        return int(self.params["lora_rank"] if is_ignored else self.params["network_alpha"])

    @property
    def learning_rate(self) -> float:
        """The rate that the trainer was given, which is not always the one that was asked for."""
        return float(self.last.get("learning_rate", self.params["learning_rate"]))

    def as_details(self) -> dict[str, Any]:
        """Return what the LoRA's row keeps beside its columns."""
        return {
            "step": self.params["steps"],
            "rank": self.params["lora_rank"],
            "alpha": self.alpha,
            "family": self.model.family,
            "training": {
                "dataset_hash": self.dataset.get("hash", ""),
                "image_count": self.dataset.get("image_count", 0),
                "caption_strategy": self.dataset.get("caption_strategy", ""),
                "image_ids": self.dataset.get("image_ids", []),
                "params": dict(self.params),
                "seed": self.last.get("seed"),
                "trainer": dict(self.trainer),
                "isengard_version": self.isengard_version,
                "started_at": _moment(self.started_at),
                "ended_at": _moment(self.ended_at),
                "attempts": [_attempt(facts) for facts in self.attempts],
                "continues": self.continues,
            },
        }

    def as_metadata(self, written: Mapping[str, str], *, tensors_sha256: str) -> dict[str, str]:
        """Return the metadata of the file that is published. `written` is what the trainer put there."""
        own = {**self._modelspec(tensors_sha256), **self._kohya(), **self._isengard()}
        kept = {name: written[name] for name in _TRAINERS_WORD if name in written}
        return {**written, **own, **kept}

    def _modelspec(self, tensors_sha256: str) -> dict[str, str]:
        side = self.params["resolution"]
        described = {
            "sai_model_spec": _SPECIFICATION,
            "architecture": f"{self._architecture}/lora",
            "implementation": _OWN_CODE.get(self.model.family, "diffusers"),
            "title": self.title,
            "description": f"LoRA of {self.character_name} for {self.model.title}, trained for {self.params['steps']} "
            f"steps on {self.dataset.get('image_count', 0)} images.",
            "date": _moment(self.ended_at),
            "hash_sha256": f"0x{tensors_sha256}",
            # The conditions for downloading the base model follow its licence's name.
            "license": self.model.licence.split(";")[0].rstrip("."),
            "usage_hint": f"Use the trigger word {self.trigger_word} in the prompt.",
            "trigger_phrase": self.trigger_word,
            "resolution": f"{side}x{side}",
        }
        return {f"modelspec.{name}": text for name, text in described.items()}

    def _kohya(self) -> dict[str, str]:
        params = self.params
        side = params["resolution"]
        described = {
            "output_name": self.title,
            "base_model_version": self._architecture,
            "network_dim": params["lora_rank"],
            "network_alpha": self.alpha,
            "num_train_images": self.dataset.get("image_count", 0),
            "steps": params["steps"],
            "max_train_steps": params["steps"],
            "learning_rate": self.learning_rate,
            "lr_scheduler": params["scheduler"],
            "optimizer": params["optimizer"],
            "mixed_precision": params["precision"],
            "total_batch_size": params["batch_size"],
            "gradient_accumulation_steps": params["gradient_accumulation"],
            "resolution": f"({side}, {side})",
            "seed": self.last.get("seed"),
            "training_started_at": self.started_at.timestamp(),
            "training_finished_at": self.ended_at.timestamp(),
        }
        return {f"ss_{name}": str(value) for name, value in described.items()}

    def _isengard(self) -> dict[str, str]:
        told = {
            "job_id": self.job_id,
            "base_model": self.model.name,
            "trigger_word": self.trigger_word,
            "dataset_hash": self.dataset.get("hash", ""),
            "seed": self.last.get("seed"),
            "parameters": dict(self.params),
            "trainer_name": self.trainer.get("name", ""),
            "trainer_version": self.trainer.get("version", ""),
            "trainer_commit": self.trainer.get("commit", ""),
            "attempts": [_attempt(facts) for facts in self.attempts],
            "continues": self.continues,
            "started_at": _moment(self.started_at),
            "ended_at": _moment(self.ended_at),
            "version": self.isengard_version,
        }
        return {PREFIX + name: value if isinstance(value, str) else json.dumps(value) for name, value in told.items()}

    @property
    def _architecture(self) -> str:
        return self.model.training.architecture if self.model.training else self.model.name


def _attempt(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "attempt": facts["attempt"],
        "start_step": facts.get("start_step", 0),
        "dataset_hash": facts.get("dataset", {}).get("hash", ""),
    }


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
