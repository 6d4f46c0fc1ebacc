"""What can be generated here and now: asked of the servers, remembered for half a minute."""

import threading
import time
from typing import Any
from urllib.parse import urldefrag

from django.conf import settings

from generation.engines import comfyui
from generation.params import TOGGLES, GenerationParams
from jobs.params import describe

REMEMBERED_SECONDS = 30.0

_lock = threading.Lock()
_asked: tuple[float, list[comfyui.Capabilities]] | None = None


def capabilities() -> list[comfyui.Capabilities]:
    """Return what each server says, at most REMEMBERED_SECONDS old."""
    global _asked
    with _lock:
        if _asked is None or time.monotonic() - _asked[0] > REMEMBERED_SECONDS:
            answers = [comfyui.probe(urldefrag(url).url) for url in settings.COMFYUI_URLS]
            _asked = (time.monotonic(), answers)
        return _asked[1]


def refusal_of(toggle: str) -> str | None:
    """Return why no server can do it, None if one can."""
    answers = [server.toggles[toggle] for server in capabilities()]
    if any(answer.is_supported for answer in answers):
        return None
    return answers[0].reason


def info() -> dict[str, Any]:
    """Return `/info`'s part about generation."""
    reasons = {toggle: refusal_of(toggle) for toggle in TOGGLES}
    return {
        "backend": "comfyui",
        "model_variants": ["flux-schnell", "flux-dev"],
        "toggles": {
            toggle: {"supported": reason is None} | ({"reason": reason} if reason else {})
            for toggle, reason in reasons.items()
        },
        "parameters": describe(GenerationParams),
    }
