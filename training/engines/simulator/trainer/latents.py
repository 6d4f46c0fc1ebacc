"""Latents, and the cache files that the real program leaves beside each image."""

import base64
import hashlib
import json
from pathlib import Path

from safetensors import deserialize

from .weights import fill

CACHE_FOLDER = "_latent_cache"
LATENT_SPACE = "flux1"
# Real latents have sides of an eighth of the image; a stand-in's need only tell one image from another.
LATENT_SHAPE = (16, 8, 8)


def read_latent(image: Path, bucket: tuple[int, int], *, is_cached_on_disk: bool) -> bytes:
    """Return what the training sees of the image.

    A cache file is found by the image's name and bucket, not by its content, so an image that was replaced under its
    name is trained on as it was.
    """
    cached = _cache_path(image, bucket)
    if is_cached_on_disk and cached.exists():
        return bytes(deserialize(cached.read_bytes())[0][1]["data"])  # type: ignore[no-untyped-call]
    seed = hashlib.sha256(image.read_bytes()).hexdigest()
    latent = fill({"latent": LATENT_SHAPE}, "float16", f"{seed}:{bucket}")
    if is_cached_on_disk:
        cached.parent.mkdir(exist_ok=True)
        latent.save(cached, {})
    return latent.contents["latent"]


def _cache_path(image: Path, bucket: tuple[int, int]) -> Path:
    key = {
        "filename": image.name,
        "scale_to_width": bucket[0],
        "scale_to_height": bucket[1],
        "latent_space_version": LATENT_SPACE,
    }
    digest = hashlib.md5(json.dumps(key).encode(), usedforsecurity=False).digest()
    name = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return image.parent / CACHE_FOLDER / f"{image.stem}_{name}.safetensors"
