"""Files: model folders, uploads and pictures."""

import asyncio
import hashlib
import io
import mimetypes
import os
from pathlib import Path
from typing import Any

from aiohttp import web
from PIL import Image
from safetensors import SafetensorError

from generation.engines.simulator.folders import MODEL_FOLDERS, is_below
from generation.engines.simulator.model_files import read_header
from generation.engines.simulator.replies import internal_error
from generation.engines.simulator.server import Server

PREVIEW_FORMATS = ("webp", "jpeg")
PREVIEW_QUALITY = 90


class FileRoutes:
    def __init__(self, server: Server) -> None:
        self._server = server

    def table(self) -> list[web.RouteDef]:
        return [
            web.get("/models", self.list_folders),
            web.get("/models/{folder}", self.list_models),
            web.get("/view_metadata/{folder}", self.show_metadata),
            web.post("/upload/image", self.upload),
            web.get("/view", self.view),
        ]

    async def list_folders(self, _: web.Request) -> web.Response:
        return web.json_response(list(MODEL_FOLDERS))

    async def list_models(self, request: web.Request) -> web.Response:
        if request.match_info["folder"] not in MODEL_FOLDERS:
            return web.Response(status=404)
        try:
            return web.json_response(self._server.folders.model_files(request.match_info["folder"]))
        except FileNotFoundError:
            return internal_error()

    async def show_metadata(self, request: web.Request) -> web.Response:
        try:
            path = self._server.folders.model_path(request.match_info["folder"], request.query["filename"])
            metadata = read_header(path).metadata
        except (KeyError, FileNotFoundError, SafetensorError):
            metadata = {}
        return web.json_response(metadata) if metadata else web.Response(status=404)

    async def upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        image = form.get("image")
        if isinstance(image, (str, bytes, bytearray)):
            return internal_error()
        if image is None or not image.filename:
            return web.Response(status=400)
        file_type, subfolder = str(form.get("type", "input")), str(form.get("subfolder", ""))
        try:
            root = self._server.folders.directory(file_type)
        except KeyError:
            return web.Response(status=400)
        target = Path(os.path.normpath(root / subfolder)) / image.filename.lstrip("/")
        if not (is_below(target, root) and is_below(target.parent, root)):
            return web.Response(status=400)
        overwrites = form.get("overwrite") in ("true", "1")
        saved = await asyncio.to_thread(_save_upload, target, image.file.read(), overwrites=overwrites)
        return web.json_response({"name": saved.name, "subfolder": subfolder, "type": file_type})

    async def view(self, request: web.Request) -> web.StreamResponse:
        place = self._find_picture(request)
        if isinstance(place, web.Response):
            return place
        if self._server.faults.take("no-output-file"):
            place.unlink(missing_ok=True)
        if not place.is_file():
            return web.Response(status=404)
        disposition = {"Content-Disposition": f'filename="{place.name}"'}
        if "preview" in request.query:
            content_type, body = await asyncio.to_thread(_shrink, place, request.query["preview"])
            return web.Response(body=body, content_type=content_type, headers=disposition)
        if "channel" in request.query:
            body = await asyncio.to_thread(_pick_channel, place, request.query["channel"])
            return web.Response(body=body, content_type="image/png", headers=disposition)
        guessed = mimetypes.guess_type(place.name)[0] or "application/octet-stream"
        return web.FileResponse(place, headers={**disposition, "Content-Type": guessed})

    def _find_picture(self, request: web.Request) -> Path | web.Response:
        """Return where the picture would be, or the refusal."""
        name = request.query.get("filename", "")
        if not name:
            return web.Response(status=404)
        try:
            root = self._server.folders.directory(request.query.get("type", "output"))
        except KeyError:
            return web.Response(status=400)
        if name.startswith("/") or ".." in name:
            return web.Response(status=400)
        folder = root / request.query.get("subfolder", "")
        if not is_below(folder, root):
            return web.Response(status=403)
        return folder / Path(name).name


def _save_upload(target: Path, content: bytes, *, overwrites: bool) -> Path:
    """Keep the name for the same bytes; other bytes get the next free "name (1)"."""
    target.parent.mkdir(parents=True, exist_ok=True)
    candidate, count = target, 0
    while not overwrites and candidate.exists() and not _holds(candidate, content):
        count += 1
        candidate = target.with_name(f"{target.stem} ({count}){target.suffix}")
    candidate.write_bytes(content)
    return candidate


def _holds(path: Path, content: bytes) -> bool:
    return hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(content).digest()


def _shrink(path: Path, wanted: str) -> tuple[str, bytes]:
    """Encode anew as `wanted` says, which looks like `webp;75`."""
    name, _, quality = wanted.partition(";")
    image_format = name if name in PREVIEW_FORMATS else PREVIEW_FORMATS[0]
    options: dict[str, Any] = {"quality": int(quality) if quality.isdecimal() else PREVIEW_QUALITY}
    with Image.open(path) as picture:
        return f"image/{image_format}", _encode(picture.convert("RGB"), image_format, **options)


def _pick_channel(path: Path, channel: str) -> bytes:
    with Image.open(path) as picture:
        if channel == "a":
            return _encode(picture.convert("RGBA").getchannel("A"), "png")
        return _encode(picture.convert("RGB" if channel == "rgb" else "RGBA"), "png")


def _encode(picture: Image.Image, image_format: str, **options: Any) -> bytes:
    encoded = io.BytesIO()
    picture.save(encoded, image_format, **options)
    return encoded.getvalue()
