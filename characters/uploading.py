"""Files out of a multipart body: streamed to disk, never more of one than the view takes."""

import math
from collections.abc import Collection, Mapping
from http import HTTPStatus
from pathlib import Path
from tempfile import gettempdir
from typing import Any, cast

from django.conf import settings
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http import HttpRequest
from django.http.multipartparser import MultiPartParser as FormReader
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.parsers import BaseParser, DataAndFiles
from rest_framework.request import Request

from characters import disk
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


# A file is first received, and then kept in another form.
COPIES = 2


class StorageLow(APIException):
    status_code = HTTPStatus.INSUFFICIENT_STORAGE
    default_code = "storage_low"


class FileParser(BaseParser):
    """A view's `max_file_bytes` says how large each file may be, `max_body_bytes` how large all of them are together.

    Nothing is read where there is no room for it.
    """

    media_type = "multipart/form-data"

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> "DataAndFiles[Any, Any]":
        context = parser_context or {}
        request, view = context["request"], context["view"]
        # A body that is too large anyway is refused as that, at the first look into it.
        if _announced_bytes(request) <= view.max_body_bytes:
            refuse_without_room(request, max_file_bytes=view.max_file_bytes)
        files = BoundedFiles(request, max_bytes=view.max_file_bytes)
        form = NamedFiles({**request.META, "CONTENT_TYPE": media_type}, stream, [files])
        return DataAndFiles(*form.parse())


def refuse_without_room(request: Request, *, max_file_bytes: int) -> None:
    """Raise StorageLow if what the request announces would leave less free than must stay.

    A body in chunks announces nothing: then room is asked for a file that is as large as it may be.
    """
    more_bytes = COPIES * (max_file_bytes if _is_chunked(request) else _announced_bytes(request))
    try:
        free_bytes = disk.free_bytes()
    except OSError:
        # A disk that cannot even be asked has more to say when it is written to.
        return
    if disk.is_low(free_bytes, more_bytes=more_bytes):
        raise StorageLow(
            f"The server's storage has {_size(free_bytes)} free; this upload needs {_size(more_bytes)} of it, and "
            f"{_size(settings.MIN_FREE_BYTES)} must stay free: delete what nobody needs, or tell the operator."
        )


def _is_chunked(request: Request) -> bool:
    return "Transfer-Encoding" in request.headers


def _announced_bytes(request: Request) -> int:
    if _is_chunked(request):
        return 0
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0


def _size(count_bytes: int) -> str:
    if count_bytes < 1_000_000_000:
        return f"{math.ceil(count_bytes / 1_000_000)} MB"
    return f"{count_bytes / 1_000_000_000:.1f} GB"


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
