"""One process of a job file as typed settings.

Like the real program this takes what it is given: unknown keys are dropped without a word and no value is checked or
converted, so that a wrong one fails where it is first used. Hence the `Any` of whatever a person may have written.
"""

from dataclasses import dataclass, field
from typing import Any

from .architectures import Architecture, find_architecture

GENEROUS_RANK = 9999999999


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    type: str
    rank: Any
    alpha: Any

    @classmethod
    def read(cls, given: dict[str, Any]) -> "NetworkConfig":
        # A LoKr matrix is kept whole, which the real program expresses by a rank beyond any dimension.
        kind = given.get("type", "lora")
        is_whole = kind == "lokr" and given.get("lokr_full_rank", True)
        rank = GENEROUS_RANK if is_whole else given.get("rank", given.get("linear", 4))
        alpha = given.get("linear_alpha", given.get("alpha", 1.0))
        return cls(type=kind, rank=rank, alpha=alpha)


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveConfig:
    dtype: Any
    save_every: Any
    max_step_saves_to_keep: Any

    @classmethod
    def read(cls, given: dict[str, Any]) -> "SaveConfig":
        save_format = given.get("save_format", "safetensors")
        if save_format not in ("safetensors", "diffusers"):
            raise ValueError(f"save_format must be safetensors or diffusers, got {save_format}")
        return cls(
            dtype=given.get("dtype", "float16"),
            save_every=given.get("save_every", 1000),
            max_step_saves_to_keep=given.get("max_step_saves_to_keep", 5),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    steps: Any
    batch_size: Any
    lr: Any
    optimizer: Any
    optimizer_params: dict[str, Any]
    lr_scheduler: Any
    lr_scheduler_params: dict[str, Any]
    noise_scheduler: Any
    dtype: Any
    has_ema: bool
    is_sampling_disabled: bool
    is_first_sample_skipped: bool
    is_first_sample_forced: bool
    start_step: int | None
    caches_text: bool

    @classmethod
    def read(cls, given: dict[str, Any]) -> "TrainConfig":
        _refuse_two_accumulations(given)
        return cls(
            steps=given.get("steps", 1000),
            batch_size=given.get("batch_size", 1),
            lr=given.get("lr", 1e-6),
            optimizer=given.get("optimizer", "adamw"),
            optimizer_params=given.get("optimizer_params", {}),
            lr_scheduler=given.get("lr_scheduler", "constant"),
            lr_scheduler_params=given.get("lr_scheduler_params", {}),
            noise_scheduler=given.get("noise_scheduler", "ddpm"),
            dtype=given.get("dtype", "fp32"),
            has_ema=bool((given.get("ema_config") or {}).get("use_ema", False)),
            is_sampling_disabled=given.get("disable_sampling", False),
            is_first_sample_skipped=given.get("skip_first_sample", False),
            is_first_sample_forced=given.get("force_first_sample", False),
            start_step=given.get("start_step"),
            caches_text=given.get("cache_text_embeddings", False),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    name_or_path: Any
    architecture: Architecture | None
    is_quantized: bool
    is_text_encoder_quantized: bool
    has_low_memory: bool
    assistant_lora_path: Any

    @classmethod
    def read(cls, given: dict[str, Any]) -> "ModelConfig":
        if given.get("name_or_path") is None:
            raise ValueError("name_or_path must be specified")
        is_quantized = given.get("quantize", False)
        return cls(
            name_or_path=given["name_or_path"],
            architecture=find_architecture(given),
            is_quantized=is_quantized,
            is_text_encoder_quantized=given.get("quantize_te", is_quantized),
            has_low_memory=given.get("low_vram", False),
            assistant_lora_path=given.get("assistant_lora_path"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleConfig:
    sample_every: Any
    sample_start_step: Any
    width: Any
    height: Any
    pictures: list[dict[str, Any]]
    seed: Any
    walks_seed: bool
    guidance_scale: Any
    sample_steps: Any
    format: Any

    @classmethod
    def read(cls, given: dict[str, Any]) -> "SampleConfig":
        pictures = given.get("samples") or [{"prompt": prompt} for prompt in given.get("prompts") or []]
        return cls(
            sample_every=given.get("sample_every", 100),
            sample_start_step=given.get("sample_start_step", 0),
            width=given.get("width", 512),
            height=given.get("height", 512),
            pictures=pictures,
            seed=given.get("seed", 0),
            walks_seed=given.get("walk_seed", False),
            guidance_scale=given.get("guidance_scale", 7),
            sample_steps=given.get("sample_steps", 20),
            format=given.get("format", "jpg"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggingConfig:
    log_every: Any
    has_ui_logger: bool

    @classmethod
    def read(cls, given: dict[str, Any]) -> "LoggingConfig":
        return cls(log_every=given.get("log_every", 100), has_ui_logger=given.get("use_ui_logger", False))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessConfig:
    type: str
    trigger_word: str | None
    network: NetworkConfig
    train: TrainConfig
    save: SaveConfig
    model: ModelConfig
    sample: SampleConfig
    logging: LoggingConfig
    datasets: list[dict[str, Any]] = field(default_factory=list)
    performance_log_every: Any = 0
    training_seed: Any = None
    sqlite_db_path: Any = "./aitk_db.db"

    @classmethod
    def read(cls, given: dict[str, Any]) -> "ProcessConfig":
        """Raise ValueError for the few mistakes that the real program finds while it sets itself up."""
        train = TrainConfig.read(given.get("train", {}))
        if train.has_ema:
            print("Using EMA")
        return cls(
            type=given["type"],
            trigger_word=given.get("trigger_word"),
            network=NetworkConfig.read(given.get("network") or {}),
            train=train,
            model=ModelConfig.read(given.get("model", {})),
            save=SaveConfig.read(given.get("save", {})),
            sample=SampleConfig.read(given.get("sample", {})),
            logging=LoggingConfig.read(given.get("logging", {})),
            datasets=given.get("datasets") or [],
            performance_log_every=given.get("performance_log_every", 0),
            training_seed=given.get("training_seed"),
            sqlite_db_path=given.get("sqlite_db_path", "./aitk_db.db"),
        )


def _refuse_two_accumulations(given: dict[str, Any]) -> None:
    if given.get("gradient_accumulation", 1) > 1 and given.get("gradient_accumulation_steps", 1) > 1:
        raise ValueError("gradient_accumulation and gradient_accumulation_steps are mutually exclusive")
