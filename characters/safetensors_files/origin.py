"""What a LoRA's metadata say of where it comes from. Anybody can write anything there, so it is read with care."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from base_models import MODELS, Family
from characters.safetensors_files.families import family_of_tensors
from characters.safetensors_files.header import Header

MAX_TEXT_LENGTH = 500
# As trainers abbreviate them in ss_base_model_version.
_ABBREVIATED: Mapping[str, Family] = {
    "flux.1": "flux",
    "flux1": "flux",
    "sdxl_1.0": "sdxl",
    "sdxl_base_v1-0": "sdxl",
    "sdxl_base_v0-9": "sdxl",
    "flux2_klein_4b": "flux2-klein-4b",
    "flux2_klein_9b": "flux2-klein-9b",
    "zimage": "z-image",
    "qwen_image": "qwen-image",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """`base_model` and `family` are empty where nothing tells them for certain; `trigger_word` is as it was found."""

    base_model: str
    family: Family | None
    trigger_word: str


def origin_of(header: Header) -> Origin:
    """What the modules are outweighs what the metadata say of them."""
    seen, said = family_of_tensors(header.tensors), _model_in(header.metadata)
    if said and seen in (None, MODELS[said].family):
        return Origin(base_model=said, family=MODELS[said].family, trigger_word=_trigger_word(header.metadata))
    family = seen or _ABBREVIATED.get(header.metadata.get("ss_base_model_version", ""))
    return Origin(base_model="", family=family, trigger_word=_trigger_word(header.metadata))


def _model_in(metadata: Mapping[str, str]) -> str:
    named = metadata.get("isengard.base_model", "")
    if named in MODELS:
        return named
    architecture = metadata.get("modelspec.architecture", "").removesuffix("/lora")
    trained = (model for model in MODELS.values() if model.training and model.training.architecture == architecture)
    return next((model.name for model in trained), "")


def _trigger_word(metadata: Mapping[str, str]) -> str:
    said = metadata.get("isengard.trigger_word") or metadata.get("modelspec.trigger_phrase") or ""
    return (said if len(said) <= MAX_TEXT_LENGTH else "").strip() or _only_tag(metadata)


def _only_tag(metadata: Mapping[str, str]) -> str:
    """Return the one tag that all images had; of several nobody knows which is the trigger word."""
    frequencies = metadata.get("ss_tag_frequency", "")
    try:
        folders = json.loads(frequencies) if len(frequencies) <= MAX_TEXT_LENGTH else {}
    except (ValueError, RecursionError):
        return ""
    counted = folders.values() if isinstance(folders, dict) else ()
    tags = {str(tag) for tags in counted if isinstance(tags, dict) for tag in tags}
    return tags.pop().strip() if len(tags) == 1 else ""
