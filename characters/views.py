"""Characters over HTTP."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from characters import lifecycle
from characters.listing import as_answer, character_rows
from characters.models import Character
from characters.requests import missing_character, require_character
from characters.serializers import CharacterAnswer, CharacterInput, ErrorAnswer

TAGS = ["characters"]
BAD_REQUEST = OpenApiResponse(ErrorAnswer, description="The request is not valid; the message names the field.")
NOT_FOUND = OpenApiResponse(ErrorAnswer, description="There is no such character.")
NO_CONTENT = OpenApiResponse(description="It is gone.")


def _character(character_id: str) -> dict[str, Any]:
    # PostgreSQL refuses to look for a NUL at all.
    row = None if "\0" in character_id else character_rows().filter(pk=character_id).first()
    if row is None:
        raise missing_character(character_id)
    return as_answer(row)


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
        require_character(character_id)
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
        require_character(character_id)
        try:
            lifecycle.delete_character(character_id)
        except Character.DoesNotExist as exc:
            raise missing_character(character_id) from exc
        return Response(status=status.HTTP_204_NO_CONTENT)
