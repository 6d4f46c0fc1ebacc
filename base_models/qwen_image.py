"""Qwen-Image of Alibaba's Qwen team, of 20 billion parameters."""

from base_models.model import Generating, Model, Training

QWEN_IMAGE = Model(
    name="qwen-image",
    title="Qwen-Image",
    family="qwen-image",
    licence="Apache 2.0.",
    is_gated=False,
    training=Training(
        arch="qwen_image",
        hub_id="Qwen/Qwen-Image",
        architecture="qwen-image",
        memory_gb=32,
        lora_key=r"diffusion_model\.(?P<module>transformer_blocks\..+)\.lora_(?P<half>[AB])\.weight",
        sample_guidance=3.0,
        sample_steps=25,
        local_parts=("transformer", "text_encoder", "tokenizer", "vae"),
        model_options={"low_vram": True},
        # The text encoder has 7 billion parameters: the captions are encoded once, then it leaves the card.
        train_options={"timestep_type": "weighted", "cache_text_embeddings": True},
        ignored={"network_alpha": "ai-toolkit sets alpha to the rank for Qwen-Image."},
        unusable={"precision": {"fp16": "Qwen-Image overflows in fp16: choose bf16 or fp32."}},
    ),
    generating=Generating(
        diffusion_model=("qwen_image_fp8_e4m3fn.safetensors", "qwen_image_bf16.safetensors"),
        text_encoders=(("qwen_2.5_vl_7b_fp8_scaled.safetensors", "qwen_2.5_vl_7b.safetensors"),),
        clip_type="qwen_image",
        vae=("qwen_image_vae.safetensors",),
        guidance="cfg",
        default_steps=20,
        default_guidance=2.5,
        shift=3.1,
    ),
)
