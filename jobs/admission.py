"""How many jobs may wait: beyond that a new one is refused, rather than promised and never done."""

import math
from datetime import timedelta
from http import HTTPStatus

from django.conf import settings
from django.utils import timezone
from rest_framework.exceptions import APIException

from jobs import kinds
from jobs.models import Attempt, Job

# The pace of the last so many starts tells when the next place becomes free.
STARTS_LOOKED_AT = 20
UNKNOWN_SECONDS = 60
LONGEST_SECONDS = 3600


class QueueFull(APIException):
    """`wait` is what `Retry-After` says, in seconds."""

    status_code = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, kind: str) -> None:
        self.wait = seconds_to_next_start(kind)
        noun = f"{kinds.get(kind).title.lower()}s"
        super().__init__(
            f"The queue is full: {settings.QUEUE_LIMIT} {noun} wait already. Try again in {self.wait} seconds."
        )


def refuse_if_full(kind: str) -> None:
    """Raises QueueFull. Requests at the very same moment may exceed the limit by their number, and no more."""
    limit = settings.QUEUE_LIMIT
    if limit and Job.objects.unclaimed(kind).order_by().count() >= limit:
        raise QueueFull(kind)


def seconds_to_next_start(kind: str) -> int:
    """Return how long a place took to become free lately, the present standstill included."""
    newest = Attempt.objects.filter(job__kind=kind).order_by("-pk").values_list("claimed_at", flat=True)
    starts = list(newest[:STARTS_LOOKED_AT])
    if not starts:
        return UNKNOWN_SECONDS
    taken = (timezone.now() - min(starts)) / timedelta(seconds=1)
    return min(max(1, math.ceil(taken / len(starts))), LONGEST_SECONDS)
