"""Which family of base models a LoRA fits, told by its modules alone, and only where they leave no doubt.

The same few words recur in many models, so a rule names a module that one family alone has, or one whose width is
known. A LoRA that trained none of these modules stays unknown.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from base_models import Family
from characters.safetensors_files.header import Tensor
from characters.safetensors_files.layouts import ENDINGS

# Modules are named with dots, or with underscores for want of dots.
_SEP = r"[._]"
_UNET = rf"(attentions{_SEP}\d+|(in|out)put{_SEP}blocks{_SEP}\d+{_SEP}\d+|middle{_SEP}block{_SEP}\d+)"
_IN, _OUT = "down", "up"


@dataclass(frozen=True, slots=True)
class _Sign:
    """A module of that name tells the family, if its number of inputs or outputs is `width` where that is given."""

    family: Family
    module: re.Pattern[str]
    side: str | None = None
    width: int | None = None


def _sign(family: Family, module: str, *, side: str | None = None, width: int | None = None) -> _Sign:
    return _Sign(family, re.compile(rf"(?:^|{_SEP}){module}$"), side, width)


_SIGNS = (
    # Each block has a modulation of its own in FLUX.1, and shares one in FLUX.2, Chroma and others of the same names.
    _sign("flux", rf"single{_SEP}transformer{_SEP}blocks{_SEP}\d+{_SEP}norm{_SEP}linear"),
    _sign("flux", rf"transformer{_SEP}blocks{_SEP}\d+{_SEP}norm1{_SEP}context{_SEP}linear", side=_IN, width=3072),
    _sign("flux", rf"double{_SEP}blocks{_SEP}\d+{_SEP}(img|txt){_SEP}mod{_SEP}lin"),
    _sign("flux", rf"single{_SEP}blocks{_SEP}\d+{_SEP}modulation{_SEP}lin"),
    # A gated MLP of three times the width beside the three projections of the attention.
    _sign("flux2-klein-4b", rf"single{_SEP}blocks{_SEP}\d+{_SEP}linear1", side=_OUT, width=27_648),
    _sign("flux2-klein-9b", rf"single{_SEP}blocks{_SEP}\d+{_SEP}linear1", side=_OUT, width=36_864),
    _sign("qwen-image", rf"transformer{_SEP}blocks{_SEP}\d+{_SEP}(img|txt){_SEP}mod{_SEP}1"),
    _sign(
        "qwen-image",
        rf"transformer{_SEP}blocks{_SEP}\d+{_SEP}(img|txt){_SEP}mlp{_SEP}net{_SEP}0{_SEP}proj",
        side=_IN,
        width=3072,
    ),
    _sign("z-image", rf"layers{_SEP}\d+{_SEP}attention{_SEP}(to{_SEP}q|qkv)", side=_IN, width=3840),
    # The prompts of this U-Net are 2048 wide, those of its predecessors 768 and 1024.
    _sign("sdxl", rf"{_UNET}{_SEP}transformer{_SEP}blocks{_SEP}\d+{_SEP}attn2{_SEP}to{_SEP}[kv]", side=_IN, width=2048),
)


def family_of_tensors(tensors: Mapping[str, Tensor]) -> Family | None:
    """Return None where nothing tells, or where the signs disagree."""
    found = {
        sign.family for module, side, width in _modules(tensors) for sign in _SIGNS if _fits(sign, module, side, width)
    }
    return found.pop() if len(found) == 1 else None


def _fits(sign: _Sign, module: str, side: str, width: int) -> bool:
    return sign.side in (None, side) and sign.width in (None, width) and sign.module.search(module) is not None


def _modules(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, str, int]]:
    """Yield each half of a pair: its module, which half it is, and how many numbers go in or come out there."""
    for name, tensor in tensors.items():
        for ending, (_layout, part) in ENDINGS.items():
            if name.endswith(ending) and part in (_IN, _OUT):
                width = tensor.shape[1] if part == _IN else tensor.shape[0]
                yield name.removesuffix(ending), part, width
                break
