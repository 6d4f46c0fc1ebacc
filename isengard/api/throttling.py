"""The contract's rate limits, counted by django-ratelimit in the shared cache."""

import ipaddress
import logging
from typing import TYPE_CHECKING, cast

from django.conf import settings
from django.http import HttpRequest
from django_ratelimit.core import get_usage
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from jobs.progress import RedisError
from jobs.progress.writer import is_left_alone, leave_alone

if TYPE_CHECKING:
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)


def _is_trusted(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in ipaddress.ip_network(network, strict=False) for network in settings.TRUSTED_PROXIES)


def client_address(_group: str, request: HttpRequest) -> str:
    """Return the peer, or behind trusted proxies the last address in X-Forwarded-For that is none of them."""
    peer = str(request.META.get("REMOTE_ADDR", ""))
    if not _is_trusted(peer):
        return peer
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",") if hop.strip()]
    return next((hop for hop in reversed(hops) if not _is_trusted(hop)), peer)


class ContractThrottle(BaseThrottle):
    """Counts each POST of a view that names a `throttle_scope`, before its body is parsed."""

    seconds_left: float | None = None

    def allow_request(self, request: Request, view: "APIView") -> bool:
        scope = getattr(view, "throttle_scope", None)
        if scope is None or request.method != "POST" or settings.RATE_LIMITS == "off" or is_left_alone():
            return True
        rate = f"{settings.RATES_PER_MINUTE[scope]}/m"
        try:
            # DRF's request hands what django-ratelimit asks of it on to Django's.
            django_request = cast(HttpRequest, request)
            usage = get_usage(django_request, group=scope, key=client_address, rate=rate, method="POST", increment=True)
        except RedisError:
            # The limits protect a service that is well; without Redis people's work goes first.
            leave_alone()
            logger.warning("Rate limits are off while Redis is away", extra={"scope": scope})
            return True
        if usage is None or not usage["should_limit"]:
            return True
        self.seconds_left = usage["time_left"]
        return False

    def wait(self) -> float | None:
        return self.seconds_left
