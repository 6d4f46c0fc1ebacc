"""Stable Diffusion XL of Stability AI: a U-Net with two CLIP text encoders."""

from base_models.model import Generating, Model, Training

SDXL = Model(
    name="sdxl",
    title="Stable Diffusion XL 1.0",
    family="sdxl",
    licence="CreativeML Open RAIL++-M.",
    is_gated=False,
    training=Training(
        arch="sdxl",
        hub_id="stabilityai/stable-diffusion-xl-base-1.0",
        architecture="stable-diffusion-xl-v1-base",
        memory_gb=12,
        # The names of kohya's trainer, with an alpha beside each pair.
        lora_key=r"(?P<module>lora_unet_.+)\.(?P<half>lora_down\.weight|lora_up\.weight|alpha)",
        rank_axes={"lora_down.weight": 0, "lora_up.weight": 1, "alpha": None},
        sample_guidance=6.0,
        sample_steps=30,
        local_parts=("unet", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "vae", "scheduler"),
        noise_scheduler="ddpm",
        is_quantized=False,
        unusable={"precision": {"fp16": "The image encoder of SDXL overflows in fp16: choose bf16 or fp32."}},
        # Here alpha counts, and with another value than the rank it would scale the learning rate too.
        defaults={"network_alpha": "lora_rank"},
    ),
    generating=Generating(
        diffusion_model=("sd_xl_base_1.0.safetensors", "sd_xl_base_1.0_0.9vae.safetensors"),
        is_checkpoint=True,
        guidance="cfg",
        default_steps=25,
        default_guidance=7.0,
        sampler="dpmpp_2m",
        scheduler="karras",
        latent_class="EmptyLatentImage",
    ),
)
