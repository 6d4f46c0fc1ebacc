"""Query parameters, read strictly."""

from collections.abc import Sequence
from typing import TypeVar, overload

from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

T = TypeVar("T", bound=str)


@overload
def whole_number(request: Request, name: str, *, default: int, lowest: int, highest: int) -> int: ...
@overload
def whole_number(request: Request, name: str, *, default: None, lowest: int, highest: int) -> int | None: ...
def whole_number(request: Request, name: str, *, default: int | None, lowest: int, highest: int) -> int | None:
    """Return a query parameter, `default` where it is absent; anything but a number in range is a 400."""
    given = request.query_params.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) <= 10 and lowest <= int(given) <= highest):
        raise ValidationError({name: f"must be a whole number from {lowest} to {highest}."})
    return int(given)


def is_asked_for(request: Request, name: str) -> bool:
    """Return whether a query parameter is `true`; absent means `false`, anything else is a 400."""
    given = request.query_params.get(name, "false")
    if given not in ("true", "false"):
        raise ValidationError({name: "must be true or false."})
    return given == "true"


def one_of(request: Request, name: str, options: Sequence[T]) -> T | None:
    """Return a query parameter, None where it is absent; anything but one of `options` is a 400."""
    given = request.query_params.get(name)
    if given is None:
        return None
    if given not in options:
        raise ValidationError({name: f"must be one of {', '.join(options)}."})
    return options[options.index(given)]
