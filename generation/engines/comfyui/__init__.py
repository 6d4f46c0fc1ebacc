"""ComfyUI as an engine: what the rest of Isengard may use of it."""

from generation.engines.comfyui.capabilities import Capabilities, Toggle, Variant, probe
from generation.engines.comfyui.client import is_ready
from generation.engines.comfyui.limits import DEFAULT_LIMITS, Limits
from generation.engines.comfyui.run import generate
from generation.engines.comfyui.withdrawal import stop_leftover

__all__ = [
    "DEFAULT_LIMITS",
    "Capabilities",
    "Limits",
    "Toggle",
    "Variant",
    "generate",
    "is_ready",
    "probe",
    "stop_leftover",
]
