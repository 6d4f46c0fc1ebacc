"""Is it alive, is it ready, what can it do."""

import logging
import os
import secrets
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import DatabaseError, connection
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

import generation.offers
import training.offers
from isengard.api.answers import HealthAnswer, InfoAnswer, NotReadyAnswer, ReadyAnswer
from jobs.progress.writer import is_up

logger = logging.getLogger(__name__)

OK = "ok"


class HealthView(APIView):
    """Says that the web server answers, and asks nothing else."""

    @extend_schema(
        operation_id="getHealth",
        tags=["service"],
        responses=HealthAnswer,
    )
    def get(self, request: Request) -> Response:
        return Response({"status": "healthy"})


class ReadyView(APIView):
    @extend_schema(
        operation_id="getReady",
        tags=["service"],
        responses={200: ReadyAnswer, 503: NotReadyAnswer},
    )
    def get(self, request: Request) -> Response:
        """Say whether what the service stands on answers; 503 if not."""
        dependencies = {"redis": _redis(), "storage": _storage(), "database": _database()}
        broken = [f"{name} is {state}" for name, state in dependencies.items() if state != OK]
        answer: dict[str, Any] = {"status": "ready", "mode": settings.MODE, "dependencies": dependencies}
        if not broken:
            return Response(answer)
        answer = {"detail": f"Not ready: {', '.join(broken)}.", **answer, "status": "not ready"}
        return Response(answer, status=HTTPStatus.SERVICE_UNAVAILABLE)


class InfoView(APIView):
    @extend_schema(
        operation_id="getInfo",
        tags=["service"],
        responses=InfoAnswer,
    )
    def get(self, request: Request) -> Response:
        """Say what can be trained and generated here and now, and each parameter's range and default."""
        return Response(
            {
                "name": "Isengard API",
                "version": settings.VERSION,
                "mode": settings.MODE,
                "training": training.offers.info(),
                "image_generation": generation.offers.info(),
            }
        )


def _redis() -> str:
    return OK if is_up() else "unavailable"


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        logger.exception("The database does not answer")
        return "unavailable"
    return OK


def _storage() -> str:
    """Write, as an upload would: a full or read-only disk is not ready."""
    try:
        name = default_storage.save(f"tmp/ready-{os.getpid()}-{secrets.token_hex(4)}", ContentFile(b"ready"))
        default_storage.delete(name)
    except OSError:
        logger.exception("The storage cannot be written")
        return "unavailable"
    return OK
