"""Which tensors of a LoRA file belong to which kind of model."""

import re
from collections.abc import Mapping
from types import MappingProxyType

_HALVES = r"\.(lora_A|lora_B|lora_down|lora_up)\.weight"
_KOHYA_HALVES = r"\.(lora_down|lora_up)\.weight"
_SECOND_HALF = (".lora_B.weight", ".lora_up.weight")
_ROOT = r"(transformer|diffusion_model|base_model\.model)\."


def _names(*patterns: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern) for pattern in patterns)


# The names of a model's blocks as diffusers (PEFT) and the original code (kohya) spell them.
_FLUX_BLOCKS = r"((single_)?transformer_blocks|(double|single)_blocks)\.\d+\..+"
_NAMES: Mapping[str, tuple[re.Pattern[str], ...]] = MappingProxyType(
    {
        "flux2": _names(rf"(?P<module>{_ROOT}{_FLUX_BLOCKS}){_HALVES}"),
        "flux": _names(
            rf"(?P<module>{_ROOT}{_FLUX_BLOCKS}){_HALVES}",
            rf"(?P<module>lora_(unet|transformer)_(double|single)_.+){_KOHYA_HALVES}",
        ),
        "z_image": _names(rf"(?P<module>{_ROOT}layers\.\d+\..+){_HALVES}"),
        "qwen": _names(rf"(?P<module>{_ROOT}transformer_blocks\.\d+\..+){_HALVES}"),
        "sdxl": _names(rf"(?P<module>lora_unet_(down|mid|up|input|middle|output)_block.+){_KOHYA_HALVES}"),
    }
)
_FAMILY_BY_PART = (
    ("flux-2", "flux2"),
    ("flux2", "flux2"),
    ("z_image", "z_image"),
    ("qwen", "qwen"),
    ("sd_xl", "sdxl"),
    ("sdxl", "sdxl"),
)


def family_of(model_file: str) -> str:
    """Return the kind of model that a file's name tells of; what tells nothing is FLUX.1."""
    return next((family for part, family in _FAMILY_BY_PART if part in model_file.lower()), "flux")


def matching_modules(keys: set[str], family: str) -> set[str]:
    """Return the model's modules for which both halves of a low-rank pair are among `keys`."""
    halves: dict[str, set[bool]] = {}
    for key in keys:
        for pattern in _NAMES[family]:
            match = pattern.fullmatch(key)
            if match:
                halves.setdefault(match["module"], set()).add(key.endswith(_SECOND_HALF))
    return {module for module, found in halves.items() if len(found) == 2}
