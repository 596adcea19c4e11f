"""From an error class to an HTTP status and the error object of the local API."""

from http import HTTPStatus

import msgspec
from aiohttp import web

from mepassa.client.api.types import ErrorAnswer, ErrorBody
from mepassa.model import errors

STATUS: tuple[tuple[type[errors.MepassaError], HTTPStatus], ...] = (
    (errors.InvalidInputError, HTTPStatus.BAD_REQUEST),
    (errors.UnsupportedError, HTTPStatus.BAD_REQUEST),
    (errors.ClockWrongError, HTTPStatus.BAD_REQUEST),
    (errors.NotFoundError, HTTPStatus.NOT_FOUND),
    (errors.ConflictError, HTTPStatus.CONFLICT),
    (errors.DiskFullError, HTTPStatus.INSUFFICIENT_STORAGE),
    (errors.MailboxFullError, HTTPStatus.INSUFFICIENT_STORAGE),
    (errors.TokenRefusedError, HTTPStatus.FORBIDDEN),
    (errors.MalformedError, HTTPStatus.BAD_REQUEST),
    (errors.RemoteError, HTTPStatus.BAD_GATEWAY),
    (errors.BusyError, HTTPStatus.TOO_MANY_REQUESTS),
    (errors.TransientError, HTTPStatus.SERVICE_UNAVAILABLE),
)
"""First match wins, so the narrower class stands above its parent; anything else is our bug: 500."""


def status_of(error: errors.MepassaError) -> HTTPStatus:
    return next((status for kind, status in STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


def problem_response(error: errors.MepassaError) -> web.Response:
    headers = {"Retry-After": f"{error.retry_after_s:.0f}"} if isinstance(error, errors.BusyError) else {}
    return problem(status_of(error), error.code, error.message, field=error.field, headers=headers)


def problem(
    status: HTTPStatus, code: str, message: str, *, field: str | None = None, headers: dict[str, str] | None = None
) -> web.Response:
    body = msgspec.json.encode(ErrorAnswer(ErrorBody(code, message, field)))
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)
