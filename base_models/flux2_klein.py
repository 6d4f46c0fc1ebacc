"""FLUX.2 klein of Black Forest Labs, of 4 and of 9 billion parameters.

A LoRA is trained on the base model, which was not distilled, and works with the distilled one of the same size too.
"""

from base_models.model import Generating, Model, Training

LORA_KEY = r"diffusion_model\.(?P<module>(double|single)_blocks\..+)\.lora_(?P<half>[AB])\.weight"
ALPHA_IS_RANK = {"network_alpha": "ai-toolkit sets alpha to the rank for FLUX.2 models."}
VAE_ID = "ai-toolkit/flux2_vae"
LOW_MEMORY = {"low_vram": True}
TIMESTEPS = {"timestep_type": "weighted"}
VAE = ("flux2-vae.safetensors",)
# The first ComfyUI that reads Qwen3 as klein's text encoder; older ones take it for that of Z-Image.
FIRST_COMFYUI = (0, 9, 2)

FLUX2_KLEIN_4B = Model(
    name="flux2-klein-4b",
    title="FLUX.2 klein 4B",
    family="flux2-klein-4b",
    licence="Apache 2.0.",
    is_gated=False,
    training=Training(
        arch="flux2_klein_4b",
        hub_id="black-forest-labs/FLUX.2-klein-base-4B",
        architecture="flux-2-klein-4b",
        memory_gb=16,
        lora_key=LORA_KEY,
        sample_guidance=4.0,
        sample_steps=30,
        local_parts=("flux-2-klein-base-4b.safetensors",),
        companions=("Qwen/Qwen3-4B", VAE_ID),
        model_options=LOW_MEMORY,
        train_options=TIMESTEPS,
        ignored=ALPHA_IS_RANK,
    ),
    generating=Generating(
        diffusion_model=("flux-2-klein-4b.safetensors", "flux-2-klein-4b-fp8.safetensors"),
        text_encoders=(("qwen_3_4b.safetensors", "qwen_3_4b_fp4_flux2.safetensors"),),
        clip_type="flux2",
        vae=VAE,
        guidance="none",
        negative_cfg=2.0,
        default_steps=4,
        default_guidance=1.0,
        sampling="flux2",
        latent_class="EmptyFlux2LatentImage",
        side_multiple_pixels=16,
        minimum_server=FIRST_COMFYUI,
    ),
)

FLUX2_KLEIN_9B = Model(
    name="flux2-klein-9b",
    title="FLUX.2 klein 9B",
    family="flux2-klein-9b",
    licence="FLUX Non-Commercial License; gated: accept it on the model's page and set HF_TOKEN.",
    is_gated=True,
    training=Training(
        arch="flux2_klein_9b",
        hub_id="black-forest-labs/FLUX.2-klein-base-9B",
        architecture="flux-2-klein-9b",
        memory_gb=24,
        lora_key=LORA_KEY,
        sample_guidance=4.0,
        sample_steps=30,
        local_parts=("flux-2-klein-base-9b.safetensors",),
        companions=("Qwen/Qwen3-8B", VAE_ID),
        model_options=LOW_MEMORY,
        train_options=TIMESTEPS,
        ignored=ALPHA_IS_RANK,
    ),
    generating=Generating(
        diffusion_model=("flux-2-klein-9b.safetensors", "flux-2-klein-9b-fp8.safetensors"),
        text_encoders=(("qwen_3_8b.safetensors", "qwen_3_8b_fp8mixed.safetensors"),),
        clip_type="flux2",
        vae=VAE,
        guidance="none",
        negative_cfg=2.0,
        default_steps=4,
        default_guidance=1.0,
        sampling="flux2",
        latent_class="EmptyFlux2LatentImage",
        side_multiple_pixels=16,
        minimum_server=FIRST_COMFYUI,
    ),
)
