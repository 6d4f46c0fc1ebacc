"""Idempotency-Key: the same request again gets the job that the first one started."""

import hashlib
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import orjson
from django.db import IntegrityError, transaction
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request

from jobs.models import IdempotencyKey, Job

logger = logging.getLogger(__name__)

HEADER = "Idempotency-Key"
KEPT_HOURS = 24
MAX_KEY_LENGTH = 255
ANONYMOUS = "anonymous"

_KEY = re.compile(rf"[\x20-\x7e]{{1,{MAX_KEY_LENGTH}}}")

PARAMETER = OpenApiParameter(
    HEADER,
    {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH, "pattern": "^[ -~]*[!-~][ -~]*$"},
    OpenApiParameter.HEADER,
    description=(
        f"1 to {MAX_KEY_LENGTH} printable ASCII characters that name this request for {KEPT_HOURS} hours: sent again "
        "with the same parameters, it gets the job that it started (200); with others it is refused (409)."
    ),
)


class KeyReused(APIException):
    status_code = HTTPStatus.CONFLICT
    default_detail = f"{HEADER}: this key was sent before with other parameters; use a new key for a new job."


@dataclass(frozen=True, slots=True)
class RequestKey:
    """A client's name for one request; `scope` is the client and the endpoint."""

    scope: str
    key: str


@dataclass(frozen=True, slots=True)
class Intent:
    """What a named request wants, boiled down to a digest of its validated parameters."""

    name: RequestKey
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Submission:
    job: Job
    is_new: bool

    @property
    def http_status(self) -> HTTPStatus:
        return HTTPStatus.CREATED if self.is_new else HTTPStatus.OK


def key_of(request: Request, *, endpoint: str) -> RequestKey | None:
    """Return the request's key, None where it has none. Raises ValidationError for one that is not usable."""
    given = request.headers.get(HEADER)
    if given is None:
        return None
    if not _KEY.fullmatch(given):
        raise ValidationError({HEADER: f"must be 1 to {MAX_KEY_LENGTH} printable ASCII characters."})
    # DRF's `auth` is what authentication knows the client by; nobody's, until there are API keys.
    return RequestKey(f"{request.auth or ANONYMOUS}:{endpoint}", given)


def intent_of(key: RequestKey | None, parameters: Mapping[str, Any]) -> Intent | None:
    """Bind a key to the validated `parameters`, before chance or the database's state has filled anything in."""
    if key is None:
        return None
    canonical = orjson.dumps(parameters, option=orjson.OPT_SORT_KEYS)
    return Intent(key, hashlib.sha256(canonical).hexdigest())


def repeat_of(intent: Intent | None) -> Submission | None:
    """Return the job that this request started before. Raises KeyReused if it had other parameters then."""
    if intent is None:
        return None
    kept = _rows(intent.name).filter(created_at__gt=_expiry()).select_related("job").first()
    if kept is None:
        return None
    if kept.fingerprint != intent.fingerprint:
        raise KeyReused
    logger.info("Request repeated", extra={"job": kept.job_id})
    return Submission(kept.job, is_new=False)


def record_once(intent: Intent | None, record: Callable[[], Job]) -> Submission:
    """Return the earlier job, or the one that `record` writes, in one transaction with the key.

    Of simultaneous twins one wins: the others wait at the database's lock or unique index, and get the winner's job.
    What `record` raises leaves no key behind; a refusal that comes of the twin's own job is no refusal of it.
    """
    if intent is None:
        return Submission(record(), is_new=True)
    return repeat_of(intent) or _record(intent, record)


def _record(intent: Intent, record: Callable[[], Job]) -> Submission:
    try:
        with transaction.atomic():
            _rows(intent.name).filter(created_at__lte=_expiry()).delete()
            job = record()
            IdempotencyKey.objects.create(
                scope=intent.name.scope, key=intent.name.key, fingerprint=intent.fingerprint, job=job
            )
    except (IntegrityError, APIException):
        winner = repeat_of(intent)
        if winner is None:
            raise
        return winner
    return Submission(job, is_new=True)


def forget_expired() -> int:
    """Remove the keys whose time is over; return how many. Expired ones count for nothing before that."""
    expired = IdempotencyKey.objects.filter(created_at__lte=_expiry())
    # A look first: there is nearly never one, and on SQLite a DELETE would hold up every writer.
    return expired.delete()[0] if expired.exists() else 0


def _rows(name: RequestKey) -> Any:
    return IdempotencyKey.objects.filter(scope=name.scope, key=name.key)


def _expiry() -> datetime:
    return timezone.now() - timedelta(hours=KEPT_HOURS)
