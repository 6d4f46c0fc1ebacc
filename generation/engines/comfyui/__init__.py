"""ComfyUI as an engine: what the rest of Isengard may use of it."""

from generation.engines.comfyui.address import host_of, shown, without_fragment
from generation.engines.comfyui.capabilities import CONTROL_TYPES, Capabilities, Offer, probe
from generation.engines.comfyui.client import is_ready
from generation.engines.comfyui.errors import ServerAway
from generation.engines.comfyui.freeing import free_gpu
from generation.engines.comfyui.limits import DEFAULT_LIMITS, Limits
from generation.engines.comfyui.prompt_ids import PromptTag
from generation.engines.comfyui.run import generate
from generation.engines.comfyui.vitals import Card, Vitals, read_vitals
from generation.engines.comfyui.withdrawal import stop_leftover, tagged_prompts, take_back_all

__all__ = [
    "CONTROL_TYPES",
    "DEFAULT_LIMITS",
    "Capabilities",
    "Card",
    "Limits",
    "Offer",
    "PromptTag",
    "ServerAway",
    "Vitals",
    "free_gpu",
    "generate",
    "host_of",
    "is_ready",
    "probe",
    "read_vitals",
    "shown",
    "stop_leftover",
    "tagged_prompts",
    "take_back_all",
    "without_fragment",
]
