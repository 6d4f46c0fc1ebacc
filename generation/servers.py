"""The ComfyUI servers of this installation. What is stored and shown of an address never has a password in it."""

from urllib.parse import urlsplit

from django.conf import settings

from generation.engines import comfyui


def reachable(address: str) -> str:
    """Return the address to talk to, with the name and password of COMFYUI_URL if it has any."""
    for url in settings.COMFYUI_URLS:
        if comfyui.shown(url) == address:
            return comfyui.without_fragment(url)
    return address


def gpu_of(url: str, *, default: str) -> str:
    """Return N of `http://host:port#gpu=N`."""
    return urlsplit(url).fragment.removeprefix("gpu=") or default
