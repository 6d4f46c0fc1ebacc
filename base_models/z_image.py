"""Z-Image of Alibaba's Tongyi lab, of 6 billion parameters: the full model, and Turbo, distilled to a few steps."""

from base_models.model import Generating, Model, Training

LORA_KEY = r"diffusion_model\.(?P<module>layers\..+)\.lora_(?P<half>[AB])\.weight"
ALPHA_IS_RANK = {"network_alpha": "ai-toolkit sets alpha to the rank for Z-Image models."}
NO_HALF_PRECISION = {"precision": {"fp16": "Z-Image overflows in fp16: choose bf16 or fp32."}}
PARTS = ("transformer", "text_encoder", "tokenizer", "vae")
LOW_MEMORY = {"low_vram": True}
TIMESTEPS = {"timestep_type": "weighted"}
TEXT_ENCODERS = (("qwen_3_4b.safetensors",),)
VAE = ("ae.safetensors", "flux_vae.safetensors")

# Turbo is distilled; without the adapter that undoes it while training, the LoRA wears the distillation away.
Z_IMAGE_TURBO = Model(
    name="z-image-turbo",
    title="Z-Image Turbo",
    family="z-image",
    licence="Apache 2.0.",
    is_gated=False,
    training=Training(
        arch="zimage",
        hub_id="Tongyi-MAI/Z-Image-Turbo",
        architecture="z-image-turbo",
        memory_gb=16,
        lora_key=LORA_KEY,
        sample_guidance=1.0,
        sample_steps=9,
        assistant_adapter="ostris/zimage_turbo_training_adapter/zimage_turbo_training_adapter_v2.safetensors",
        local_parts=PARTS,
        model_options=LOW_MEMORY,
        train_options=TIMESTEPS,
        ignored=ALPHA_IS_RANK,
        unusable=NO_HALF_PRECISION,
    ),
    generating=Generating(
        diffusion_model=("z_image_turbo_bf16.safetensors", "z_image_turbo_fp8_e4m3fn.safetensors"),
        text_encoders=TEXT_ENCODERS,
        clip_type="lumina2",
        vae=VAE,
        guidance="none",
        negative_cfg=1.5,
        default_steps=9,
        default_guidance=1.0,
        sampler="res_multistep",
        shift=3.0,
    ),
)

Z_IMAGE = Model(
    name="z-image",
    title="Z-Image",
    family="z-image",
    licence="Apache 2.0.",
    is_gated=False,
    training=Training(
        arch="zimage",
        hub_id="Tongyi-MAI/Z-Image",
        architecture="z-image",
        memory_gb=16,
        lora_key=LORA_KEY,
        sample_guidance=4.0,
        sample_steps=30,
        local_parts=PARTS,
        model_options=LOW_MEMORY,
        train_options=TIMESTEPS,
        ignored=ALPHA_IS_RANK,
        unusable=NO_HALF_PRECISION,
    ),
    generating=Generating(
        diffusion_model=("z_image_bf16.safetensors", "z_image_fp8_e4m3fn.safetensors"),
        text_encoders=TEXT_ENCODERS,
        clip_type="lumina2",
        vae=VAE,
        guidance="cfg",
        default_steps=28,
        default_guidance=4.0,
        sampler="res_multistep",
        shift=3.0,
    ),
)
