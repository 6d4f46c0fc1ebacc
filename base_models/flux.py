"""FLUX.1 of Black Forest Labs: dev, and schnell, which was distilled to a few steps."""

from base_models.model import Generating, Model, Training

LORA_KEY = r"transformer\..+\.lora_(?P<half>[AB])\.weight"
ALPHA_IS_RANK = {"network_alpha": "ai-toolkit sets alpha to the rank for FLUX models."}
TEXT_ENCODERS = ("t5xxl_fp16.safetensors", "clip_l.safetensors")
VAE = "ae.safetensors"

FLUX_DEV = Model(
    name="flux-dev",
    title="FLUX.1 dev",
    family="flux",
    licence="FLUX.1 [dev] Non-Commercial License; gated: accept it on the model's page and set HF_TOKEN.",
    is_gated=True,
    training=Training(
        arch="flux",
        hub_id="black-forest-labs/FLUX.1-dev",
        memory_gb=24,
        lora_key=LORA_KEY,
        sample_guidance=4.0,
        sample_steps=20,
        ignored=ALPHA_IS_RANK,
    ),
    generating=Generating(
        diffusion_model="flux1-dev.safetensors",
        text_encoders=TEXT_ENCODERS,
        clip_type="flux",
        vae=VAE,
        guidance="embedded",
        default_steps=20,
        default_guidance=3.5,
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
        memory_gb=24,
        lora_key=LORA_KEY,
        sample_guidance=1.0,
        sample_steps=4,
        assistant_adapter="ostris/FLUX.1-schnell-training-adapter",
        ignored=ALPHA_IS_RANK,
    ),
    generating=Generating(
        diffusion_model="flux1-schnell.safetensors",
        text_encoders=TEXT_ENCODERS,
        clip_type="flux",
        vae=VAE,
        guidance="none",
        default_steps=4,
        default_guidance=1.0,
    ),
)
