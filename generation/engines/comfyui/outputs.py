"""Fetching a finished image and making sure that it is one."""

import threading
from pathlib import Path

from PIL import Image

from generation.engines.comfyui.answers import OutputFile
from generation.engines.comfyui.client import Client
from generation.engines.comfyui.errors import OutputBroken
from jobs.errors import EngineFailed


def fetch_output(
    client: Client, file: OutputFile, target: Path, *, size: tuple[int, int], stop: threading.Event
) -> None:
    """Put the whole, decodable PNG of `size` (width, height) at `target`, or nothing.

    Raises OutputMissing, OutputBroken, DownloadStopped, ServerAway, or EngineFailed when the size is wrong or the disk
    is full.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(client, file, target, size=size, stop=stop)
    except OSError as exc:
        raise EngineFailed(f"The image could not be written: {exc.strerror or exc}.", is_retryable=True) from exc


def _fetch(client: Client, file: OutputFile, target: Path, *, size: tuple[int, int], stop: threading.Event) -> None:
    part = target.with_name(target.name + ".part")
    try:
        client.download(file, part, stop=stop)
        _check(part, size)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _check(path: Path, size: tuple[int, int]) -> None:
    try:
        with Image.open(path, formats=("PNG",)) as image:
            actual_size = image.size
            if actual_size == size:
                image.load()
    except (OSError, SyntaxError, ValueError, EOFError) as exc:
        # Pillow says SyntaxError for a damaged PNG.
        raise OutputBroken(path.name) from exc
    if actual_size != size:
        raise EngineFailed(f"ComfyUI made an image of {_name(actual_size)} pixels instead of {_name(size)}.")


def _name(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
