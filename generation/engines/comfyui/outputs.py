"""Fetching a finished image and making sure that it is one."""

import threading
from pathlib import Path

from PIL import Image

from generation.engines.comfyui.answers import OutputFile
from generation.engines.comfyui.client import Client
from generation.engines.comfyui.errors import OutputBroken
from generation.engines.comfyui.failures import explain_os_error
from jobs.errors import EngineFailed

Size = tuple[int, int]
"""Width and height in pixels."""

MAX_SIDE_PIXELS = 8192
"""Of an image whose size was not asked for."""


def fetch_output(client: Client, file: OutputFile, target: Path, *, size: Size | None, stop: threading.Event) -> Size:
    """Put the whole, decodable PNG of `size` at `target`, or nothing, and return its size. None: any will do.

    Raises OutputMissing, OutputBroken, DownloadStopped, ServerAway, or EngineFailed when the size is wrong or the disk
    is full.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return _fetch(client, file, target, size=size, stop=stop)
    except OSError as exc:
        raise explain_os_error(exc, what="The image") from exc


def _fetch(client: Client, file: OutputFile, target: Path, *, size: Size | None, stop: threading.Event) -> Size:
    part = target.with_name(target.name + ".part")
    try:
        client.download(file, part, stop=stop)
        actual_size = _check(part, size)
        part.replace(target)
        return actual_size
    finally:
        part.unlink(missing_ok=True)


def _check(path: Path, size: Size | None) -> Size:
    try:
        with Image.open(path, formats=("PNG",)) as image:
            actual_size = image.size
            wanted = size or _bounded(actual_size)
            if actual_size == wanted:
                image.load()
    except (OSError, SyntaxError, ValueError, EOFError) as exc:
        # Pillow says SyntaxError for a damaged PNG.
        raise OutputBroken(path.name) from exc
    except Image.DecompressionBombError as exc:
        raise EngineFailed("ComfyUI made an image that is too large to be kept.") from exc
    if actual_size != wanted:
        raise EngineFailed(f"ComfyUI made an image of {_name(actual_size)} pixels instead of {_name(wanted)}.")
    return actual_size


def _bounded(size: Size) -> Size:
    return min(size[0], MAX_SIDE_PIXELS), min(size[1], MAX_SIDE_PIXELS)


def _name(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
