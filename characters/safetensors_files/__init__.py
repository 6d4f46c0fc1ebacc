"""Whether a `.safetensors` file is a LoRA that ComfyUI can load. Framework-free, and nothing in a file is ever run."""

from characters.safetensors_files.facts import LoraFacts, inspect
from characters.safetensors_files.header import LoraRefused

__all__ = ["LoraFacts", "LoraRefused", "inspect"]
