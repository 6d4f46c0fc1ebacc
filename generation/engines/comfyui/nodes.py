"""ComfyUI's nodes as functions, one for each class in the graphs. Names and inputs are those of `GET /object_info`."""

from typing import TypeAlias, TypedDict

Link: TypeAlias = tuple[str, int]
"""A node's id and the number of one of its outputs."""

Input: TypeAlias = str | int | float | bool | Link


class Node(TypedDict):
    class_type: str
    inputs: dict[str, Input]


Graph: TypeAlias = dict[str, Node]


def node(class_type: str, **inputs: Input) -> Node:
    return {"class_type": class_type, "inputs": inputs}


def unet_loader(file: str) -> Node:
    return node("UNETLoader", unet_name=file, weight_dtype="default")


def dual_clip_loader(first: str, second: str, clip_type: str) -> Node:
    return node("DualCLIPLoader", clip_name1=first, clip_name2=second, type=clip_type)


def clip_loader(file: str, clip_type: str) -> Node:
    return node("CLIPLoader", clip_name=file, type=clip_type)


def checkpoint_loader(file: str) -> Node:
    """Outputs: model, text encoder, VAE."""
    return node("CheckpointLoaderSimple", ckpt_name=file)


def vae_loader(file: str) -> Node:
    return node("VAELoader", vae_name=file)


def lora_loader(model: Link, file: str, strength: float) -> Node:
    return node("LoraLoaderModelOnly", model=model, lora_name=file, strength_model=strength)


def lora_loader_with_clip(model: Link, clip: Link, file: str, strength: float) -> Node:
    """Outputs: model, text encoder."""
    return node("LoraLoader", model=model, clip=clip, lora_name=file, strength_model=strength, strength_clip=strength)


def clip_text_encode(clip: Link, text: str) -> Node:
    return node("CLIPTextEncode", clip=clip, text=text)


def flux_guidance(conditioning: Link, guidance: float) -> Node:
    return node("FluxGuidance", conditioning=conditioning, guidance=guidance)


def model_sampling_flux(model: Link, *, width: int, height: int) -> Node:
    return node("ModelSamplingFlux", model=model, max_shift=1.15, base_shift=0.5, width=width, height=height)


def model_sampling_aura_flow(model: Link, shift: float) -> Node:
    return node("ModelSamplingAuraFlow", model=model, shift=shift)


def empty_latent(class_type: str, *, width: int, height: int) -> Node:
    return node(class_type, width=width, height=height, batch_size=1)


def random_noise(seed: int) -> Node:
    return node("RandomNoise", noise_seed=seed)


def sampler_select(sampler: str) -> Node:
    return node("KSamplerSelect", sampler_name=sampler)


def basic_scheduler(model: Link, scheduler: str, *, steps: int, denoise: float) -> Node:
    return node("BasicScheduler", model=model, scheduler=scheduler, steps=steps, denoise=denoise)


def flux2_scheduler(*, steps: int, width: int, height: int) -> Node:
    return node("Flux2Scheduler", steps=steps, width=width, height=height)


def split_sigmas_denoise(sigmas: Link, denoise: float) -> Node:
    """Outputs: the part above that much noise, and the part below, which is sampled."""
    return node("SplitSigmasDenoise", sigmas=sigmas, denoise=denoise)


def basic_guider(model: Link, conditioning: Link) -> Node:
    return node("BasicGuider", model=model, conditioning=conditioning)


def cfg_guider(model: Link, *, positive: Link, negative: Link, cfg: float) -> Node:
    return node("CFGGuider", model=model, positive=positive, negative=negative, cfg=cfg)


def sampler_custom_advanced(*, noise: Link, guider: Link, sampler: Link, sigmas: Link, latent: Link) -> Node:
    return node(
        "SamplerCustomAdvanced", noise=noise, guider=guider, sampler=sampler, sigmas=sigmas, latent_image=latent
    )


class SamplerSettings(TypedDict):
    """What KSampler and the nodes that contain one have in common. `cfg` 1 is no CFG, at half the time."""

    seed: int
    steps: int
    cfg: float
    sampler_name: str
    scheduler: str
    denoise: float


def ksampler(*, model: Link, positive: Link, negative: Link, latent: Link, settings: SamplerSettings) -> Node:
    return node("KSampler", model=model, positive=positive, negative=negative, latent_image=latent, **settings)


def vae_decode(samples: Link, vae: Link) -> Node:
    return node("VAEDecode", samples=samples, vae=vae)


def save_image(images: Link, prefix: str) -> Node:
    return node("SaveImage", images=images, filename_prefix=prefix)


def load_image(name: str) -> Node:
    return node("LoadImage", image=name)


def image_scale(image: Link, *, width: int, height: int) -> Node:
    """Fill the size, and cut off what is beyond it."""
    return node("ImageScale", image=image, upscale_method="lanczos", width=width, height=height, crop="center")


def vae_encode(pixels: Link, vae: Link) -> Node:
    return node("VAEEncode", pixels=pixels, vae=vae)
