"""ComfyUI's nodes as functions, one for each class in the graphs. Names and inputs are those of `GET /object_info`."""

from typing import TypeAlias, TypedDict

Link: TypeAlias = tuple[str, int]
"""A node's id and the number of one of its outputs."""

Input: TypeAlias = str | int | float | Link


class Node(TypedDict):
    class_type: str
    inputs: dict[str, Input]


Graph: TypeAlias = dict[str, Node]


def _node(class_type: str, **inputs: Input) -> Node:
    return {"class_type": class_type, "inputs": inputs}


def unet_loader(file: str) -> Node:
    return _node("UNETLoader", unet_name=file, weight_dtype="default")


def dual_clip_loader(t5: str, clip: str) -> Node:
    return _node("DualCLIPLoader", clip_name1=t5, clip_name2=clip, type="flux")


def vae_loader(file: str) -> Node:
    return _node("VAELoader", vae_name=file)


def lora_loader(model: Link, file: str, strength: float) -> Node:
    return _node("LoraLoaderModelOnly", model=model, lora_name=file, strength_model=strength)


def clip_text_encode(clip: Link, text: str) -> Node:
    return _node("CLIPTextEncode", clip=clip, text=text)


def flux_guidance(conditioning: Link, guidance: float) -> Node:
    return _node("FluxGuidance", conditioning=conditioning, guidance=guidance)


def model_sampling_flux(model: Link, *, width: int, height: int) -> Node:
    return _node("ModelSamplingFlux", model=model, max_shift=1.15, base_shift=0.5, width=width, height=height)


def empty_latent(*, width: int, height: int) -> Node:
    return _node("EmptySD3LatentImage", width=width, height=height, batch_size=1)


def random_noise(seed: int) -> Node:
    return _node("RandomNoise", noise_seed=seed)


def sampler_select(sampler: str) -> Node:
    return _node("KSamplerSelect", sampler_name=sampler)


def basic_scheduler(model: Link, scheduler: str, *, steps: int) -> Node:
    return _node("BasicScheduler", model=model, scheduler=scheduler, steps=steps, denoise=1.0)


def basic_guider(model: Link, conditioning: Link) -> Node:
    return _node("BasicGuider", model=model, conditioning=conditioning)


def sampler_custom_advanced(*, noise: Link, guider: Link, sampler: Link, sigmas: Link, latent: Link) -> Node:
    return _node(
        "SamplerCustomAdvanced", noise=noise, guider=guider, sampler=sampler, sigmas=sigmas, latent_image=latent
    )


def ksampler_without_cfg(*, model: Link, positive: Link, negative: Link, latent: Link, seed: int, steps: int) -> Node:
    return _node(
        "KSampler",
        model=model,
        positive=positive,
        negative=negative,
        latent_image=latent,
        seed=seed,
        steps=steps,
        cfg=1.0,
        sampler_name="euler",
        scheduler="simple",
        denoise=1.0,
    )


def vae_decode(samples: Link, vae: Link) -> Node:
    return _node("VAEDecode", samples=samples, vae=vae)


def save_image(images: Link, prefix: str) -> Node:
    return _node("SaveImage", images=images, filename_prefix=prefix)
