"""Whether a `.safetensors` file is a LoRA that ComfyUI can load. Framework-free, and nothing in a file is ever run."""

from characters.safetensors_files.expected import check_expected, check_learned
from characters.safetensors_files.facts import LoraFacts, inspect
from characters.safetensors_files.header import Header, LoraRefused, read_header
from characters.safetensors_files.numbers import check_numbers
from characters.safetensors_files.origin import Origin
from characters.safetensors_files.rewriting import HeaderTooLarge, Written, tensors_sha256, write_with_metadata

__all__ = [
    "Header",
    "HeaderTooLarge",
    "LoraFacts",
    "LoraRefused",
    "Origin",
    "Written",
    "check_expected",
    "check_learned",
    "check_numbers",
    "inspect",
    "read_header",
    "tensors_sha256",
    "write_with_metadata",
]
