"""A character's images over HTTP."""

from dataclasses import asdict

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from characters import images, photos, uploading
from characters.image_serializers import CaptionAnswer, CaptionInput, ImagesAnswer, PhotosInput, UploadAnswer
from characters.models import Character, TrainingImage
from characters.queries import is_asked_for
from characters.requests import find_image, missing_character, missing_image, require_character
from characters.serializers import ErrorAnswer
from characters.serving import Representation
from characters.thumbnails import PICTURE_ANSWERS, PICTURE_PARAMETERS, serve_picture
from characters.views import BAD_REQUEST, NO_CONTENT, TAGS

NOT_FOUND = OpenApiResponse(ErrorAnswer, description="There is no such character or image.")
TOO_MANY = OpenApiResponse(ErrorAnswer, description="Too many uploads in a minute; `Retry-After` says how long.")
TOO_LARGE = OpenApiResponse(ErrorAnswer, description="The request is larger than it may be; nothing of it was read.")
STORAGE_FULL = OpenApiResponse(ErrorAnswer, description="The server's storage is full.")
UPLOAD_ERRORS = {400: BAD_REQUEST, 404: NOT_FOUND, 413: TOO_LARGE, 429: TOO_MANY, 507: STORAGE_FULL}
DETAILS = OpenApiParameter(
    "details", OpenApiTypes.BOOL, default=False, description="Give each image's size, caption and type with its name."
)


class ImageListView(APIView):
    parser_classes = [uploading.FileParser]
    throttle_scope = "upload"
    max_file_bytes = photos.MAX_BYTES
    max_body_bytes = images.MAX_UPLOAD_BYTES

    @extend_schema(
        operation_id="listCharacterImages",
        tags=TAGS,
        summary="List a character's images, in the order in which they came",
        parameters=[DETAILS],
        responses={200: ImagesAnswer, 400: BAD_REQUEST, 404: NOT_FOUND},
    )
    def get(self, request: Request, character_id: str) -> Response:
        require_character(character_id)
        listing = images.image_details if is_asked_for(request, "details") else images.image_names
        listed = listing(character_id)
        return Response({"images": listed, "count": len(listed)})

    @extend_schema(
        operation_id="uploadCharacterImages",
        tags=TAGS,
        summary="Upload training images",
        description="JPEG, PNG, WebP or HEIC (kept as JPEG), 64 to 8192 pixels a side, at most 20 MB each and 100 at "
        "once; a character has at most 500 images and 2 GiB of them. A file that is refused is listed with the reason "
        "and never costs the others; the same file again is kept once.",
        request={"multipart/form-data": PhotosInput},
        responses={201: UploadAnswer, **UPLOAD_ERRORS},
    )
    def post(self, request: Request, character_id: str) -> Response:
        require_character(character_id)
        try:
            outcome = images.add_photos(character_id, uploading.sent_photos(request))
        except Character.DoesNotExist as exc:
            raise missing_character(character_id) from exc
        return uploaded(character_id, outcome)


def uploaded(character_id: str, outcome: images.UploadOutcome) -> Response:
    total = TrainingImage.objects.filter(character_id=character_id).count()
    return Response({**asdict(outcome), "total_images": total}, status=status.HTTP_201_CREATED)


class ImageView(APIView):
    @extend_schema(
        operation_id="getCharacterImage",
        tags=TAGS,
        summary="Get an image, a thumbnail of it, or a copy in another format",
        parameters=PICTURE_PARAMETERS,
        responses={**PICTURE_ANSWERS, 400: BAD_REQUEST, 404: NOT_FOUND},
    )
    def get(self, request: Request, character_id: str, filename: str) -> HttpResponseBase:
        image = find_image(character_id, filename)
        whole = Representation(content_type=image.content_type, etag=image.sha256, filename=image.name)
        return serve_picture(image.key, whole, request)

    @extend_schema(
        operation_id="deleteCharacterImage",
        tags=TAGS,
        summary="Delete an image",
        responses={204: NO_CONTENT, 404: NOT_FOUND},
    )
    def delete(self, request: Request, character_id: str, filename: str) -> Response:
        image = find_image(character_id, filename)
        try:
            images.delete_image(image.pk)
        except TrainingImage.DoesNotExist as exc:
            raise missing_image(filename) from exc
        return Response(status=status.HTTP_204_NO_CONTENT)


class CaptionView(APIView):
    @extend_schema(
        operation_id="getImageCaption",
        tags=TAGS,
        summary="Get what somebody wrote an image shows",
        responses={200: CaptionAnswer, 404: NOT_FOUND},
    )
    def get(self, request: Request, character_id: str, filename: str) -> Response:
        image = find_image(character_id, filename)
        return Response({"filename": image.name, "caption": image.caption})

    @extend_schema(
        operation_id="setImageCaption",
        tags=TAGS,
        summary="Say what an image shows",
        description="Trainings with `caption_strategy` natural or tags learn from it.",
        request=CaptionInput,
        responses={200: CaptionAnswer, 400: BAD_REQUEST, 404: NOT_FOUND},
    )
    def put(self, request: Request, character_id: str, filename: str) -> Response:
        image = find_image(character_id, filename)
        given = CaptionInput(data=request.data)
        given.is_valid(raise_exception=True)
        caption = given.validated_data["caption"]
        if not TrainingImage.objects.filter(pk=image.pk).update(caption=caption):
            raise missing_image(filename)
        return Response({"filename": image.name, "caption": caption})
