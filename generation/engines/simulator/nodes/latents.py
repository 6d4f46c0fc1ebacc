"""Latents: empty ones, those of pictures, and the way back to pictures."""

import time
from collections.abc import Mapping
from typing import Any

from PIL import Image

from generation.engines.simulator.node_context import NodeContext
from generation.engines.simulator.node_schema import InputSpec, Node, integer, link
from generation.engines.simulator.render import paint
from generation.engines.simulator.values import Latent, Result

LATENT_PIXELS = 8
SIDE_MIN, SIDE_MAX = 16, 16384
BATCH_MAX = 4096
UNTOUCHED_COLOUR = (128, 128, 128)


def _empty_latent(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    """Sizes are cut to whole latent pixels: 250 becomes 248."""
    width, height = (inputs[name] // LATENT_PIXELS * LATENT_PIXELS for name in ("width", "height"))
    return Result((Latent(width=width, height=height, batch_size=inputs["batch_size"]),))


def _encode(_: NodeContext, inputs: Mapping[str, Any]) -> Result:
    pictures = tuple(_cut_to_latent_pixels(picture) for picture in inputs["pixels"])
    width, height = pictures[0].size
    return Result((Latent(width=width, height=height, batch_size=len(pictures), pictures=pictures),))


def _cut_to_latent_pixels(picture: Image.Image) -> Image.Image:
    width, height = (side // LATENT_PIXELS * LATENT_PIXELS for side in picture.size)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def _decode(context: NodeContext, inputs: Mapping[str, Any]) -> Result:
    """An interruption that arrives meanwhile takes effect only when the pictures are done."""
    time.sleep(context.faults.seconds("slow-decode"))
    latent: Latent = inputs["samples"]
    pictures = pictures_of(latent)
    context.interruption.check()
    return Result((pictures,))


def pictures_of(latent: Latent) -> tuple[Image.Image, ...]:
    if latent.recipe is None:
        blank = Image.new("RGB", (latent.width, latent.height), UNTOUCHED_COLOUR)
        return latent.pictures or (blank,) * latent.batch_size
    sources = latent.pictures or (None,)
    return tuple(paint(latent.recipe, index, sources[index % len(sources)]) for index in range(latent.batch_size))


def image_size(default: int, step: int) -> dict[str, InputSpec]:
    side = integer(default, SIDE_MIN, SIDE_MAX, step=step)
    return {"width": side, "height": side}


_BATCH_SIZE = integer(1, 1, BATCH_MAX)

NODES = (
    Node(
        name="EmptyLatentImage",
        display_name="Empty Latent Image",
        category="latent",
        run=_empty_latent,
        required={**image_size(512, 8), "batch_size": _BATCH_SIZE},
        outputs=("LATENT",),
    ),
    Node(
        name="EmptySD3LatentImage",
        category="latent/sd3",
        module="comfy_extras.nodes_sd3",
        run=_empty_latent,
        required={**image_size(1024, 16), "batch_size": _BATCH_SIZE},
        outputs=("LATENT",),
        is_new_style=True,
    ),
    Node(
        name="EmptyFlux2LatentImage",
        display_name="Empty Flux 2 Latent",
        category="latent",
        module="comfy_extras.nodes_flux",
        run=_empty_latent,
        required={**image_size(1024, 16), "batch_size": _BATCH_SIZE},
        outputs=("LATENT",),
        is_new_style=True,
    ),
    Node(
        name="VAEEncode",
        display_name="VAE Encode",
        category="latent",
        run=_encode,
        required={"pixels": link("IMAGE"), "vae": link("VAE")},
        outputs=("LATENT",),
    ),
    Node(
        name="VAEDecode",
        display_name="VAE Decode",
        category="latent",
        run=_decode,
        required={
            "samples": link("LATENT", tooltip="The latent to be decoded."),
            "vae": link("VAE", tooltip="The VAE model used for decoding the latent."),
        },
        outputs=("IMAGE",),
    ),
)
