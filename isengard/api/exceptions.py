"""Errors that DRF has no name for. Apart from `errors`, because parsers are imported while DRF's views still are."""

from http import HTTPStatus

from rest_framework.exceptions import APIException


class TooLarge(APIException):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_detail = "The request is too large."


class Unavailable(APIException):
    status_code = HTTPStatus.SERVICE_UNAVAILABLE
    # Seconds, which DRF tells as Retry-After: a server that restarts is back, and a lock is over, after a few.
    wait = 5
    default_detail = "The database does not answer at the moment; try again later."


class StorageFull(APIException):
    status_code = HTTPStatus.INSUFFICIENT_STORAGE
    default_detail = "The server's storage is full, so this could not be kept; tell the operator and try again later."
