"""Photos out of a multipart body: streamed to disk, never more of one than a photo may have."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import gettempdir
from typing import Any, cast

from django.conf import settings
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http.multipartparser import MultiPartParser as FormReader
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import BaseParser, DataAndFiles
from rest_framework.request import Request

from characters.images import SentPhoto
from characters.photo_names import FALLBACK_STEM
from characters.photos import MAX_BYTES


class BoundedFiles(TemporaryFileUploadHandler):
    """Keeps one byte more than a photo may have, which is enough to refuse it, and lets the rest go by."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        Path(settings.FILE_UPLOAD_TEMP_DIR or gettempdir()).mkdir(parents=True, exist_ok=True)
        super().new_file(*args, **kwargs)
        self._room_bytes = MAX_BYTES + 1

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        kept = raw_data[: self._room_bytes]
        self._room_bytes -= len(kept)
        self.file.write(kept)


class PhotoForm(FormReader):
    def sanitize_file_name(self, file_name: str) -> str:
        """Name a file that Django would drop without a word, so that it gets its place in the answer."""
        return super().sanitize_file_name(file_name) or FALLBACK_STEM


class PhotoParser(BaseParser):
    media_type = "multipart/form-data"

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> "DataAndFiles[Any, Any]":
        request = (parser_context or {})["request"]
        form = PhotoForm({**request.META, "CONTENT_TYPE": media_type}, stream, [BoundedFiles(request)])
        return DataAndFiles(*form.parse())


def sent_photos(request: Request) -> list[SentPhoto]:
    """Return what the field `files` holds. Raises ValidationError if that is nothing, or if there are other fields."""
    unknown = sorted(name for name in {*request.POST, *request.FILES} if name != "files")
    if unknown:
        raise ValidationError({unknown[0][:100]: ["There is no such field; send images as `files`."]})
    if "files" in request.POST:
        raise ValidationError({"files": ["Send files, not text."]})
    sent = cast(list[TemporaryUploadedFile], request.FILES.getlist("files"))
    if not sent:
        raise ValidationError({"files": ["Send at least one image."]})
    return [SentPhoto(file.name or FALLBACK_STEM, Path(file.temporary_file_path())) for file in sent]
