"""Is it alive, is it ready, what can it do."""

import logging
import os
import secrets
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import DatabaseError, transaction
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

import generation.offers
import training.offers
from characters import disk
from isengard.api.answers import HealthAnswer, InfoAnswer, NotReadyAnswer, ReadyAnswer
from jobs import readable
from jobs.models import QueueState
from jobs.patience import waiting_at_most
from jobs.progress import server as redis_server

logger = logging.getLogger(__name__)

OK = "ok"
# Whoever asks has less patience than other clients.
READY_SECONDS = 2.0


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
        redis_trouble = redis_server.trouble()
        dependencies = {
            "redis": "unavailable" if redis_trouble else OK,
            "storage": _storage(),
            "database": _database(),
        }
        reasons = {"redis": f" ({redis_trouble})", "storage": f" ({_room()})"}
        broken = [f"{name} is {state}{reasons.get(name, '')}" for name, state in dependencies.items() if state != OK]
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
                "storage": {"free_bytes": _free_bytes(), "min_free_bytes": settings.MIN_FREE_BYTES},
                "queue": {"limit": settings.QUEUE_LIMIT or None},
            }
        )


def _database() -> str:
    """Read from a table, within the transaction that a write would begin: SQLite's waits for whoever writes."""
    try:
        with waiting_at_most(READY_SECONDS), transaction.atomic():
            QueueState.objects.exists()
    except DatabaseError:
        logger.exception("The database does not answer")
        return "unavailable"
    return OK


def _storage() -> str:
    """Write, as an upload would: a full or read-only disk is not ready."""
    trial = f"tmp/ready-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        try:
            default_storage.save(trial, ContentFile(b"ready"))
        finally:
            # What a full disk cut off is there all the same.
            default_storage.delete(trial)
        return "low" if disk.is_low(disk.free_bytes()) else OK
    except OSError as exc:
        logger.exception("The storage cannot be written")
        return "full" if disk.is_full_disk(exc) else "unavailable"


def _free_bytes() -> int | None:
    try:
        return disk.free_bytes()
    except OSError:
        return None


def _room() -> str:
    free_bytes = _free_bytes()
    return "its room is unknown" if free_bytes is None else f"{readable.size(free_bytes)} free"
