"""Saves pictures under the names that ComfyUI would give them."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from generation.engines.simulator.errors import NodeFailed

PNG_COMPRESS_LEVEL = 4


def png_info(graph: Mapping[str, Any], extra: Mapping[str, Any] | None) -> PngInfo:
    """Return the text chunks: the graph as `prompt`, and each key of `extra_pnginfo`."""
    info = PngInfo()
    info.add_text("prompt", json.dumps(graph))
    for key, value in (extra or {}).items():
        info.add_text(key, json.dumps(value))
    return info


def save_pictures(
    pictures: tuple[Image.Image, ...], prefix: str, *, root: Path, file_type: str, info: PngInfo
) -> list[dict[str, str]]:
    """Save each picture below `root` and return what the client is told about them."""
    prefix = prefix.replace("%width%", str(pictures[0].width)).replace("%height%", str(pictures[0].height))
    # An empty prefix normalises to ".", which is why ComfyUI then saves "._00001_.png".
    subfolder, name = os.path.split(os.path.normpath(prefix))
    folder = _folder_below(root, subfolder)
    counter = _highest_counter(folder, name)
    saved = []
    for offset, picture in enumerate(pictures, start=1):
        file_name = f"{name.replace('%batch_num%', str(offset - 1))}_{counter + offset:05}_.png"
        picture.save(folder / file_name, pnginfo=info, compress_level=PNG_COMPRESS_LEVEL)
        saved.append({"filename": file_name, "subfolder": subfolder, "type": file_type})
    return saved


def _folder_below(root: Path, subfolder: str) -> Path:
    full = os.path.abspath(root / subfolder)  # noqa: PTH100 - Path.resolve() would follow links, which ComfyUI does not.
    common = os.path.commonpath((root, full))
    if common != str(root):
        raise NodeFailed(
            "**** ERROR: Saving image outside the output folder is not allowed.\n"
            f" full_output_folder: {full}\n         output_dir: {root}\n         commonpath: {common}",
            reported_type="Exception",
        )
    folder = Path(full)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _highest_counter(folder: Path, name: str) -> int:
    """Return the highest number in use: a file that was deleted gives its number to the next one."""
    rests = (path.name[len(name) + 1 :] for path in folder.iterdir() if path.name.startswith(f"{name}_"))
    numbers = (rest.split("_")[0] for rest in rests)
    return max((int(number) for number in numbers if number.isdecimal()), default=0)
