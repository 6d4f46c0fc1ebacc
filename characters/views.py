"""Characters and their photos over HTTP."""

from dataclasses import asdict
from typing import Any
from unicodedata import normalize

from django.http import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from characters import images, lifecycle, uploading
from characters.listing import as_answer, character_rows
from characters.models import Character, TrainingImage
from characters.serializers import (
    CharacterAnswer,
    CharacterInput,
    ErrorAnswer,
    ImagesAnswer,
    PhotosInput,
    UploadAnswer,
)
from characters.serving import serve

TAGS = ["characters"]
BAD_REQUEST = OpenApiResponse(ErrorAnswer, description="The request is not valid; the message names the field.")
NOT_FOUND = OpenApiResponse(ErrorAnswer, description="There is no such character or image.")
NO_CONTENT = OpenApiResponse(description="It is gone.")
IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp")


def _missing(character_id: str) -> NotFound:
    return NotFound(f"Character {character_id} not found")


def _character(character_id: str) -> dict[str, Any]:
    # PostgreSQL refuses to look for a NUL at all.
    row = None if "\0" in character_id else character_rows().filter(pk=character_id).first()
    if row is None:
        raise _missing(character_id)
    return as_answer(row)


def _require(character_id: str) -> None:
    if "\0" in character_id or not Character.objects.filter(pk=character_id).exists():
        raise _missing(character_id)


def _image(character_id: str, filename: str) -> TrainingImage:
    _require(character_id)
    # macOS spells accents decomposed; names are kept composed.
    name = normalize("NFC", filename)
    image = None
    if "\0" not in name:
        image = TrainingImage.objects.filter(character_id=character_id, name=name).first()
    if image is None:
        raise NotFound(f"Image {filename} not found")
    return image


class CharacterListView(GenericAPIView[Character]):
    @extend_schema(
        operation_id="listCharacters",
        tags=TAGS,
        summary="List all characters, newest first",
        responses={200: CharacterAnswer(many=True), 400: BAD_REQUEST},
    )
    def get(self, request: Request) -> Response:
        rows = self.paginate_queryset(character_rows()) or []
        return self.get_paginated_response([as_answer(row) for row in rows])

    @extend_schema(
        operation_id="createCharacter",
        tags=TAGS,
        summary="Create a character",
        request=CharacterInput,
        responses={201: CharacterAnswer, 400: BAD_REQUEST},
    )
    def post(self, request: Request) -> Response:
        given = CharacterInput(data=request.data)
        given.is_valid(raise_exception=True)
        now = timezone.now()
        character = Character.objects.create(**given.validated_data, created_at=now, updated_at=now)
        return Response(_character(character.pk), status=status.HTTP_201_CREATED)


class CharacterView(APIView):
    @extend_schema(
        operation_id="getCharacter",
        tags=TAGS,
        summary="Get a character",
        responses={200: CharacterAnswer, 404: NOT_FOUND},
    )
    def get(self, request: Request, character_id: str) -> Response:
        return Response(_character(character_id))

    @extend_schema(
        operation_id="updateCharacter",
        tags=TAGS,
        summary="Change some fields of a character",
        request=CharacterInput(partial=True),
        responses={200: CharacterAnswer, 400: BAD_REQUEST, 404: NOT_FOUND},
    )
    def patch(self, request: Request, character_id: str) -> Response:
        _require(character_id)
        given = CharacterInput(data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        if given.validated_data:
            Character.objects.filter(pk=character_id).update(**given.validated_data, updated_at=timezone.now())
        return Response(_character(character_id))

    @extend_schema(
        operation_id="deleteCharacter",
        tags=TAGS,
        summary="Delete a character with its images and LoRAs, and cancel its live jobs",
        responses={204: NO_CONTENT, 404: NOT_FOUND},
    )
    def delete(self, request: Request, character_id: str) -> Response:
        _require(character_id)
        try:
            lifecycle.delete_character(character_id)
        except Character.DoesNotExist as exc:
            raise _missing(character_id) from exc
        return Response(status=status.HTTP_204_NO_CONTENT)


class ImageListView(APIView):
    parser_classes = [uploading.PhotoParser]
    throttle_scope = "upload"

    @extend_schema(
        operation_id="listCharacterImages",
        tags=TAGS,
        summary="List the names of a character's images",
        responses={200: ImagesAnswer, 404: NOT_FOUND},
    )
    def get(self, request: Request, character_id: str) -> Response:
        _require(character_id)
        names = images.image_names(character_id)
        return Response({"images": names, "count": len(names)})

    @extend_schema(
        operation_id="uploadCharacterImages",
        tags=TAGS,
        summary="Upload training images",
        description="JPEG, PNG or WebP, 64 to 8192 pixels a side, at most 20 MB each. A file that is refused is listed "
        "with the reason and never costs the others; the same file again is kept once.",
        request={"multipart/form-data": PhotosInput},
        responses={
            201: UploadAnswer,
            400: BAD_REQUEST,
            404: NOT_FOUND,
            429: OpenApiResponse(ErrorAnswer, description="Too many uploads in a minute; `Retry-After` says how long."),
        },
    )
    def post(self, request: Request, character_id: str) -> Response:
        _require(character_id)
        try:
            outcome = images.add_photos(character_id, uploading.sent_photos(request))
        except Character.DoesNotExist as exc:
            raise _missing(character_id) from exc
        total = TrainingImage.objects.filter(character_id=character_id).count()
        return Response({**asdict(outcome), "total_images": total}, status=status.HTTP_201_CREATED)


class ImageView(APIView):
    @extend_schema(
        operation_id="getCharacterImage",
        tags=TAGS,
        summary="Get an image",
        responses={
            **{(200, content_type): OpenApiTypes.BINARY for content_type in IMAGE_TYPES},
            304: OpenApiResponse(description="The client's copy is current."),
            404: NOT_FOUND,
        },
    )
    def get(self, request: Request, character_id: str, filename: str) -> HttpResponseBase:
        image = _image(character_id, filename)
        return serve(
            image.key, content_type=image.content_type, etag=image.sha256, filename=image.name, request=request
        )

    @extend_schema(
        operation_id="deleteCharacterImage",
        tags=TAGS,
        summary="Delete an image",
        responses={204: NO_CONTENT, 404: NOT_FOUND},
    )
    def delete(self, request: Request, character_id: str, filename: str) -> Response:
        image = _image(character_id, filename)
        try:
            images.delete_image(image.pk)
        except TrainingImage.DoesNotExist as exc:
            raise NotFound(f"Image {filename} not found") from exc
        return Response(status=status.HTTP_204_NO_CONTENT)
