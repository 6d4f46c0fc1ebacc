"""What the job file has to say for each base model, apart from the machine's own paths and the parameters' defaults."""

from typing import Any

AVERAGED = {"ema_config": {"use_ema": True, "ema_decay": 0.99}}
WEIGHTED = {"timestep_type": "weighted"}
SCHNELL_ADAPTER = "ostris/FLUX.1-schnell-training-adapter"
TURBO_ADAPTER = "ostris/zimage_turbo_training_adapter/zimage_turbo_training_adapter_v2.safetensors"
QUANTIZED = {"quantize": True, "quantize_te": True}
LOW_MEMORY = QUANTIZED | {"low_vram": True}

MODEL: dict[str, dict[str, Any]] = {
    "flux-dev": {"name_or_path": "black-forest-labs/FLUX.1-dev", "arch": "flux"} | QUANTIZED,
    "flux-schnell": {
        "name_or_path": "black-forest-labs/FLUX.1-schnell",
        "arch": "flux",
        "assistant_lora_path": SCHNELL_ADAPTER,
    }
    | QUANTIZED,
    "flux2-klein-4b": {"name_or_path": "black-forest-labs/FLUX.2-klein-base-4B", "arch": "flux2_klein_4b"} | LOW_MEMORY,
    "flux2-klein-9b": {"name_or_path": "black-forest-labs/FLUX.2-klein-base-9B", "arch": "flux2_klein_9b"} | LOW_MEMORY,
    "z-image-turbo": {
        "name_or_path": "Tongyi-MAI/Z-Image-Turbo",
        "arch": "zimage",
        "assistant_lora_path": TURBO_ADAPTER,
    }
    | LOW_MEMORY,
    "z-image": {"name_or_path": "Tongyi-MAI/Z-Image", "arch": "zimage"} | LOW_MEMORY,
    "qwen-image": {"name_or_path": "Qwen/Qwen-Image", "arch": "qwen_image"} | LOW_MEMORY,
    "sdxl": {
        "name_or_path": "stabilityai/stable-diffusion-xl-base-1.0",
        "arch": "sdxl",
        "quantize": False,
        "quantize_te": False,
    },
}
# The noise scheduler, further keys of `train`, and the guidance and steps of samples.
RECIPES: dict[str, tuple[str, dict[str, Any], float, int]] = {
    "flux-dev": ("flowmatch", AVERAGED, 4.0, 20),
    "flux-schnell": ("flowmatch", AVERAGED, 1.0, 4),
    "flux2-klein-4b": ("flowmatch", WEIGHTED, 4.0, 30),
    "flux2-klein-9b": ("flowmatch", WEIGHTED, 4.0, 30),
    "z-image-turbo": ("flowmatch", WEIGHTED, 1.0, 9),
    "z-image": ("flowmatch", WEIGHTED, 4.0, 30),
    "qwen-image": ("flowmatch", WEIGHTED | {"cache_text_embeddings": True}, 3.0, 25),
    "sdxl": ("ddpm", {}, 6.0, 30),
}


def expected_job(base_model: str, *, root: str, name: str) -> dict[str, Any]:
    """The whole file for the default parameters and the trigger word "sks person"."""
    noise, train_options, guidance, sample_steps = RECIPES[base_model]
    process = {
        "type": "diffusion_trainer",
        "training_folder": f"{root}/output",
        "sqlite_db_path": f"{root}/job-1.db",
        "trigger_word": "sks person",
        "training_seed": 42,
        "performance_log_every": 10,
        "logging": {"log_every": 1, "use_ui_logger": True},
        "network": {"type": "lora", "linear": 16, "linear_alpha": 16},
        "save": {"dtype": "bf16", "save_every": 250, "max_step_saves_to_keep": 2, "push_to_hub": False},
        "datasets": [
            {
                "folder_path": f"{root}/dataset",
                "caption_ext": "txt",
                "caption_dropout_rate": 0.05,
                "shuffle_tokens": False,
                "cache_latents_to_disk": True,
                "resolution": [1024],
            }
        ],
        "train": {
            "batch_size": 1,
            "steps": 1000,
            "gradient_accumulation": 1,
            "train_unet": True,
            "train_text_encoder": False,
            "gradient_checkpointing": True,
            "noise_scheduler": noise,
            "optimizer": "adamw8bit",
            "lr": 0.0001,
            "lr_scheduler": "cosine",
            "lr_scheduler_params": {},
            "dtype": "bf16",
        }
        | train_options,
        "model": MODEL[base_model],
        "sample": {
            "sampler": noise,
            "sample_every": 100,
            "width": 1024,
            "height": 1024,
            "prompts": [
                "a photo of sks person",
                "a portrait of sks person, soft window light",
                "sks person walking down a city street, full body",
            ],
            "neg": "",
            "seed": 42,
            "walk_seed": True,
            "guidance_scale": guidance,
            "sample_steps": sample_steps,
            "format": "png",
        },
    }
    return {
        "job": "extension",
        "config": {"name": name, "process": [process]},
        "meta": {"name": name, "version": "1.0"},
    }
