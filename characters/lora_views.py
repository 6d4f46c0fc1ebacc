"""The LoRA library over HTTP: uploads, and the versions that were trained here."""

from http import HTTPStatus
from pathlib import Path
from typing import Any

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from base_models import MODELS
from characters import loras, uploading
from characters.lora_listing import SOURCES, Source, as_answer, as_full_answer, lora_rows
from characters.lora_serializers import (
    LibraryAnswer,
    LoraAnswer,
    LoraDeletedAnswer,
    LoraFields,
    LoraForm,
    LoraFullAnswer,
)
from characters.lora_uploads import MAX_BYTES, SentLora, add_lora
from characters.models import Lora
from characters.safetensors_files import LoraRefused
from characters.serializers import ErrorAnswer

TAGS = ["loras"]
# The texts of the form and what stands between its parts.
FORM_BYTES = 1_000_000
# What Django's form reader writes where the bytes are no UTF-8.
NOT_UTF8 = "\N{REPLACEMENT CHARACTER}"

BAD_REQUEST = OpenApiResponse(ErrorAnswer, description="The request is not valid; the message names the field.")
NOT_FOUND = OpenApiResponse(ErrorAnswer, description="There is no such LoRA.")
SOURCE = OpenApiParameter(
    "source",
    str,
    enum=SOURCES,
    default=SOURCES[0],
    description="Only what was uploaded, only what was trained here, or all.",
)
BASE_MODEL = OpenApiParameter(
    "base_model",
    str,
    enum=list(MODELS),
    description="Only those that are known to work with this base model: trained for it or for one of its family.",
)
LIMIT = OpenApiParameter(
    "limit", {"type": "integer", "minimum": 1, "maximum": 100}, description="At most this many (default: all)."
)
OFFSET = OpenApiParameter(
    "offset",
    {"type": "integer", "minimum": 0, "maximum": 2**31 - 1, "default": 0},
    description="Leave out the first.",
)


class Conflict(APIException):
    status_code = HTTPStatus.CONFLICT
    default_detail = "This is not possible at the moment."


def _missing(lora_id: str) -> NotFound:
    return NotFound(f"LoRA {lora_id} not found")


def _lora(lora_id: str) -> Lora:
    # PostgreSQL refuses to look for a NUL at all.
    lora = None if "\0" in lora_id else Lora.objects.filter(pk=lora_id).first()
    if lora is None:
        raise _missing(lora_id)
    return lora


def _brief(lora_id: str) -> dict[str, Any]:
    return as_answer(lora_rows().get(pk=lora_id))


def _source(request: Request) -> Source:
    given = request.query_params.get("source", SOURCES[0])
    found = next((source for source in SOURCES if source == given), None)
    if found is None:
        raise ValidationError({"source": f"must be one of {', '.join(SOURCES)}."})
    return found


def _base_model(request: Request) -> str | None:
    given = request.query_params.get("base_model")
    if given is not None and given not in MODELS:
        raise ValidationError({"base_model": f"must be one of {', '.join(MODELS)}."})
    return given


def _sent_lora(request: Request) -> SentLora:
    sent = uploading.sent_files(request, "file", beside=("name", "trigger_word"))
    twice = [name for name, values in request.POST.lists() if len(values) > 1]
    if twice or len(sent) > 1:
        raise ValidationError({(twice or ["file"])[0]: ["Send it once."]})
    texts = _texts(request)
    return SentLora(
        sent_as=sent[0].name or "",
        path=Path(sent[0].temporary_file_path()),
        name=texts["name"],
        trigger_word=texts.get("trigger_word", ""),
    )


def _texts(request: Request) -> dict[str, str]:
    texts = request.POST.dict()
    for field, text in texts.items():
        if NOT_UTF8 in str(text):
            raise ValidationError({field: ["Send text in UTF-8."]})
    given = LoraFields(data=texts)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


class LoraListView(GenericAPIView[Lora]):
    @extend_schema(
        operation_id="listLoras",
        tags=TAGS,
        summary="List the LoRA library, newest first",
        parameters=[SOURCE, BASE_MODEL, LIMIT, OFFSET],
        responses={200: LibraryAnswer, 400: BAD_REQUEST},
    )
    def get(self, request: Request) -> Response:
        rows = self.paginate_queryset(lora_rows(_source(request), base_model=_base_model(request))) or []
        response = self.get_paginated_response([as_answer(row) for row in rows])
        response.data = {"loras": response.data, "total_count": int(response.headers["X-Total-Count"])}
        return response


class LoraUploadView(APIView):
    parser_classes = [uploading.FileParser]
    throttle_scope = "lora-upload"
    max_file_bytes = MAX_BYTES
    max_body_bytes = MAX_BYTES + FORM_BYTES

    @extend_schema(
        operation_id="uploadLora",
        tags=TAGS,
        summary="Upload a LoRA",
        description="A .safetensors file of at most 500 MB, in the layout of PEFT, kohya, diffusers, LoHa or LoKr, all "
        "of whose weights are whole and finite. Generate with it as `lora_id` `uploaded:<id>` or `<id>`.",
        request={"multipart/form-data": LoraForm},
        responses={
            201: LoraAnswer,
            200: OpenApiResponse(LoraAnswer, description="The same file was uploaded before: the LoRA of then."),
            400: BAD_REQUEST,
            413: OpenApiResponse(ErrorAnswer, description="The body is larger than a LoRA may be; it was not read."),
            429: OpenApiResponse(ErrorAnswer, description="Too many uploads in a minute; `Retry-After` says how long."),
        },
    )
    def post(self, request: Request) -> Response:
        try:
            uploaded = add_lora(_sent_lora(request))
        except LoraRefused as refused:
            raise ValidationError({"file": [str(refused)]}) from refused
        answered = status.HTTP_201_CREATED if uploaded.is_new else status.HTTP_200_OK
        return Response(_brief(uploaded.lora.pk), status=answered)


class LoraView(APIView):
    @extend_schema(
        operation_id="getLora",
        tags=TAGS,
        summary="Get a LoRA and where it comes from",
        responses={200: LoraFullAnswer, 404: NOT_FOUND},
    )
    def get(self, request: Request, lora_id: str) -> Response:
        return Response(as_full_answer(_lora(lora_id)))

    @extend_schema(
        operation_id="deleteLora",
        tags=TAGS,
        summary="Delete a LoRA and its file",
        responses={
            200: LoraDeletedAnswer,
            404: NOT_FOUND,
            409: OpenApiResponse(ErrorAnswer, description="A generation that has not ended uses it."),
        },
    )
    def delete(self, request: Request, lora_id: str) -> Response:
        _lora(lora_id)
        try:
            loras.delete_lora(lora_id)
        except Lora.DoesNotExist as exc:
            raise _missing(lora_id) from exc
        except loras.LoraInUse as used:
            raise Conflict(str(used)) from used
        return Response({"status": "deleted", "id": lora_id})
