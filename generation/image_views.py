"""HTTP of the images that generations work from."""

from http import HTTPStatus
from pathlib import Path
from typing import Any

from django.http import HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from characters import photos, uploading
from characters.serializers import ErrorAnswer
from characters.serving import IMMUTABLE, Representation
from characters.thumbnails import PICTURE_ANSWERS, PICTURE_PARAMETERS, serve_picture
from generation import inputs
from generation.models import InputImage

TAGS = ["generation"]
# What stands around the file in the form.
FORM_BYTES = 1_000_000
BAD_REQUEST = OpenApiResponse(ErrorAnswer, description="The file is no picture that can be used; the message says why.")
NOT_FOUND = OpenApiResponse(ErrorAnswer, description="There is no such image.")
IN_USE = OpenApiResponse(ErrorAnswer, description="A generation that has not ended works from it.")
TOO_LARGE = OpenApiResponse(ErrorAnswer, description="The request is larger than it may be; nothing of it was read.")
TOO_MANY = OpenApiResponse(ErrorAnswer, description="Too many uploads in a minute; `Retry-After` says how long.")
STORAGE_FULL = OpenApiResponse(ErrorAnswer, description="The server's storage is full.")


class Conflict(APIException):
    status_code = HTTPStatus.CONFLICT
    default_detail = "This is not possible at the moment."


class ImageInput(serializers.Serializer[None]):
    file = serializers.FileField()


# For the schema alone: answers themselves are made of rows.
class InputImageAnswer(serializers.Serializer[None]):
    name = serializers.CharField(help_text="What `init_image`, `control_image` and `reference_image` take.")
    width = serializers.IntegerField(min_value=1)
    height = serializers.IntegerField(min_value=1)
    size_bytes = serializers.IntegerField(min_value=1)
    sha256 = serializers.CharField()
    url = serializers.CharField()


def _as_answer(image: InputImage) -> dict[str, Any]:
    return {
        "name": image.name,
        "width": image.width,
        "height": image.height,
        "size_bytes": image.size_bytes,
        "sha256": image.sha256,
        "url": f"/api/generation/images/{image.name}",
    }


class InputImagesView(APIView):
    parser_classes = [uploading.FileParser]
    throttle_scope = "upload"
    max_file_bytes = photos.MAX_BYTES
    max_body_bytes = photos.MAX_BYTES + FORM_BYTES

    @extend_schema(
        operation_id="uploadGenerationImage",
        tags=TAGS,
        summary="Upload an image to generate from",
        description="JPEG, PNG, WebP or HEIC (kept as JPEG), 64 to 8192 pixels a side, at most 20 MB. It is kept "
        "upright and without metadata, under a name that tells its content; the same picture again is the same image. "
        f"An image that no job was made from for {inputs.KEPT_DAYS} days may be removed.",
        request={"multipart/form-data": ImageInput},
        responses={
            201: InputImageAnswer,
            400: BAD_REQUEST,
            413: TOO_LARGE,
            429: TOO_MANY,
            507: STORAGE_FULL,
        },
    )
    def post(self, request: Request) -> Response:
        sent = uploading.sent_files(request, "file")
        if len(sent) > 1:
            raise ValidationError({"file": ["Send one file."]})
        try:
            image = inputs.add_upload(Path(sent[0].temporary_file_path()))
        except (photos.PhotoRefused, inputs.InputsFull) as refused:
            raise ValidationError({"file": [str(refused)]}) from refused
        return Response(_as_answer(image), status=HTTPStatus.CREATED)


class InputImageView(APIView):
    @extend_schema(
        operation_id="getGenerationImage",
        tags=TAGS,
        summary="Get an uploaded image, or a thumbnail of it",
        parameters=PICTURE_PARAMETERS,
        responses={**PICTURE_ANSWERS, 404: NOT_FOUND},
    )
    def get(self, request: Request, filename: str) -> HttpResponseBase:
        image = inputs.find_input(filename)
        whole = Representation(
            content_type=image.content_type, etag=image.sha256, filename=image.name, cache_control=IMMUTABLE
        )
        return serve_picture(image.key, whole, request)

    @extend_schema(
        operation_id="deleteGenerationImage",
        tags=TAGS,
        summary="Delete an uploaded image",
        description="Jobs that were made from it keep their pictures; they cannot be made again.",
        responses={204: OpenApiResponse(description="It is gone."), 404: NOT_FOUND, 409: IN_USE},
    )
    def delete(self, request: Request, filename: str) -> Response:
        inputs.find_input(filename)
        try:
            inputs.delete_input(filename)
        except inputs.InputInUse as used:
            raise Conflict(str(used)) from used
        return Response(status=HTTPStatus.NO_CONTENT)
