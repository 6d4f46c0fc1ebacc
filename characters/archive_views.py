"""All of a character's images at once, in and out as a ZIP file."""

from pathlib import Path

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from characters import archives, uploading
from characters.exporting import image_archive
from characters.image_serializers import ArchiveInput, UploadAnswer
from characters.image_views import NOT_FOUND, UPLOAD_ERRORS, uploaded
from characters.importing import import_images
from characters.models import Character
from characters.requests import missing_character, require_character
from characters.serving import SAFETY_HEADERS
from characters.views import TAGS

CONTENT_TYPE = "application/zip"
MAX_ARCHIVE_GIB = 1
MAX_ARCHIVE_BYTES = MAX_ARCHIVE_GIB * 1024**3
# What stands around the file in a form.
FORM_BYTES = 1_000_000


class ImageArchiveView(APIView):
    parser_classes = [uploading.FileParser]
    throttle_scope = "upload"
    max_file_bytes = MAX_ARCHIVE_BYTES
    max_body_bytes = MAX_ARCHIVE_BYTES + FORM_BYTES

    @extend_schema(
        operation_id="exportCharacterImages",
        tags=TAGS,
        summary="Get all images and captions as a ZIP file",
        description="An image's caption is in `<its name without extension>.txt`, or in `<its name>.txt` where two "
        "images differ in nothing but the extension. The file can be imported again, here or into another character.",
        responses={(200, CONTENT_TYPE): OpenApiTypes.BINARY, 404: NOT_FOUND},
    )
    def get(self, request: Request, character_id: str) -> HttpResponseBase:
        require_character(character_id)
        response: HttpResponse | StreamingHttpResponse
        if request.method == "HEAD":
            response = HttpResponse(content_type=CONTENT_TYPE)
        else:
            response = StreamingHttpResponse(image_archive(character_id), content_type=CONTENT_TYPE)
        name = content_disposition_header(as_attachment=True, filename=f"{character_id}-images.zip")
        for header, value in {**SAFETY_HEADERS, "Cache-Control": "no-store", "Content-Disposition": str(name)}.items():
            response.headers[header] = value
        return response

    @extend_schema(
        operation_id="importCharacterImages",
        tags=TAGS,
        summary="Add the images of a ZIP file, with their captions",
        description="At most 1 GiB, 1000 files and 2 GiB when inflated. Folders are ignored, and so are hidden files; "
        "`<name>.txt` or `<name without extension>.txt` beside an image becomes its caption. Each image is treated as "
        "in an upload, and what is refused is listed with the reason.",
        request={"multipart/form-data": ArchiveInput},
        responses={201: UploadAnswer, **UPLOAD_ERRORS},
    )
    def post(self, request: Request, character_id: str) -> Response:
        require_character(character_id)
        try:
            outcome = import_images(character_id, _sent_archive(request))
        except archives.ArchiveRefused as exc:
            raise ValidationError({"file": [str(exc)]}) from exc
        except Character.DoesNotExist as exc:
            raise missing_character(character_id) from exc
        return uploaded(character_id, outcome)


def _sent_archive(request: Request) -> Path:
    sent = uploading.sent_files(request, "file")
    if len(sent) > 1:
        raise ValidationError({"file": ["Send one archive at a time."]})
    path = Path(sent[0].temporary_file_path())
    if path.stat().st_size > MAX_ARCHIVE_BYTES:
        raise ValidationError({"file": [f"The archive must have at most {MAX_ARCHIVE_GIB} GiB."]})
    return path
