"""The nodes of the switches: ControlNet, reference images, faces and enlargement."""

from generation.engines.comfyui.nodes import Link, Node, SamplerSettings, node


def control_net_loader(file: str) -> Node:
    return node("ControlNetLoader", control_net_name=file)


def union_control_net_type(control_net: Link, control_type: str) -> Node:
    return node("SetUnionControlNetType", control_net=control_net, type=control_type)


def canny(image: Link, *, low: float, high: float) -> Node:
    return node("Canny", image=image, low_threshold=low, high_threshold=high)


def preprocessor(class_type: str, image: Link, resolution: int) -> Node:
    """Any of comfyui_controlnet_aux: `resolution` is that of the map's shorter side, in pixels."""
    return node(class_type, image=image, resolution=resolution)


def control_net_apply(
    *,
    positive: Link,
    negative: Link,
    control_net: Link,
    image: Link,
    vae: Link,
    strength: float,
    span: tuple[float, float],
) -> Node:
    """Outputs: positive, negative."""
    start, end = span
    return node(
        "ControlNetApplyAdvanced",
        positive=positive,
        negative=negative,
        control_net=control_net,
        image=image,
        vae=vae,
        strength=strength,
        start_percent=start,
        end_percent=end,
    )


def clip_vision_loader(file: str) -> Node:
    return node("CLIPVisionLoader", clip_name=file)


def clip_vision_encode(clip_vision: Link, image: Link) -> Node:
    return node("CLIPVisionEncode", clip_vision=clip_vision, image=image, crop="center")


def style_model_loader(file: str) -> Node:
    return node("StyleModelLoader", style_model_name=file)


def style_model_apply(conditioning: Link, *, style_model: Link, clip_vision_output: Link, strength: float) -> Node:
    return node(
        "StyleModelApply",
        conditioning=conditioning,
        style_model=style_model,
        clip_vision_output=clip_vision_output,
        strength=strength,
        strength_type="multiply",
    )


def ip_adapter_loader(file: str) -> Node:
    return node("IPAdapterModelLoader", ipadapter_file=file)


def ip_adapter_apply(model: Link, *, ip_adapter: Link, clip_vision: Link, image: Link, weight: float) -> Node:
    return node(
        "IPAdapterAdvanced",
        model=model,
        ipadapter=ip_adapter,
        clip_vision=clip_vision,
        image=image,
        weight=weight,
        weight_type="linear",
        combine_embeds="concat",
        start_at=0.0,
        end_at=1.0,
        embeds_scaling="V only",
    )


def face_detector(file: str) -> Node:
    return node("UltralyticsDetectorProvider", model_name=file)


def face_detailer(
    image: Link,
    *,
    detector: Link,
    model: Link,
    clip: Link,
    vae: Link,
    positive: Link,
    negative: Link,
    settings: SamplerSettings,
) -> Node:
    """Everything beyond the arguments is as Impact Pack proposes it."""
    return node(
        "FaceDetailer",
        image=image,
        bbox_detector=detector,
        model=model,
        clip=clip,
        vae=vae,
        positive=positive,
        negative=negative,
        guide_size=512.0,
        guide_size_for=True,
        max_size=1024.0,
        feather=5,
        noise_mask=True,
        force_inpaint=True,
        bbox_threshold=0.5,
        bbox_dilation=10,
        bbox_crop_factor=3.0,
        sam_detection_hint="center-1",
        sam_dilation=0,
        sam_threshold=0.93,
        sam_bbox_expansion=0,
        sam_mask_hint_threshold=0.7,
        sam_mask_hint_use_negative="False",
        drop_size=10,
        wildcard="",
        cycle=1,
        **settings,
    )


def upscale_model_loader(file: str) -> Node:
    return node("UpscaleModelLoader", model_name=file)


def image_upscale(upscale_model: Link, image: Link) -> Node:
    return node("ImageUpscaleWithModel", upscale_model=upscale_model, image=image)
