"""What our middleware has in common: it works in front of sync and async views alike, without a thread hop."""

from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase

Answer = HttpResponseBase | Awaitable[HttpResponseBase]


class EitherModeMiddleware:
    """Subclasses override `before` and `after`; neither may block."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Answer]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Answer:
        self.before(request)
        answer = self.get_response(request)
        if isinstance(answer, HttpResponseBase):
            return self.after(request, answer)
        return self._after_waiting(request, answer)

    async def _after_waiting(self, request: HttpRequest, answer: Awaitable[HttpResponseBase]) -> HttpResponseBase:
        return self.after(request, await answer)

    def before(self, request: HttpRequest) -> None:
        """Look at the request, or change it."""

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Return the response to send."""
        return response
