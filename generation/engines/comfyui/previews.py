"""Previews as small as a stream can bear, and at most one waiting: the newest."""

import io
import threading
import time

from PIL import Image

from generation.engines.comfyui.messages import PreviewFrame

MAX_PREVIEW_BYTES = 50_000
# Nothing that ComfyUI calls a preview is larger; it is never decoded then.
MAX_DECODED_SIDE_PIXELS = 4096
SIDES_PIXELS = (512, 384, 256, 128)
QUALITY = 75
FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG"}


class PreviewBox:
    """Holds the newest preview until somebody takes it. Written to by the socket's thread, read by the run's."""

    def __init__(self, gap_seconds: float) -> None:
        self._gap_seconds = gap_seconds
        self._lock = threading.Lock()
        self._preview: PreviewFrame | None = None
        self._last = float("-inf")

    def put(self, preview: PreviewFrame) -> None:
        """Keep it, if it is a picture and the last one was long enough ago."""
        now = time.monotonic()
        if now - self._last < self._gap_seconds:
            return
        small = shrink(preview)
        if small is not None:
            self._last = now
            with self._lock:
                self._preview = small

    def take(self) -> PreviewFrame | None:
        with self._lock:
            preview, self._preview = self._preview, None
        return preview


def shrink(preview: PreviewFrame) -> PreviewFrame | None:
    """Return it with at most MAX_PREVIEW_BYTES, None if it is no picture of a kind that browsers are told of."""
    if preview.image_type not in FORMATS:
        return None
    try:
        return _shrink(preview)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None


def _shrink(preview: PreviewFrame) -> PreviewFrame | None:
    with Image.open(io.BytesIO(preview.image), formats=(FORMATS[preview.image_type],)) as picture:
        if max(picture.size) > MAX_DECODED_SIDE_PIXELS:
            return None
        if len(preview.image) <= MAX_PREVIEW_BYTES:
            return preview
        image = _fitting_jpeg(picture.convert("RGB"))
    return PreviewFrame(prompt_id=preview.prompt_id, image_type="image/jpeg", image=image)


def _fitting_jpeg(picture: Image.Image) -> bytes:
    """Return the largest that fits; the last side always does."""
    image = b""
    for side in SIDES_PIXELS:
        picture.thumbnail((side, side))
        encoded = io.BytesIO()
        picture.save(encoded, "JPEG", quality=QUALITY)
        image = encoded.getvalue()
        if len(image) <= MAX_PREVIEW_BYTES:
            break
    return image
