"""FLUX.1 of Black Forest Labs: dev, and schnell, which was distilled to a few steps."""

from base_models.model import Generating, Model, Training

LORA_KEY = r"transformer\.(?P<module>.+)\.lora_(?P<half>[AB])\.weight"
ALPHA_IS_RANK = {"network_alpha": "ai-toolkit sets alpha to the rank for FLUX models."}
# What is saved is the running average of the weights, as in the program's own recipes for FLUX.1.
AVERAGED = {"ema_config": {"use_ema": True, "ema_decay": 0.99}}
PARTS = ("transformer", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "vae", "scheduler")
TEXT_ENCODERS = (
    ("t5xxl_fp16.safetensors", "t5xxl_fp8_e4m3fn_scaled.safetensors", "t5xxl_fp8_e4m3fn.safetensors"),
    ("clip_l.safetensors",),
)
VAE = ("ae.safetensors", "flux_vae.safetensors")

FLUX_DEV = Model(
    name="flux-dev",
    title="FLUX.1 dev",
    family="flux",
    licence="FLUX.1 [dev] Non-Commercial License; gated: accept it on the model's page and set HF_TOKEN.",
    is_gated=True,
    training=Training(
        arch="flux",
        hub_id="black-forest-labs/FLUX.1-dev",
        architecture="flux-1-dev",
        memory_gb=24,
        lora_key=LORA_KEY,
        sample_guidance=4.0,
        sample_steps=20,
        local_parts=PARTS,
        train_options=AVERAGED,
        ignored=ALPHA_IS_RANK,
    ),
    generating=Generating(
        diffusion_model=("flux1-dev.safetensors", "flux1-dev-fp8.safetensors", "flux1-dev-fp8-e4m3fn.safetensors"),
        text_encoders=TEXT_ENCODERS,
        clip_type="flux",
        vae=VAE,
        guidance="embedded",
        negative_cfg=2.0,
        default_steps=20,
        default_guidance=3.5,
        sampling="flux",
    ),
)

# Schnell is distilled to few steps; without the adapter that undoes it, training wears the distillation away.
FLUX_SCHNELL = Model(
    name="flux-schnell",
    title="FLUX.1 schnell",
    family="flux",
    licence="Apache 2.0; gated: accept the conditions on the model's page and set HF_TOKEN.",
    is_gated=True,
    training=Training(
        arch="flux",
        hub_id="black-forest-labs/FLUX.1-schnell",
        architecture="flux-1-schnell",
        memory_gb=24,
        lora_key=LORA_KEY,
        sample_guidance=1.0,
        sample_steps=4,
        assistant_adapter="ostris/FLUX.1-schnell-training-adapter",
        local_parts=PARTS,
        train_options=AVERAGED,
        ignored=ALPHA_IS_RANK,
    ),
    generating=Generating(
        diffusion_model=(
            "flux1-schnell.safetensors",
            "flux1-schnell-fp8.safetensors",
            "flux1-schnell-fp8-e4m3fn.safetensors",
        ),
        text_encoders=TEXT_ENCODERS,
        clip_type="flux",
        vae=VAE,
        guidance="none",
        negative_cfg=1.5,
        default_steps=4,
        default_guidance=1.0,
    ),
)
