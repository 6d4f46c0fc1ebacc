"""What a training learns from: for every image at every resolution its latent and its caption."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from .conditions import Conditions
from .console import shown
from .dataset import DatasetConfig, TrainingImage, find_images, read_caption
from .latents import read_latent

_TEXT_ENCODER_UNLOADED = """Caching embeddings and unloading text encoder

***** UNLOADING TEXT ENCODER *****
Embeddings cached to disk. We dont need the text encoder anymore
***********************************
"""


@dataclass(frozen=True, slots=True)
class Examples:
    configs: list[DatasetConfig]
    images: list[tuple[DatasetConfig, TrainingImage]]
    latents: list[bytes]

    def fingerprint(self) -> str:
        """Return a digest of all that is learnt from. Captions are first read here, so a broken one fails here."""
        if not self.configs:
            # A training without datasets gets no batch, and nobody looks before the first step.
            raise AttributeError("'NoneType' object has no attribute 'get_caption_list'")
        digest = hashlib.sha256()
        for (config, image), latent in zip(self.images, self.latents, strict=True):
            digest.update(latent)
            digest.update(read_caption(config, image.path).encode())
        return digest.hexdigest()


def load_examples(configs: list[DatasetConfig], conditions: Conditions) -> Examples:
    examples = Examples(configs, [], [])
    for config in configs:
        images = find_images(config)
        examples.images.extend((config, image) for image in images)
        examples.latents.extend(_cache(config, images, conditions))
        if config.caches_text:
            _cache_text(config, images)
    if any(config.caches_text for config in configs):
        print(_TEXT_ENCODER_UNLOADED)
    return examples


def _cache(config: DatasetConfig, images: list[TrainingImage], conditions: Conditions) -> Iterator[bytes]:
    steps_per_image = 0.0
    paced = iter(images)
    if config.caches_latents or config.caches_latents_to_disk:
        target = "Saving latents to disk" if config.caches_latents_to_disk else "Keeping latents in memory"
        print(f"Caching latents for {config.path}")
        print(f" - {target}")
        label = "Caching latents to disk" if config.caches_latents_to_disk else "Caching latents"
        paced = shown(images, label, total=len(images))
        steps_per_image = 1.0
    for image in paced:
        conditions.pace.wait(steps_per_image)
        yield read_latent(image.path, image.bucket, is_cached_on_disk=config.caches_latents_to_disk)


def _cache_text(config: DatasetConfig, images: list[TrainingImage]) -> None:
    print(f"Caching text_embeddings for {config.path}")
    print(" - Saving text embeddings to disk")
    for image in shown(images, "Caching text embeddings to disk", total=len(images)):
        read_caption(config, image.path)
