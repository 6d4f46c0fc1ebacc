"""Files out of a multipart body: streamed to disk, never more of one than the view takes."""

from collections.abc import Collection, Mapping
from pathlib import Path
from tempfile import gettempdir
from typing import Any, cast

from django.conf import settings
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http import HttpRequest
from django.http.multipartparser import MultiPartParser as FormReader
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import BaseParser, DataAndFiles
from rest_framework.request import Request

from characters.images import SentPhoto
from characters.photo_names import FALLBACK_STEM


class BoundedFiles(TemporaryFileUploadHandler):
    """Keeps one byte more than a file may have, which is enough to refuse it, and lets the rest go by."""

    def __init__(self, request: HttpRequest | None = None, *, max_bytes: int) -> None:
        super().__init__(request)
        self.max_bytes = max_bytes

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        Path(settings.FILE_UPLOAD_TEMP_DIR or gettempdir()).mkdir(parents=True, exist_ok=True)
        super().new_file(*args, **kwargs)
        self._room_bytes = self.max_bytes + 1

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        kept = raw_data[: self._room_bytes]
        self._room_bytes -= len(kept)
        self.file.write(kept)


class NamedFiles(FormReader):
    def sanitize_file_name(self, file_name: str) -> str:
        """Name a file that Django would drop without a word, so that it gets its place in the answer."""
        return super().sanitize_file_name(file_name) or FALLBACK_STEM


class FileParser(BaseParser):
    """A view's `max_file_bytes` says how large each file may be."""

    media_type = "multipart/form-data"

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> "DataAndFiles[Any, Any]":
        context = parser_context or {}
        request, files = context["request"], BoundedFiles(context["request"], max_bytes=context["view"].max_file_bytes)
        form = NamedFiles({**request.META, "CONTENT_TYPE": media_type}, stream, [files])
        return DataAndFiles(*form.parse())


def sent_files(request: Request, field: str, *, beside: Collection[str] = ()) -> list[TemporaryUploadedFile]:
    """Return the files of `field`. Raises ValidationError if there are none, or fields other than it and `beside`."""
    unknown = sorted(({*request.POST} - {field, *beside}) | ({*request.FILES} - {field}))
    if unknown:
        raise ValidationError({unknown[0][:100]: [f"There is no such field; send files as `{field}`."]})
    if field in request.POST:
        raise ValidationError({field: ["Send files, not text."]})
    sent = cast(list[TemporaryUploadedFile], request.FILES.getlist(field))
    if not sent:
        raise ValidationError({field: ["Send at least one file."]})
    return sent


def sent_photos(request: Request) -> list[SentPhoto]:
    sent = sent_files(request, "files")
    return [SentPhoto(file.name or FALLBACK_STEM, Path(file.temporary_file_path())) for file in sent]
